"""What a roll-out does, as its operator planned it: a change, rings, rules and windows.

Rules:
1. A gateway belongs to the first ring that selects it; what no ring selects stays as it is.
2. A percentage is a stable choice: a gateway's place between 0 and 100 follows from its name
   alone, so that a larger percentage takes in all of a smaller one, in every roll-out alike.

>>> ring = Ring("canary", Selector(percent=50.0))
>>> [name for name in ("unit-1", "unit-2", "unit-3", "unit-4") if ring.selector.selects(name, "", ())]
['unit-2', 'unit-3']
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from headquarters.rollout.windows import Window
from protocols.desired import Item
from protocols.desired.document import parse_item

HASH_STEPS = 1 << 32


@dataclass(frozen=True, slots=True)
class Selector:
    """Which gateways: those that are named, or that match site and tag and fall into the percentage.

    Args:
        gateways: By name; then nothing else counts.
        sites: Of one of these sites; empty for all.
        tags: With one of these tags; empty for all.
        percent: Of those, so many.
    """

    gateways: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    percent: float = 100.0

    def selects(self, gateway: str, site: str, tags: Collection[str]) -> bool:
        """Whether a gateway is meant."""
        if self.gateways:
            return gateway in self.gateways
        if self.sites and site not in self.sites:
            return False
        if self.tags and not set(self.tags) & set(tags):
            return False
        return place_of(gateway) < self.percent


@dataclass(frozen=True, slots=True)
class Ring:
    """Gateways that are changed together.

    Args:
        name: For people.
        selector: Which.
        soak_s: How long each must do well before the next ring.
    """

    name: str
    selector: Selector
    soak_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Rules:
    """When a roll-out halts. `None` leaves a rule out.

    Args:
        failures_max: So many gateways may fail before all goes back; each that fails goes back alone.
        rate_min: Samples collected, of those that scan classes ask for.
        loss_max: Samples given up, of those collected.
        p99_s_max: Seconds until samples are at headquarters, 99 of 100.
        rule_missed_max: Scans of apps given up, in an hour.
        model_outside_max: Answers of models outside of what they know, of all.
        alarms_max: Alarms raised in ten minutes (EEMUA 191: 10 are a flood for one operator).
        silent_s: A gateway that reported before and has been silent for so long has failed.
        patience_s: So long may a gateway take that reports, and still does not run what it should.
    """

    failures_max: int = 0
    rate_min: float | None = 0.9
    loss_max: float | None = 0.001
    p99_s_max: float | None = None
    rule_missed_max: float | None = None
    model_outside_max: float | None = None
    alarms_max: float | None = None
    silent_s: float = 900.0
    patience_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of each gateway's document.

    Args:
        put: Items to have.
        remove: Refs that go.
        having: Only gateways whose document has all of these refs.
    """

    put: tuple[Item, ...] = ()
    remove: tuple[str, ...] = ()
    having: tuple[str, ...] = ()

    @property
    def refs(self) -> tuple[str, ...]:
        """Items concerned."""
        return (*(item.ref for item in self.put), *self.remove)


@dataclass(frozen=True, slots=True)
class Plan:
    """One roll-out.

    Args:
        name: Unique.
        change: To each document.
        rings: In their order.
        rules: When it halts.
        windows: When gateways may be changed; empty for always. Going back never waits for one.
    """

    name: str
    change: Change
    rings: tuple[Ring, ...]
    rules: Rules = field(default_factory=Rules)
    windows: tuple[Window, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "name": self.name,
            "change": {
                "put": [item.fields() for item in self.change.put],
                "remove": list(self.change.remove),
                "having": list(self.change.having),
            },
            "rings": [asdict(ring) for ring in self.rings],
            "rules": asdict(self.rules),
            "windows": [asdict(window) for window in self.windows],
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Plan:
        """Read what `to_json` gave."""
        change = found["change"]
        return cls(
            found["name"],
            Change(
                tuple(parse_item(item) for item in change["put"]),
                tuple(change["remove"]),
                tuple(change["having"]),
            ),
            tuple(_ring(ring) for ring in found["rings"]),
            Rules(**found["rules"]),
            tuple(Window(**{**window, "days": tuple(window["days"])}) for window in found["windows"]),
        )

    def ring_of(self, gateway: str, site: str, tags: Collection[str]) -> int | None:
        """The ring of a gateway."""
        for index, ring in enumerate(self.rings):
            if ring.selector.selects(gateway, site, tags):
                return index
        return None


def place_of(gateway: str) -> float:
    """A gateway's place between 0 and 100."""
    digest = hashlib.sha256(gateway.encode()).digest()
    return 100.0 * int.from_bytes(digest[:4], "big") / HASH_STEPS


def _ring(found: Mapping[str, Any]) -> Ring:
    selector = found["selector"]
    lists = {name: tuple(selector[name]) for name in ("gateways", "sites", "tags")}
    return Ring(found["name"], Selector(**lists, percent=selector["percent"]), found["soak_s"])
