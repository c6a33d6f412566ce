"""Judges rules over values. Pure: values and times come in, changes go out.

Rules:
1. A series fires when its rule has held at every step for `for_s`; the first step that it does not hold,
   and a series that is gone, resolves it.
2. A series that was seen and is gone for `for_s` fires its absence; after `FORGET_S` it is forgotten, and
   resolved. A metric of which nothing was ever seen fires once, for the rule as a whole.
3. An anomaly needs `USUAL_MIN` earlier values, at most `USUAL_MAX` spread over the window. Of a counter the
   rate counts; one that fell began anew. What is unusual becomes usual within half a window.
4. A clock that goes back restarts what was pending, and resolves nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headquarters.operations.alerts.robust import modified_z
from headquarters.operations.alerts.rules import Rule
from headquarters.operations.signals import Value

FORGET_S = 7 * 86_400.0
USUAL_MIN = 30
USUAL_MAX = 360

Key = tuple[str, tuple[tuple[str, str], ...]]
"""Name of a rule, and labels of a series."""


@dataclass(frozen=True, slots=True)
class Change:
    """A series of a rule began to fire, or ended.

    Args:
        rule: The rule.
        labels: Of the series.
        firing: Whether it began.
        value: The value now; `None` when there is none.
        at: When, seconds since 1970.
    """

    rule: Rule
    labels: Mapping[str, str]
    firing: bool
    value: float | None
    at: float


@dataclass(slots=True)
class _State:
    since: float | None = None
    firing: bool = False
    seen: float = 0.0


@dataclass(slots=True)
class _Course:
    """What a series was, for anomalies."""

    usual: deque[tuple[float, float]] = field(default_factory=deque)
    last: tuple[float, float] | None = None


class Evaluator:
    """Judges step by step.

    Args:
        firing: What fired before a restart: rule and labels.
    """

    def __init__(self, firing: Iterable[tuple[str, Mapping[str, str]]] = ()) -> None:
        self._states: dict[Key, _State] = {}
        self._courses: dict[Key, _Course] = {}
        self._before: float | None = None
        self._restored = {_key(name, labels) for name, labels in firing}

    def step(self, rules: Sequence[Rule], values: Sequence[Value], now: float) -> list[Change]:
        """Judge all rules.

        Args:
            rules: Those in force; what fired of others resolves.
            values: All values now.
            now: Seconds since 1970.

        Returns:
            What began and what ended, in the order of the rules.
        """
        for key in self._restored:
            self._states[key] = _State(now, True, now)
        self._restored = set()
        if self._before is not None and now < self._before:
            for state in self._states.values():
                state.since = None
                state.seen = min(state.seen, now)
            self._courses.clear()
        self._before = now
        by_metric: dict[str, list[Value]] = {}
        for value in values:
            by_metric.setdefault(value[0], []).append(value)
        changes: list[Change] = []
        in_force = {rule.name: rule for rule in rules if rule.enabled}
        for rule in in_force.values():
            own = [each for each in by_metric.get(rule.metric, ()) if rule.watches(each[0], each[1])]
            judge = self._absences if rule.kind == "absence" else self._values
            changes += judge(rule, own, now)
        return changes + self._dropped(rules, in_force, now)

    def _values(self, rule: Rule, own: Sequence[Value], now: float) -> list[Change]:
        changes = []
        here = set()
        for _, labels, value in own:
            key = _key(rule.name, labels)
            here.add(key)
            holds = (
                rule.breaks(value) if rule.kind == "threshold" else self._is_unusual(rule, key, value, now)
            )
            changes += self._judged(rule, key, holds, value, now)
        for key in [key for key in self._states if key[0] == rule.name and key not in here]:
            changes += self._judged(rule, key, False, None, now)
            del self._states[key]
            self._courses.pop(key, None)
        return changes

    def _absences(self, rule: Rule, own: Sequence[Value], now: float) -> list[Change]:
        changes: list[Change] = []
        whole = _key(rule.name, {})
        here = {_key(rule.name, labels): value for _, labels, value in own}
        for key, value in here.items():
            changes += self._judged(rule, key, False, value, now)
            self._states.setdefault(key, _State()).seen = now
        if here and whole not in here:
            changes += self._judged(rule, whole, False, None, now)
            self._states.pop(whole, None)
        known = [key for key in self._states if key[0] == rule.name]
        if not known:
            self._states[whole] = _State(seen=now)
            known = [whole]
        for key in known:
            if key in here:
                continue
            is_forgotten = key != whole and now - self._states[key].seen > FORGET_S
            changes += self._judged(rule, key, not is_forgotten, None, now)
            if is_forgotten:
                del self._states[key]
        return changes

    def _judged(self, rule: Rule, key: Key, holds: bool, value: float | None, now: float) -> list[Change]:
        state = self._states.setdefault(key, _State(seen=now))
        if not holds:
            state.since = None
            if not state.firing:
                return []
            state.firing = False
            return [Change(rule, dict(key[1]), False, value, now)]
        if state.since is None:
            state.since = now
        if state.firing or now - state.since < rule.for_s:
            return []
        state.firing = True
        return [Change(rule, dict(key[1]), True, value, now)]

    def _is_unusual(self, rule: Rule, key: Key, value: float, now: float) -> bool:
        course = self._courses.setdefault(key, _Course())
        if rule.metric.endswith("_total"):
            last, course.last = course.last, (now, value)
            if last is None or value < last[1] or now <= last[0]:
                return False
            value = (value - last[1]) / (now - last[0])
        usual = course.usual
        while usual and usual[0][0] <= now - rule.window_s:
            usual.popleft()
        unusual = len(usual) >= USUAL_MIN and abs(modified_z(value, [each for _, each in usual])) > rule.z
        if not usual or now - usual[-1][0] >= rule.window_s / USUAL_MAX:
            usual.append((now, value))
        return unusual

    def _dropped(self, rules: Sequence[Rule], in_force: Mapping[str, Rule], now: float) -> list[Change]:
        """End what fires of rules that are no longer judged."""
        by_name = {rule.name: rule for rule in rules}
        changes = []
        for key in [key for key in self._states if key[0] not in in_force]:
            rule = by_name.get(key[0], Rule(key[0], ""))
            changes += self._judged(rule, key, False, None, now)
            del self._states[key]
            self._courses.pop(key, None)
        return changes


def _key(name: str, labels: Mapping[str, str]) -> Key:
    return name, tuple(sorted(labels.items()))
