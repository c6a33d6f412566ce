"""Alert rules over a simulated clock."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from headquarters.operations.alerts.evaluator import FORGET_S, Evaluator
from headquarters.operations.alerts.robust import modified_z
from headquarters.operations.alerts.rules import DEFAULTS, Rule, checked
from headquarters.operations.metrics import METRICS
from headquarters.operations.signals import SIGNALS, Value
from protocols.errors import InputError

SILENT = "catchment_group_gateway_silent_seconds"
RATE = "catchment_group_gateway_samples_per_second"
ROWS = "catchment_hq_rows_total"


def of(metric: str, **by_gateway: float) -> list[Value]:
    return [(metric, {"gateway": name, "site": "north"}, value) for name, value in by_gateway.items()]


class World:
    """An evaluator, its rules and a clock."""

    def __init__(self, *rules: Rule, firing: Sequence[tuple[str, dict[str, str]]] = ()) -> None:
        self.rules = list(rules)
        self.evaluator = Evaluator(firing)
        self.now = 1_790_000_000.0

    def step(self, values: Sequence[Value], after_s: float = 15.0) -> list[tuple[str, str, bool]]:
        self.now += after_s
        changes = self.evaluator.step(self.rules, values, self.now)
        return [(each.rule.name, each.labels.get("gateway", ""), each.firing) for each in changes]


def test_a_threshold_fires_when_it_held_long_enough_and_ends_at_once() -> None:
    world = World(Rule("silent", SILENT, above=300, for_s=60))
    assert world.step(of(SILENT, a=301, b=10)) == []
    assert world.step(of(SILENT, a=316, b=10), 30) == []
    assert world.step(of(SILENT, a=299, b=10)) == [], "a break begins anew"
    assert world.step(of(SILENT, a=301, b=301)) == []
    assert world.step(of(SILENT, a=360, b=290), 59) == []
    assert world.step(of(SILENT, a=361, b=301), 1) == [("silent", "a", True)]
    assert world.step(of(SILENT, a=400, b=340), 59) == []
    assert world.step(of(SILENT, a=400, b=340), 1) == [("silent", "b", True)]
    assert world.step(of(SILENT, a=1, b=340)) == [("silent", "a", False)]
    assert world.step([]) == [("silent", "b", False)], "a series that is gone is no longer beyond its limit"


def test_both_limits_and_patterns_of_labels_count() -> None:
    rule = Rule("rate", RATE, below=1, above=10, labels={"gateway": "unit-*", "site": "n?rth"})
    world = World(rule)
    values = of(RATE, **{"unit-1": 0.5, "unit-2": 11, "unit-3": 10, "other": 0})
    assert world.step(values) == [("rate", "unit-1", True), ("rate", "unit-2", True)]


def test_an_absence_is_of_what_was_there_and_of_what_never_was() -> None:
    world = World(Rule("gone", SILENT, kind="absence", for_s=60))
    assert world.step([]) == []
    assert world.step([], 60) == [("gone", "", True)]
    assert world.step(of(SILENT, a=1, b=1)) == [("gone", "", False)]
    assert world.step(of(SILENT, b=1)) == []
    assert world.step(of(SILENT, b=1), 60) == [("gone", "a", True)]
    assert world.step(of(SILENT, b=1), 3600) == []
    assert world.step(of(SILENT, a=1, b=1)) == [("gone", "a", False)]
    world.step(of(SILENT, b=1))
    assert world.step(of(SILENT, b=1), 60) == [("gone", "a", True)]
    assert world.step(of(SILENT, b=1), FORGET_S) == [("gone", "a", False)], (
        "what is gone for good is forgotten"
    )
    assert world.step(of(SILENT, b=1), FORGET_S) == []


def test_an_anomaly_is_far_from_what_is_usual_and_becomes_usual() -> None:
    rng = random.Random(5)
    world = World(Rule("odd", RATE, kind="anomaly", window_s=3600, for_s=30))
    for _ in range(240):
        assert world.step(of(RATE, a=rng.gauss(100, 2))) == []
    assert world.step(of(RATE, a=50)) == []
    assert world.step(of(RATE, a=100)) == [], "one odd value is none"
    assert world.step(of(RATE, a=50)) == []
    assert world.step(of(RATE, a=50)) == []
    assert world.step(of(RATE, a=50)) == [("odd", "a", True)]
    ended = [step for step in range(240) if world.step(of(RATE, a=50 + rng.gauss(0, 2)))]
    assert len(ended) == 1
    assert 90 < ended[0] < 240, "the new level is the usual one when it fills half of the window"


def test_of_a_counter_the_rate_counts_also_over_a_restart() -> None:
    world = World(Rule("odd", ROWS, kind="anomaly", window_s=3600))
    total = 0.0
    for step in range(120):
        total = 0.0 if step == 60 else total + 1500 + step % 7
        assert world.step([(ROWS, {}, total)]) == []
    assert world.step([(ROWS, {}, total)]) == [("odd", "", True)], "nothing came in fifteen seconds"
    assert world.step([(ROWS, {}, total + 1503)]) == [("odd", "", False)]


def test_few_values_and_a_series_that_never_moved_make_no_anomaly() -> None:
    world = World(Rule("odd", RATE, kind="anomaly", window_s=3600))
    for _ in range(29):
        assert world.step(of(RATE, a=0)) == []
    assert world.step(of(RATE, a=1000)) == []
    world = World(Rule("odd", RATE, kind="anomaly", window_s=3600))
    for _ in range(100):
        world.step(of(RATE, a=100))
    assert world.step(of(RATE, a=103)) == []
    assert world.step(of(RATE, a=104)) == [("odd", "a", True)]


def test_the_score_survives_wild_values_below_half() -> None:
    usual = [10.0 + 0.1 * (each % 5) for each in range(60)]
    clean, dirty = modified_z(12, usual), modified_z(12, usual + [1e6] * 20)
    assert clean > 10
    assert dirty > 3.5
    assert modified_z(5, [0, 0, 0]) == 0
    assert modified_z(10.2, [0.0] * 9 + [10.2]) == pytest.approx(10.2 / (1.2533 * 1.02))


def test_what_fired_before_a_restart_goes_on_and_ends() -> None:
    labels = {"gateway": "a", "site": "north"}
    rule = Rule("silent", SILENT, above=300, for_s=60)
    assert World(rule, firing=[("silent", labels)]).step(of(SILENT, a=500)) == []
    assert World(rule, firing=[("silent", labels)]).step(of(SILENT, a=5)) == [("silent", "a", False)]
    assert World(firing=[("silent", labels)]).step(of(SILENT, a=500)) == [("silent", "a", False)]


def test_a_rule_that_is_switched_off_ends_what_fires() -> None:
    world = World(Rule("silent", SILENT, above=300))
    assert world.step(of(SILENT, a=500)) == [("silent", "a", True)]
    world.rules = [replace(world.rules[0], enabled=False)]
    assert world.step(of(SILENT, a=500)) == [("silent", "a", False)]
    assert world.step(of(SILENT, a=500)) == []


def test_a_clock_that_goes_back_fires_nothing_early() -> None:
    world = World(Rule("silent", SILENT, above=300, for_s=60))
    world.step(of(SILENT, a=500))
    assert world.step(of(SILENT, a=500), -86_400) == []
    assert world.step(of(SILENT, a=500), 59) == []
    assert world.step(of(SILENT, a=500), 1) == [("silent", "a", True)]
    assert world.step(of(SILENT, a=500), -86_400) == []
    assert world.step(of(SILENT, a=5)) == [("silent", "a", False)]


def test_the_rules_that_are_there_can_be_judged_and_say_what_is_wrong() -> None:
    known = {metric.name: metric for metric in (*METRICS, *SIGNALS)}
    assert len({rule.name for rule in DEFAULTS}) == len(DEFAULTS)
    for rule in DEFAULTS:
        labels = {name: f"<{name}>" for name in known[checked(rule).metric].labels}
        said = rule.say(labels, 12.5)
        assert "{" not in said
        assert all(label in said for label in labels.values()), said


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (Rule("A b", SILENT, above=1), "name"),
        (Rule("a", "catchment_edge_points", above=1), "metric"),
        (Rule("a", SILENT, above=1, labels={"table": "x"}), "labels"),
        (Rule("a", SILENT, kind="magic"), "kind"),
        (Rule("a", SILENT), "above, below"),
        (Rule("a", SILENT, kind="absence", above=1), "above, below"),
        (Rule("a", SILENT, above=1, severity="loud"), "severity"),
        (Rule("a", SILENT, above=1, for_s=-1), "for_s"),
        (Rule("a", SILENT, kind="anomaly", z=0), "z"),
        (Rule("a", SILENT, kind="anomaly", window_s=float("nan")), "window_s"),
    ],
)
def test_a_rule_that_cannot_be_judged_is_refused_with_the_place(wrong: Rule, place: str) -> None:
    with pytest.raises(InputError, match=place):
        checked(wrong)
