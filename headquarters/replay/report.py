"""What a replay found, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from headquarters.replay.compare import (
    AppEvent,
    Difference,
    EventDifference,
    OutputComparison,
    count_by_text,
)

EVENTS_MAX = 100_000
"""Events in a report; all are counted."""

SHOWN_MAX = 10
"""Differences of events that are printed for people."""


class Trust(NamedTuple):
    """How far a replay is exact.

    Args:
        state_us: Time of the recorded state that it began with; `None`: it began cold.
        states: Recorded states on the way that were compared with the replay's.
        reasons: Why it is approximate; empty when it is exact.
    """

    state_us: int | None = None
    states: int = 0
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one replay.

    Args:
        app: The app's id.
        version: Its version.
        gateway: Where it ran.
        from_us: The first instant.
        to_us: The first that was not replayed.
        instances: Names of its instances.
        scans: How many there were, of all instances together.
        missing: Points that the app reads and the lake does not know.
        outputs: Comparison of every output that the gateway recorded.
        events: What the replay emitted.
        recorded: What the gateway recorded.
        event_differences: Where the two differ.
        seconds: How long it took.
        trust: How far it is exact.
    """

    app: str
    version: str
    gateway: str
    from_us: int
    to_us: int
    instances: tuple[str, ...]
    scans: int
    missing: tuple[str, ...]
    outputs: tuple[OutputComparison, ...]
    events: tuple[AppEvent, ...]
    recorded: tuple[AppEvent, ...]
    event_differences: tuple[EventDifference, ...]
    seconds: float
    trust: Trust

    @property
    def differs(self) -> bool:
        """Whether anything that both have is not the same, or an event is only in one."""
        return bool(self.event_differences) or any(output.different for output in self.outputs)

    def to_json(self) -> dict[str, Any]:
        """For a machine."""
        return {
            "app": self.app,
            "version": self.version,
            "gateway": self.gateway,
            "from": iso(self.from_us),
            "to": iso(self.to_us),
            "instances": list(self.instances),
            "scans": self.scans,
            "seconds": round(self.seconds, 3),
            "exact": not self.trust.reasons,
            "approximate_because": list(self.trust.reasons),
            "begins_with_state_of": None if self.trust.state_us is None else iso(self.trust.state_us),
            "states_compared": self.trust.states,
            "missing_points": list(self.missing),
            "outputs": [_output(output) for output in self.outputs],
            "events_replayed": len(self.events),
            "events_recorded": len(self.recorded),
            "event_differences": [
                {"replayed": _event(each.replayed), "recorded": _event(each.recorded)}
                for each in self.event_differences[:EVENTS_MAX]
            ],
            "events": [_event(event) for event in self.events[:EVENTS_MAX]],
            "differs": self.differs,
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        rate = self.scans * len(self.instances) / max(self.seconds, 1e-9)
        yield f"{self.app} {self.version} on {self.gateway}, {iso(self.from_us)} to {iso(self.to_us)}:"
        scans = f"{self.scans:,} scans of {len(self.instances):,} instances"
        yield f"  {scans} in {self.seconds:.1f} s ({rate:,.0f} a second)"
        yield from self._trust_lines()
        for name in self.missing:
            yield f"  NOT IN THE LAKE: point {name}; it counts as bad"
        yield from self._output_lines()
        yield f"  {len(self.events):,} events, recorded by the gateway {len(self.recorded):,}"
        for text, count in count_by_text(self.events).items():
            yield f"    {count:,} x {text}"
        for each in self.event_differences[:SHOWN_MAX]:
            yield f"  EVENT DIFFERS: replayed {_told(each.replayed)}; recorded {_told(each.recorded)}"
        if len(self.event_differences) > SHOWN_MAX:
            yield f"  ... and {len(self.event_differences) - SHOWN_MAX:,} more"
        yield "  DIFFERENT from what the gateway recorded" if self.differs else "  nothing differs"

    def _trust_lines(self) -> Iterator[str]:
        trust = self.trust
        began = "cold" if trust.state_us is None else f"with the state of {iso(trust.state_us)}"
        yield f"  begins {began}; {trust.states:,} recorded states compared on the way"
        for reason in trust.reasons[:SHOWN_MAX]:
            yield f"  APPROXIMATE: {reason}"
        if len(trust.reasons) > SHOWN_MAX:
            yield f"  ... and {len(trust.reasons) - SHOWN_MAX:,} reasons more"

    def _output_lines(self) -> Iterator[str]:
        if not self.outputs:
            yield "  the gateway recorded no outputs of this app"
        for output in self.outputs:
            yield (
                f"  {output.name}: {output.compared:,} compared, {output.different:,} different, "
                f"{output.only_replayed:,} only replayed, {output.only_recorded:,} only recorded"
            )
            for each in output.differences[:1]:
                yield f"    first at {iso(each.time_us)}: {_sides(each)}"


def _output(output: OutputComparison) -> dict[str, Any]:
    return {
        "name": output.name,
        "compared": output.compared,
        "different": output.different,
        "only_replayed": output.only_replayed,
        "only_recorded": output.only_recorded,
        "largest": output.largest,
        "differences": [
            {**each._asdict(), "time": iso(each.time_us), "time_us": each.time_us}
            for each in output.differences
        ],
    }


def _event(event: AppEvent | None) -> dict[str, Any] | None:
    if event is None:
        return None
    return {"time": iso(event.time_us), **event._asdict()}


def _sides(each: Difference) -> str:
    ours = f"replayed {each.replayed!r} ({_QUALITY[each.replayed_quality]})"
    return f"{ours}, recorded {each.recorded!r} ({_QUALITY[each.recorded_quality]})"


def _told(event: AppEvent | None) -> str:
    if event is None:
        return "nothing"
    what = f"{event.transition or event.kind} {event.text!r} of {event.instance}"
    return f"{what} at {iso(event.time_us)} with {event.value!r} ({_QUALITY[event.quality]})"


_QUALITY = ("good", "uncertain", "bad")


def iso(time_us: int) -> str:
    """A time as people and machines read it."""
    whole, micros = divmod(time_us, 1_000_000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{micros:06d}Z" if micros else f"{text}Z"
