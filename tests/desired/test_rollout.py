"""Roll-outs in a simulated region: rings, soak, halt, return, windows, stragglers, restarts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from headquarters.rollout.machine import Course, Phase, Rollout
from headquarters.rollout.plan import Change, Plan, Ring, Rules, Selector, place_of
from headquarters.rollout.windows import Window
from protocols.desired import Report
from protocols.errors import InputError
from tests.desired.rollout_world import (
    START_S,
    Plant,
    Region,
    check_end,
    check_order,
    firmware,
    three_rings,
)

NAMES = [f"unit-{number:02}" for number in range(12)]


def plants(**changed: Plant) -> list[Plant]:
    made = {name: Plant(name, Random(name)) for name in NAMES}
    return list((made | {name.replace("_", "-"): plant for name, plant in changed.items()}).values())


def test_a_good_change_reaches_every_gateway_ring_by_ring(tmp_path: Path) -> None:
    region = Region(tmp_path, plants())
    region.settle()
    plan = three_rings()
    region.begin(plan)
    rollout = region.run("fw-2", 4)
    assert rollout.phase is Phase.DONE and rollout.counted() == {"good": 12}
    assert {plant.runs["firmware"] for plant in region.plants.values()} == {"2.0"}
    assert {rollout.members[name].ring for name in NAMES} == {0, 1, 2}
    check_order(region, plan)
    check_end(region, plan, rollout)


def test_bad_firmware_in_the_first_ring_halts_and_returns(tmp_path: Path) -> None:
    region = Region(tmp_path, [Plant(name, Random(name), bad={"2.0"}) for name in NAMES[:10]])
    region.settle()
    plan = Plan("fw-2", Change(put=(firmware("2.0"),)), (Ring("first", Selector()), Ring("rest", Selector())))
    region.begin(plan)
    rollout = region.run("fw-2", 4)
    assert rollout.phase is Phase.HALTED and rollout.counted() == {"returned": 10}
    assert "it collected nothing" in rollout.why
    check_end(region, plan, rollout)
    for plant in region.plants.values():
        assert plant.runs == {"firmware": "1.0"}, "it runs what it ran before"


def test_a_halt_in_the_second_ring_takes_the_first_back_and_spares_the_third(tmp_path: Path) -> None:
    sick = next(name for name in NAMES[2:] if place_of(name) < 50)
    region = Region(tmp_path, plants(**{sick.replace("-", "_"): Plant(sick, Random(sick), sick={"2.0"})}))
    region.settle()
    plan = three_rings()
    region.begin(plan)
    rollout = region.run("fw-2", 4)
    assert rollout.phase is Phase.HALTED and "0.5 of what is due" in rollout.why
    third = [name for name, member in rollout.members.items() if member.ring == 2]
    assert third and all(rollout.members[name].course is Course.WAITING for name in third)
    assert not set(third) & set(region.set_at)
    assert {plant.runs["firmware"] for plant in region.plants.values()} == {"1.0"}
    check_end(region, plan, rollout)


class Rough(Plant):
    """Collects half of what is due in the minute in which it changes."""

    told = 0

    def _report(self, now_s: float) -> Report:
        report = super()._report(now_s)
        changed, self.told = self.applied != self.told, self.applied
        samples = report.health.due // 2 if changed else report.health.samples
        return replace(report, health=replace(report.health, samples=samples))


def test_what_the_change_itself_costs_is_no_failure(tmp_path: Path) -> None:
    region = Region(tmp_path, [Rough(name, Random(name)) for name in NAMES])
    region.settle()
    region.begin(three_rings())
    rollout = region.run("fw-2", 4)
    assert rollout.phase is Phase.DONE and rollout.counted() == {"good": 12}, rollout.why


def test_a_gateway_that_falls_silent_after_a_change_halts(tmp_path: Path) -> None:
    region = Region(tmp_path, plants(unit_01=Plant("unit-01", Random(1), bricks={"2.0"})))
    region.settle()
    region.begin(three_rings())
    end_s = region.now_s + 7200
    while region.now_s < end_s:
        region.step()
    _, rollout = region.rollouts.view("fw-2")
    assert rollout.phase is Phase.HALTED and "no report" in rollout.why
    assert rollout.members["unit-00"].course is Course.RETURNED
    assert rollout.members["unit-01"].course is Course.RETURNING and rollout.is_open


def test_failures_within_the_rules_go_back_alone(tmp_path: Path) -> None:
    region = Region(tmp_path, plants(unit_01=Plant("unit-01", Random(1), bad={"2.0"})))
    region.settle()
    plan = three_rings(rules=Rules(failures_max=1))
    region.begin(plan)
    rollout = region.run("fw-2", 4)
    assert rollout.phase is Phase.DONE
    assert rollout.counted() == {"good": 11, "returned": 1}
    check_end(region, plan, rollout)


def test_a_ring_of_which_nobody_does_well_halts_even_within_the_rules(tmp_path: Path) -> None:
    bad = {name: Plant(name.replace("_", "-"), Random(1), bad={"2.0"}) for name in ("unit_00", "unit_01")}
    region = Region(tmp_path, plants(**bad))
    region.settle()
    region.begin(three_rings(rules=Rules(failures_max=5)))
    rollout = region.run("fw-2", 4)
    assert rollout.phase is Phase.HALTED and "no gateway of ring canary has done well" in rollout.why


def test_a_gateway_that_was_off_for_weeks_lands_on_the_right_state_in_one_step(tmp_path: Path) -> None:
    weeks_s = 3 * 7 * 86_400.0
    off = Plant("unit-05", Random(5), away=[(START_S + 1200, START_S + weeks_s)])
    region = Region(tmp_path, plants(unit_05=off))
    region.settle()
    region.begin(three_rings())
    for _ in range(200):
        region.step()
    plan, rollout = region.rollouts.view("fw-2")
    assert rollout.phase is Phase.DONE and rollout.members["unit-05"].course is Course.LATE
    assert rollout.is_open, "it is waited for"
    third = replace(plan, name="fw-3", change=Change(put=(firmware("3.0"),)))
    region.begin(third)
    for _ in range(200):
        region.step()
    while region.now_s < START_S + weeks_s - 86_400:
        region.step(3600)
    assert off.runs == {"firmware": "1.0"}
    before = off.applied
    for _ in range(400):
        region.step(600)
    assert off.runs == {"firmware": "3.0"} and off.applied == before + 1
    assert off.taken[-1] == 3 and 2 not in off.taken
    _, late = region.rollouts.view("fw-3")
    assert late.members["unit-05"].course is Course.GOOD and not late.is_open
    _, first = region.rollouts.view("fw-2")
    assert {member.course for member in first.members.values()} == {Course.GOOD, Course.LEFT}


@pytest.mark.parametrize("hours", (2, 24 * 89))
@pytest.mark.parametrize("steps", (1, 3, 8, 14))
def test_a_headquarters_that_was_off_holds_it_against_nobody(
    tmp_path: Path, steps: int, hours: float
) -> None:
    off = Plant("unit-05", Random(5), away=[(START_S, START_S + 90 * 86_400)])
    region = Region(tmp_path, plants(unit_05=off))
    region.settle()
    plan = three_rings()
    region.begin(plan)
    for _ in range(steps):
        region.step()
    region.dark(hours)
    while (rollout := region.rollouts.view("fw-2")[1]).phase is Phase.RUNNING:
        region.step()
    assert rollout.phase is Phase.DONE, rollout.why
    assert rollout.counted() == {"good": 11, "late": 1}, "who never reported is no failure either"
    check_order(region, plan)
    check_end(region, plan, rollout)


def test_who_fell_silent_or_ill_in_the_dark_is_found_when_headquarters_is_back(tmp_path: Path) -> None:
    silent = Plant("unit-01", Random(1), bricks={"2.0"}), "no report for 900 s", 900
    ill = Plant("unit-01", Random(1), sick={"2.0"}), "0.5 of what is due", 0
    for number, (plant, why, after_s) in enumerate((silent, ill)):
        region = Region(tmp_path / str(number), plants(unit_01=plant))
        region.settle()
        region.begin(three_rings())
        region.step()
        region.dark(2)
        assert region.rollouts.view("fw-2")[1].phase is Phase.RUNNING
        begun_s = region.now_s
        while region.rollouts.view("fw-2")[1].phase is Phase.RUNNING:
            region.step()
        assert why in region.rollouts.view("fw-2")[1].why
        assert region.now_s - begun_s >= after_s


def test_nobody_has_soaked_before_it_was_heard_again(tmp_path: Path) -> None:
    region = Region(tmp_path, plants())
    region.settle()
    region.begin(three_rings())
    while region.rollouts.view("fw-2")[1].members["unit-00"].course is not Course.SOAKING:
        region.step()
    region.plants["unit-00"].sick = {"2.0"}
    region.dark(2)
    assert region.rollouts.view("fw-2")[1].members["unit-00"].course is Course.SOAKING
    rollout = region.run("fw-2", 4)
    assert rollout.phase is Phase.HALTED and "0.5 of what is due" in rollout.why


def test_a_straggler_that_fails_goes_back_alone(tmp_path: Path) -> None:
    off = Plant("unit-05", Random(5), bad={"2.0"}, away=[(START_S + 1200, START_S + 86_400)])
    region = Region(tmp_path, plants(unit_05=off))
    region.settle()
    plan = three_rings()
    region.begin(plan)
    rollout = region.run("fw-2", 48, 120)
    assert rollout.phase is Phase.DONE
    assert rollout.counted() == {"good": 11, "returned": 1}
    check_end(region, plan, rollout)


def test_documents_are_set_in_windows_only_and_go_back_at_any_time(tmp_path: Path) -> None:
    window = Window("Asia/Shanghai", (), 60, 180)
    region = Region(tmp_path, plants(unit_03=Plant("unit-03", Random(3), bad={"2.0"})))
    region.settle()
    plan = three_rings(soak_s=7 * 3600.0, windows=(window,))
    region.begin(plan)
    rollout = region.run("fw-2", 24 * 7, 300)
    assert rollout.phase is Phase.HALTED
    check_order(region, plan)
    check_end(region, plan, rollout)
    hours = {round((at_s % 86_400) / 3600) for at_s in region.set_at.values()}
    assert hours <= {17, 18, 19}, "01:00 to 03:00 in Shanghai"


def test_pause_changes_nobody_and_resume_goes_on(tmp_path: Path) -> None:
    region = Region(tmp_path, plants())
    region.settle()
    region.begin(three_rings())
    region.step()
    region.rollouts.pause("fw-2")
    for _ in range(100):
        region.step()
    assert sorted(region.set_at) == ["unit-00", "unit-01"]
    with pytest.raises(InputError, match="a roll-out that is running; this one is paused"):
        region.rollouts.pause("fw-2")
    region.rollouts.resume("fw-2")
    assert region.run("fw-2", 4).phase is Phase.DONE


def test_abort_returns_what_was_changed_or_keeps_it(tmp_path: Path) -> None:
    for keep in (False, True):
        folder = tmp_path / str(keep)
        region = Region(folder, plants())
        region.settle()
        region.begin(three_rings())
        for _ in range(6):
            region.step()
        region.rollouts.abort("fw-2", keep)
        for _ in range(30):
            region.step()
        versions = {region.plants[name].runs["firmware"] for name in ("unit-00", "unit-01")}
        assert versions == ({"2.0"} if keep else {"1.0"})
        _, rollout = region.rollouts.view("fw-2")
        assert rollout.phase is Phase.ABORTED and not rollout.is_open


def test_what_somebody_else_sets_is_left_alone(tmp_path: Path) -> None:
    region = Region(tmp_path, plants(unit_01=Plant("unit-01", Random(1), bad={"2.0"})))
    region.settle()
    region.begin(three_rings())
    region.step()
    region.store.put("unit-00", (firmware("1.5"),), region.now_us(), "engineer")
    rollout = region.run("fw-2", 2)
    assert rollout.phase is Phase.HALTED
    assert rollout.members["unit-00"].course is Course.LEFT
    assert region.plants["unit-00"].runs == {"firmware": "1.5"}


def test_a_percentage_takes_in_all_of_a_smaller_one() -> None:
    names = [f"gateway-{number}" for number in range(2000)]
    shares = [{name for name in names if Selector(percent=p).selects(name, "", ())} for p in (0, 5, 20, 100)]
    assert shares[0] == set() and shares[3] == set(names)
    assert shares[1] < shares[2] and 60 < len(shares[1]) < 140 and 340 < len(shares[2]) < 460


def test_only_gateways_that_have_the_items_are_changed(tmp_path: Path) -> None:
    region = Region(tmp_path, plants())
    plan = replace(three_rings(), change=Change(put=(firmware("2.0"),), having=("app/gas",)))
    region.rollouts.plan(plan)
    with pytest.raises(InputError, match="rings that select a gateway"):
        region.rollouts.start("fw-2", {}, NAMES, lambda wanted: None)


def test_what_is_kept_is_what_was_meant() -> None:
    plan = three_rings(windows=(Window("Europe/Berlin", ("sat",), 0, 60),))
    assert Plan.of(plan.to_json()) == plan
    assert Rollout.of(Rollout().to_json()) == Rollout()


@pytest.mark.parametrize("seed", range(40))
def test_many_regions(tmp_path: Path, seed: int) -> None:
    """Gateways that fail, are sick, are out of reach and late, under a headquarters that restarts."""
    chance = Random(seed)
    made = []
    for name in NAMES:
        away = []
        if chance.random() < 0.4:
            begin = START_S + chance.uniform(0, 3 * 3600)
            away.append((begin, begin + chance.uniform(600, 12 * 3600)))
        made.append(
            Plant(
                name,
                Random(f"{seed} {name}"),
                bad={"2.0"} if chance.random() < 0.1 else set(),
                sick={"2.0"} if chance.random() < 0.05 else set(),
                away=away,
                slow_s=chance.choice((0.0, 60.0, 600.0)),
            )
        )
    region = Region(tmp_path, made, restarts=10, seed=seed)
    region.settle()
    plan = three_rings(rules=Rules(failures_max=chance.choice((0, 0, 1, 3)), silent_s=1800.0))
    region.begin(plan)
    rollout = region.run(plan.name, 72, 240)
    plan, rollout = region.rollouts.view(plan.name)
    assert not rollout.is_open, f"seed {seed}: {rollout.phase} {rollout.counted()}"
    region.settle()
    check_order(region, plan)
    check_end(region, plan, rollout)
    failed = sum(member.failed for member in rollout.members.values())
    if rollout.phase is Phase.DONE:
        early = [m for m in rollout.members.values() if m.failed and m.course is Course.RETURNED]
        assert len(early) == failed
    else:
        assert rollout.phase is Phase.HALTED and failed > 0
