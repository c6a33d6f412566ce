"""What a demo is asked to do, and where its parts are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.judge.alarms import END_SCANS
from scripts.plant.layout import Protocol

COMMIT_S = 1.0
"""Headquarters' commit interval in the demo."""

GATEWAYS = {Protocol.MODBUS: "gw-modbus", Protocol.OPCUA: "gw-opcua"}
"""Node names of the gateways."""

SETTLE_S = 4.0
"""Between two outages, and before the first and after the last: time to see the river run."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for.

    Args:
        root: Directory of everything the demo writes.
        duration_s: Seconds between all being up and the clean stop; `None` until Ctrl-C.
        points: Points of the simulated plant, half on each server.
        period_s: Seconds between scans, and between the plant's ticks.
        flush_s: Seconds after which a gateway cuts a batch.
        two_level: No hub: the gateways send to headquarters.
        replay: A table that both servers replay instead.
        transpose: Its rows are columns.
        outage_s: Seconds for which hub and headquarters are cut in turn; 0 for never.
        seed: The plant's.
        faults: Whether faults are injected in the plant.
        pace: Seconds of the plant's life in one second.
    """

    root: Path
    duration_s: float | None
    points: int
    period_s: float
    flush_s: float
    two_level: bool
    replay: Path | None
    transpose: bool
    outage_s: float
    seed: int
    faults: bool = False
    pace: float = 1.0

    @property
    def apps(self) -> bool:
        """Whether rule apps run: they are made for the simulated unit."""
        return self.replay is None

    def for_alarms_s(self, run_s: float) -> float:
        """The part of a run of so many seconds in which an alarm comes to the lake for certain."""
        return run_s - END_SCANS * self.period_s

    def plant(self, protocol: Protocol) -> Path:
        """The server's directory: its log and its address."""
        return self.root / f"plant-{protocol}"

    def gateway(self, protocol: Protocol) -> Path:
        """The gateway's home."""
        return self.root / GATEWAYS[protocol]

    @property
    def hub(self) -> Path:
        """The hub's home."""
        return self.root / "hub"

    @property
    def headquarters(self) -> Path:
        """Headquarters' home."""
        return self.root / "headquarters"

    @property
    def lake(self) -> Path:
        """The lake's directory."""
        return self.headquarters / "data" / "lake"

    @property
    def plant_options(self) -> list[str]:
        """Options of `python -m scripts.plant` for what is served."""
        if self.replay is not None:
            return ["--replay", str(self.replay), *(["--transpose"] if self.transpose else [])]
        return ["--points", str(self.points), "--seed", str(self.seed), "--half", "--pace", str(self.pace)]


@dataclass(frozen=True, slots=True)
class Outage:
    """A node is killed and started again.

    Args:
        node: `hub` or `headquarters`.
        from_s: Seconds after all is up.
        to_s: When it is started again.
    """

    node: str
    from_s: float
    to_s: float


def outages(duration_s: float, outage_s: float, two_level: bool) -> list[Outage]:
    """Cut the hub, then headquarters, spread evenly over the run.

    Raises:
        ValueError: The run is too short for that.

    >>> outages(90, 20, two_level=True)
    [Outage(node='headquarters', from_s=35.0, to_s=55.0)]
    """
    nodes = ["headquarters"] if two_level else ["hub", "headquarters"]
    pause = (duration_s - outage_s * len(nodes)) / (len(nodes) + 1)
    if pause < SETTLE_S:
        least = outage_s * len(nodes) + SETTLE_S * (len(nodes) + 1)
        raise ValueError(
            f"expected --duration {least:g} or more for --outage {outage_s:g}, got {duration_s:g}"
        )
    starts = [pause + n * (pause + outage_s) for n in range(len(nodes))]
    return [Outage(node, start, start + outage_s) for node, start in zip(nodes, starts, strict=True)]
