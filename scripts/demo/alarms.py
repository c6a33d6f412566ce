"""What came of the faults: the judge's word on the alarms, and what `catchment-hq query` finds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.demo.faults import Injected
from scripts.demo.processes import program, run
from scripts.demo.river import River
from scripts.demo.settings import Settings
from scripts.judge.alarms import AlarmVerdict, Fault, Matched, judge_alarms, watchers
from scripts.plant.layout import Protocol

QUERY = (
    "select time, gateway, app, instance, source, priority, round(value, 2) as value, text "
    "from events where type = 'alarm' and transition = 'raised' order by time, gateway, app, instance"
)
"""What an operator would ask for."""


@dataclass(frozen=True, slots=True)
class AlarmOutcome:
    """All of it.

    Args:
        verdict: The judge's.
        queried: How many alarms `catchment-hq query` found.
        started_us: When everything was up: what times are counted from.
    """

    verdict: AlarmVerdict
    queried: int
    started_us: int

    @property
    def found(self) -> int:
        """Alarms that the judge found in the lake."""
        return len(self.verdict.matched) - len(self.verdict.missing) + len(self.verdict.false)

    @property
    def passed(self) -> bool:
        """The judge is content, and the query finds at least what the judge did."""
        return self.verdict.passed and self.queried >= self.found

    @property
    def figures(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        verdict = self.verdict
        return {
            "faults": len(verdict.faults),
            "faults_without_alarm": len(verdict.silent),
            "alarms_due": len(verdict.matched),
            "alarms_found": self.found,
            "alarms_queried": self.queried,
            "alarms_missing": len(verdict.missing),
            "alarms_false": len(verdict.false),
            "alarms_off_max_s": verdict.off_us / 1e6,
        }

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Each alarm of each fault, with all its times in seconds since everything was up."""
        return [
            {
                "fault": fault.name,
                "place": fault.place,
                "injected_s": self._s(fault.at_us),
                "gateway": each.alarm.gateway,
                "alarm": str(each.alarm),
                "condition_s": self._s(each.due.since_us),
                "delay_s": (each.due.at_us - each.due.since_us) / 1e6,
                "due_s": self._s(each.due.at_us),
                "raised_s": None if each.found is None else self._s(each.found.time_us),
            }
            for fault, raised in self.verdict.faults
            for each in raised
        ]

    def lines(self, injected: Sequence[Injected]) -> Iterator[str]:
        """For people."""
        what = {(each.fault.name, each.fault.place, each.at_us): each.fault.what for each in injected}
        for fault, raised in self.verdict.faults:
            place = f" {fault.place}" if fault.place else ""
            told = what[fault.name, fault.place, fault.at_us]
            yield f"  {self._s(fault.at_us):6.1f} s  {told} ({fault.name}{place})"
            for each in raised:
                yield f"            {self._line(each)}"
        for each in self.verdict.missing:
            yield f"  missing: {each.alarm} of {each.alarm.gateway}, due at {self._s(each.due.at_us)} s"
        for alarm, time_us in self.verdict.false:
            yield f"  false: {alarm} of {alarm.gateway} at {self._s(time_us)} s"
        for fault, name in self.verdict.silent:
            yield f"  {fault.name} {fault.place} did not raise {name}"

    def _line(self, each: Matched) -> str:
        delay_s = (each.due.at_us - each.due.since_us) / 1e6
        raised = "missing" if each.found is None else f"raised at {self._s(each.found.time_us):.1f} s"
        when = f"true at {self._s(each.due.since_us):.1f} s, delay {delay_s:g} s"
        return f"{each.alarm!s:38} {each.alarm.gateway:9}  {when}: {raised}"

    def _s(self, time_us: int) -> float:
        return round((time_us - self.started_us) / 1e6, 1)


def reckon_alarms(settings: Settings, river: River) -> AlarmOutcome:
    """Judge the alarms after a clean stop.

    Args:
        settings: What was asked for.
        river: What ran.

    Raises:
        DemoError: `catchment-hq query` cannot run.
        ValueError: An app never started.
    """
    run_s = settings.for_alarms_s((river.stopped_us - river.started_us) / 1e6)
    faults = [
        Fault(
            each.fault.name,
            each.fault.place,
            each.at_us,
            each.fault.alarms(run_s, settings.pace, river.instances),
        )
        for each in river.injected
    ]
    logs = [settings.plant(protocol) for protocol in Protocol]
    verdict = judge_alarms(settings.lake, logs, watchers(river.apps), faults, river.stopped_us)
    return AlarmOutcome(verdict, len(json.loads(query(settings, "--json"))), river.started_us)


def query(settings: Settings, *options: str) -> str:
    """Ask headquarters for the alarms; what it prints."""
    return run([program("catchment-hq"), "query", "--home", str(settings.headquarters), *options, QUERY])
