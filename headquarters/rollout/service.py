"""Roll-outs over the store: what operators ask for, and the step that headquarters takes every few seconds.

A step reads where a roll-out stands, lets the machine decide, and writes the decision and the
documents that follow from it in one transaction. The update repository is brought up afterwards:
what a kill leaves unpublished goes there at the next step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from headquarters.desired.store import DesiredStore, Logged, Reported, RolloutRow
from headquarters.desired.wanted import changed
from headquarters.rollout.health import LakeVitals, vitals_of
from headquarters.rollout.machine import Course, Note, Phase, Rollout, Said, Sight, Step, start
from headquarters.rollout.plan import Plan
from headquarters.rollout.planfile import rings_of
from protocols.desired import Item, ItemState
from protocols.errors import InputError, Problem
from protocols.tomlfile import suggest

RESTING = (ItemState.ACTIVE, ItemState.FAILED, ItemState.DRIFTED)
"""States in which an item stays until something else happens."""

AUTHOR = "rollout "
"""Before its name, who set a document."""

DemandRoom = Callable[[Mapping[str, Sequence[Item]]], None]
"""Asked with what would be desired of some gateways; raises `QuotaError` where that is too much."""


class Rollouts:
    """The roll-outs of a store.

    Args:
        store: The store.
        now_us: Microseconds since 1970.
    """

    def __init__(self, store: DesiredStore, now_us: Callable[[], int]) -> None:
        self._store = store
        self._now_us = now_us

    # -- what operators ask for --------------------------------------------------------------------

    def plan(self, plan: Plan) -> None:
        """Keep a plan; one that has not begun is replaced.

        Raises:
            InputError: There is a roll-out of this name that has begun.
        """
        with self._store.transaction():
            known = self._store.rollout(plan.name)
            if known is not None and self._state(known).phase is not Phase.PLANNED:
                expected = "a name of its own: a roll-out of this name has begun"
                raise InputError([Problem("plan", "name", plan.name, expected)])
            self._keep(plan, Rollout(), [])

    def start(
        self, name: str, site_of: Mapping[str, str], gateways: list[str], demand_room: DemandRoom
    ) -> Rollout:
        """Begin.

        Args:
            name: Of the plan.
            site_of: Sites by gateway.
            gateways: All that there are.
            demand_room: Asked with what will be desired of the gateways of all rings.

        Raises:
            InputError: There is no such plan, it has begun, or its rings select nobody.
            QuotaError: There is no room for what will be desired.
        """
        with self._store.transaction():
            plan, known = self._need(name)
            self._expect(name, known, Phase.PLANNED)
            rings = rings_of(plan, gateways, site_of, self._store.tags())
            having = set(plan.change.having)
            if having:
                rings = {gateway: ring for gateway, ring in rings.items() if having <= self._refs(gateway)}
            if not rings:
                expected = "rings that select a gateway; see: catchment-hq desired list"
                raise InputError([Problem(name, "ring", "", expected)])
            demand_room(dict(self._to_be(plan, rings)))
            begun = start(plan, rings)
            self._keep(plan, begun, [Said(Note.STARTED, detail=f"{len(rings)} gateways")])
            return begun

    def pause(self, name: str) -> Rollout:
        """Change no further gateways; those that were changed are watched all the same.

        Raises:
            InputError: It does not run.
        """
        return self._turn(name, (Phase.RUNNING,), Phase.PAUSED, Note.PAUSED)

    def resume(self, name: str) -> Rollout:
        """Go on.

        Raises:
            InputError: It is not paused.
        """
        return self._turn(name, (Phase.PAUSED,), Phase.RUNNING, Note.RESUMED)

    def abort(self, name: str, keep: bool) -> Rollout:
        """End it.

        Args:
            name: Which.
            keep: Leave what was changed as it is; else it goes back.

        Raises:
            InputError: It has ended, or has not begun.
        """
        with self._store.transaction():
            plan, known = self._need(name)
            self._expect(name, known, Phase.RUNNING, Phase.PAUSED)
            ended = replace(known, phase=Phase.ABORTED, why="by an operator")
            step = Step(plan, ended, lambda gateway: Sight(), self._now_us() / 1e6)
            if not keep:
                step.give_all_back()
            self._carry_out(plan, step)
            self._keep(plan, step.rollout, [Said(Note.ABORTED), *step.said])
            return step.rollout

    def view(self, name: str) -> tuple[Plan, Rollout]:
        """A plan, and where it stands.

        Raises:
            InputError: There is none of this name.
        """
        return self._need(name)

    # -- what headquarters does --------------------------------------------------------------------

    def step(self, lake: Mapping[str, LakeVitals], listening_s: float = 0.0) -> list[tuple[str, Said]]:
        """Take a step in every open roll-out.

        Args:
            lake: What the lake says of gateways.
            listening_s: Since when headquarters has listened without a break, seconds since 1970.

        Returns:
            What happened, with the roll-out's name.

        Raises:
            StoreError: The disk failed; nothing of the step happened.
        """
        return [
            (row.name, said)
            for row in self._store.rollouts(open_only=True)
            for said in self._step(row.name, lake, listening_s)
        ]

    # -- leaves ------------------------------------------------------------------------------------

    def _step(self, name: str, lake: Mapping[str, LakeVitals], listening_s: float) -> list[Said]:
        with self._store.transaction():
            plan, known = self._need(name)
            reported = self._store.all_reported(known.members)
            versions = self._store.versions()

            def look(gateway: str) -> Sight:
                member = known.members[gateway]
                since_s = member.since_s if member.course is Course.SOAKING else 0.0
                version = versions.get(gateway, 0)
                return _sight(plan, version, reported.get(gateway), lake.get(gateway), since_s)

            step = Step(plan, known, look, self._now_us() / 1e6, listening_s)
            self._carry_out(plan, step)
            if step.rollout != known:
                self._keep(plan, step.rollout, step.said)
            return step.said

    def _carry_out(self, plan: Plan, step: Step) -> None:
        """Set the documents that a step asks for, in its transaction."""
        now_us, author = self._now_us(), AUTHOR + plan.name
        for gateway in step.set:
            known = self._store.newest(gateway)
            try:
                items = self._changed(plan, gateway)
            except InputError as error:
                step.left(gateway, str(error))
                continue
            document, _ = self._store.put(gateway, items, now_us, author)
            step.placed(gateway, document.version, 0 if known is None else known.document.version)
        for gateway in step.back:
            member = step.rollout.members[gateway]
            former = self._store.entry(gateway, member.previous) if member.previous else None
            items = () if former is None else former.document.items
            document, _ = self._store.put(gateway, items, now_us, author, f"back: {member.why}"[:200])
            step.placed(gateway, document.version, member.previous)

    def _turn(self, name: str, of: tuple[Phase, ...], to: Phase, note: Note) -> Rollout:
        with self._store.transaction():
            plan, known = self._need(name)
            self._expect(name, known, *of)
            turned = replace(known, phase=to)
            self._keep(plan, turned, [Said(note)])
            return turned

    def _need(self, name: str) -> tuple[Plan, Rollout]:
        row = self._store.rollout(name)
        if row is None:
            names = [each.name for each in self._store.rollouts()]
            expected = f"the name of a roll-out; {suggest(name, names)}"
            raise InputError([Problem("rollout", "NAME", name, expected)])
        return Plan.of(json.loads(row.plan)), self._state(row)

    def _expect(self, name: str, known: Rollout, *phases: Phase) -> None:
        if known.phase not in phases:
            expected = f"a roll-out that is {' or '.join(phases)}; this one is {known.phase}"
            raise InputError([Problem("rollout", "NAME", name, expected)])

    def _to_be(self, plan: Plan, gateways: Iterable[str]) -> Iterator[tuple[str, tuple[Item, ...]]]:
        """What will be desired of gateways; those whose documents the change does not fit are left out."""
        for gateway in gateways:
            with suppress(InputError):
                yield gateway, self._changed(plan, gateway)

    def _changed(self, plan: Plan, gateway: str) -> tuple[Item, ...]:
        known = self._store.newest(gateway)
        before = () if known is None else known.document.items
        return changed(before, plan.change.put, plan.change.remove)

    def _refs(self, gateway: str) -> set[str]:
        known = self._store.newest(gateway)
        return set() if known is None else set(known.document.by_ref)

    @staticmethod
    def _state(row: RolloutRow) -> Rollout:
        return Rollout.of(json.loads(row.state))

    def _keep(self, plan: Plan, rollout: Rollout, said: list[Said]) -> None:
        now_us = self._now_us()
        known = self._store.rollout(plan.name)
        row = RolloutRow(
            plan.name,
            now_us if known is None else known.made_us,
            json.dumps(plan.to_json(), ensure_ascii=False),
            json.dumps(rollout.to_json(), ensure_ascii=False),
            rollout.is_open,
        )
        self._store.keep_rollout(row, [Logged(now_us, s.gateway, str(s.note), s.detail) for s in said])


def _sight(
    plan: Plan,
    version: int,
    reported: Reported | None,
    lake: LakeVitals | None,
    settled_s: float,
) -> Sight:
    """What is known of a gateway.

    Args:
        plan: Whose change counts.
        version: Of the gateway's newest document.
        reported: Its newest report.
        lake: What the lake says of it.
        settled_s: Since when it has run what it should: its vitals count from then on.
    """
    if reported is None:
        return Sight(version)
    report = reported.report
    items = {item.ref: item for item in report.items}
    put = [items.get(item.ref) for item in plan.change.put]
    failed = [
        f"{item.ref}: {item.why}" for item in put if item is not None and item.state is ItemState.FAILED
    ]
    waits = [
        f"{item.ref}: {item.state} {item.why}".rstrip()
        for item in put
        if item is not None and item.state not in (ItemState.ACTIVE, ItemState.FAILED)
    ]
    left = [f"{ref}: still there" for ref in plan.change.remove if ref in items]
    settled = all(item is not None and item.state is ItemState.ACTIVE for item in put) and not left
    heard_s = reported.received_us / 1e6
    began_s = heard_s - report.health.window_s
    vitals = (
        vitals_of(report.health, lake) if began_s >= settled_s else vitals_of(type(report.health)(), None)
    )
    return Sight(
        version,
        heard_s,
        report.document,
        settled,
        all(item.state in RESTING for item in report.items),
        "; ".join(failed),
        "; ".join([*waits, *left]),
        vitals,
    )
