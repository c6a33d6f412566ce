"""What a server is asked to serve, from the options that people give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.plant.catalogue import PlantPoint
from scripts.plant.layout import PREFIXES, Protocol, half
from scripts.plant.model import Plant, Source, UInt32s
from scripts.plant.replay import Replay, parse
from scripts.plant.unit import Array


@dataclass(frozen=True, slots=True)
class Subset:
    """Some points of a source, as a source.

    Args:
        source: All of them.
        chosen: Indexes in increasing order, so that texts stay last.
    """

    source: Source
    chosen: tuple[int, ...]

    @classmethod
    def half(cls, source: Source, protocol: Protocol) -> Subset:
        """What one of two servers that share a plant serves."""
        return cls(source, tuple(sorted(half(source.points, protocol))))

    @property
    def points(self) -> tuple[PlantPoint, ...]:
        """The chosen ones."""
        return tuple(self.source.points[i] for i in self.chosen)

    def step(self, dt: float) -> None:
        """Let one tick pass."""
        self.source.step(dt)

    def held(self) -> Array:
        """What the chosen numeric points hold."""
        held = self.source.held()
        return held[[i for i in self.chosen if i < len(held)]]

    def texts(self) -> list[str]:
        """What the chosen text points hold."""
        texts = self.source.texts()
        first = len(self.source.points) - len(texts)
        return [texts[i - first] for i in self.chosen if i >= first]

    def status(self) -> UInt32s:
        """StatusCodes of the chosen points."""
        return self.source.status()[list(self.chosen)]

    def order(self, name: str, block: int, seconds: float, point: str) -> None:
        """Pass an order on."""
        self.source.order(name, block, seconds, point)


def source_of(
    protocol: Protocol, points: int, seed: int, half: bool, replay: Path | None, transpose: bool
) -> Source:
    """What a server is to serve.

    Args:
        protocol: Which server.
        points: Points of the simulated plant.
        seed: Its seed.
        half: Serve every second point, the other server has the others.
        replay: A table to replay instead.
        transpose: Its rows are columns.

    Raises:
        ValueError: The table cannot be read; the message says where.
    """
    if replay is not None:
        return Replay(parse(replay.read_text(encoding="utf-8"), transpose), PREFIXES[protocol])
    plant = Plant(points, seed)
    return Subset.half(plant, protocol) if half else plant
