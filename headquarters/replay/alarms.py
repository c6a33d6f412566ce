"""From what programs emit to what a gateway journals of it: what is said twice is said once.

Rules:
1. An alarm that stands is not raised, one that does not is not taken back.
2. After the first scan of a cold start, alarms that stand and that this scan does not raise
   are taken back, without a value.

>>> alarms = Alarms({("a", "high"): "too high"})
>>> raised = AppEvent(5, "a", "alarm", "raised", "too high", 1.0, 0, "high")
>>> alarms.journal([raised, raised._replace(time_us=9, transition="returned")])[0].transition
'returned'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headquarters.replay.compare import AppEvent


class Alarms:
    """Which alarms of an app stand.

    Args:
        standing: By (instance, source), their texts.
    """

    def __init__(self, standing: Mapping[tuple[str, str], str]) -> None:
        self._standing = dict(standing)

    def journal(self, events: Sequence[AppEvent], cold_us: int | None = None) -> list[AppEvent]:
        """What is journalled of a program's events, in their order.

        Args:
            events: What programs emitted.
            cold_us: Time of the first scan of a cold start, if these are from then on.
        """
        found: list[AppEvent] = []
        if cold_us is not None:
            found = self._take_back(events, cold_us)
        for event in events:
            id = event.instance, event.source
            raised = event.transition == "raised"
            if event.kind == "alarm" and raised == (id in self._standing):
                continue
            if raised:
                self._standing[id] = event.text
            elif event.kind == "alarm":
                del self._standing[id]
            found.append(event)
        return found

    def note(self, event: AppEvent) -> None:
        """Take over what the gateway journalled of a scan that cannot be replayed."""
        if event.transition == "raised":
            self._standing[event.instance, event.source] = event.text
        elif event.kind == "alarm":
            self._standing.pop((event.instance, event.source), None)

    def _take_back(self, events: Sequence[AppEvent], time_us: int) -> list[AppEvent]:
        seen = {(event.instance, event.source) for event in events if event.time_us == time_us}
        ended = sorted(id for id in self._standing if id not in seen)
        return [
            AppEvent(
                time_us,
                instance,
                "alarm",
                "returned",
                self._standing.pop((instance, source)),
                None,
                0,
                source,
            )
            for instance, source in ended
        ]
