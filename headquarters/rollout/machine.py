"""Where a roll-out stands and what it does next: a state machine without clock, store or network.

Rules:
1. Gateways of one ring are changed while a window is open; the next ring comes when each of
   this one has done well for the soak time, has gone back, or is out of reach. A ring of which
   nobody has done well proves nothing: the roll-out waits for whoever is late, or halts.
2. A gateway has failed when it says so, when it does worse than the rules allow, when it falls
   silent, or when it does not get there in time. It goes back alone; when more have failed than
   the rules allow, the roll-out halts and every gateway that was changed goes back.
3. A gateway that was out of reach when its document was set is *late*: it holds up nobody, and
   is judged when it is back, also when all is done.
4. A gateway for which somebody else has set another document is left alone from then on.
5. Going back waits for no window, no ring and no pause.
6. What headquarters could not hear is held against nobody: silence and patience count from when it
   began to listen, and nobody has done well who was not heard since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from headquarters.rollout.plan import Plan, Rules
from headquarters.rollout.windows import is_open


class Phase(StrEnum):
    """Of a roll-out."""

    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    """By its rules; what was changed goes back."""
    ABORTED = "aborted"
    """By an operator; what was changed goes back, unless told otherwise."""
    DONE = "done"


class Course(StrEnum):
    """Of a gateway in a roll-out."""

    WAITING = "waiting"
    LATE = "late"
    """Its document is set; it was out of reach then, and has not been seen since."""
    MOVING = "moving"
    """Its document is set."""
    SOAKING = "soaking"
    """It runs what it should, and is watched."""
    GOOD = "good"
    """It has done well for the soak time, and is watched as long as the roll-out runs."""
    RETURNING = "returning"
    """Its former document is set again."""
    RETURNED = "returned"
    LEFT = "left"
    """It is no longer ours: somebody set another document, or it cannot be changed."""


CHANGED = (Course.LATE, Course.MOVING, Course.SOAKING, Course.GOOD)
"""Courses in which a gateway's document is the roll-out's."""

STRAGGLING = (Course.LATE, Course.MOVING, Course.SOAKING)
"""Courses of gateways that are still waited for when all others are done."""


@dataclass(frozen=True, slots=True)
class Member:
    """A gateway in a roll-out.

    Args:
        ring: Index of its ring.
        course: See `Course`.
        since_s: Since when, seconds since 1970.
        version: Of the document that was set last by the roll-out; 0 while none was.
        previous: Of the document before; 0 for none.
        failed: Whether it has failed.
        why: In words.
    """

    ring: int
    course: Course = Course.WAITING
    since_s: float = 0.0
    version: int = 0
    previous: int = 0
    failed: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a gateway does; `None` where nothing is known.

    Args:
        rate: Samples collected of those due.
        loss: Samples given up of those collected.
        p99_s: Seconds to headquarters, 99 of 100.
        rule_missed: Scans of apps given up, in an hour.
        model_outside: Answers of models outside of what they know, of all.
        alarms: Alarms in ten minutes.
    """

    rate: float | None = None
    loss: float | None = None
    p99_s: float | None = None
    rule_missed: float | None = None
    model_outside: float | None = None
    alarms: float | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of a gateway.

    Args:
        newest: Version of its newest document; 0 for none.
        heard_s: When it reported last, seconds since 1970; `None` for never.
        document: Version of the document that this report is about.
        settled: Whether all items of the change are active there.
        resting: Whether no item of the document is under way there any more.
        failed: Why one of them failed there; empty for none.
        waits: Why one of them is not active yet.
        vitals: How it does, over a window that began after it was settled.
    """

    newest: int = 0
    heard_s: float | None = None
    document: int = 0
    settled: bool = False
    resting: bool = False
    failed: str = ""
    waits: str = ""
    vitals: Vitals = field(default_factory=Vitals)


@dataclass(frozen=True, slots=True)
class Rollout:
    """Where a roll-out stands.

    Args:
        phase: See `Phase`.
        ring: Index of the ring under way.
        members: By gateway.
        why: Why it halted or was aborted.
    """

    phase: Phase = Phase.PLANNED
    ring: int = 0
    members: Mapping[str, Member] = field(default_factory=dict)
    why: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something may still happen."""
        if self.phase in (Phase.RUNNING, Phase.PAUSED):
            return True
        courses = {member.course for member in self.members.values()}
        straggling = self.phase is Phase.DONE and bool(courses & set(STRAGGLING))
        return Course.RETURNING in courses or straggling

    def counted(self) -> dict[str, int]:
        """How many gateways are in each course."""
        found: dict[str, int] = {}
        for member in self.members.values():
            found[str(member.course)] = found.get(str(member.course), 0) + 1
        return found

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        members = {
            name: {field: getattr(member, field) for field in member.__slots__}
            for name, member in self.members.items()
        }
        return {"phase": str(self.phase), "ring": self.ring, "members": members, "why": self.why}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Rollout:
        """Read what `to_json` gave."""
        members = {
            name: Member(**{**member, "course": Course(member["course"])})
            for name, member in found["members"].items()
        }
        return cls(Phase(found["phase"]), found["ring"], members, found["why"])


class Note(StrEnum):
    """What is logged."""

    STARTED = "started"
    RING = "ring"
    SET = "set"
    RUNS = "runs"
    GOOD = "good"
    FAILED = "failed"
    RETURN = "return"
    RETURNED = "returned"
    LEFT = "left"
    HALTED = "halted"
    DONE = "done"
    PAUSED = "paused"
    RESUMED = "resumed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Said:
    """One line of the roll-out's log.

    Args:
        note: What happened.
        gateway: To whom; empty for the whole.
        detail: In words.
    """

    note: Note
    gateway: str = ""
    detail: str = ""


Look = Callable[[str], Sight]


class Step:
    """One step; collects what is to be done.

    Args:
        plan: The plan.
        rollout: Where it stands.
        look: What is known of a gateway.
        now_s: Seconds since 1970.
        listening_s: Since when headquarters has listened without a break, seconds since 1970.
    """

    def __init__(
        self, plan: Plan, rollout: Rollout, look: Look, now_s: float, listening_s: float = 0.0
    ) -> None:
        self._plan = plan
        self._look = look
        self._now_s = now_s
        self._listening_s = listening_s
        self._members = dict(rollout.members)
        self._rollout = rollout
        self.said: list[Said] = []
        self.set: list[str] = []
        """Gateways whose document is to be changed: `placed` takes the outcome."""
        self.back: list[str] = []
        """Gateways whose former document is to be set again: `placed` takes the outcome."""
        self._run()

    @property
    def rollout(self) -> Rollout:
        """Where it stands afterwards."""
        return replace(self._rollout, members=self._members)

    def placed(self, gateway: str, version: int, previous: int) -> None:
        """A document was set, as asked for."""
        member = self._members[gateway]
        kept = member.previous if member.course is Course.RETURNING else previous
        self._members[gateway] = replace(member, version=version, previous=kept)

    def left(self, gateway: str, why: str) -> None:
        """A document could not be set."""
        self._leave(gateway, why)

    # -- parts -------------------------------------------------------------------------------------

    def _run(self) -> None:
        if self._rollout.phase is Phase.PLANNED:
            return
        for gateway in list(self._members):
            self._judge(gateway)
        phase = self._rollout.phase
        if phase in (Phase.RUNNING, Phase.PAUSED, Phase.DONE):
            self._halt_or_return()
        if self._rollout.phase is Phase.RUNNING:
            self._advance()

    def _judge(self, gateway: str) -> None:
        member = self._members[gateway]
        ended = self._rollout.phase in (Phase.HALTED, Phase.ABORTED)
        watched = () if ended else STRAGGLING if self._rollout.phase is Phase.DONE else CHANGED
        if member.course not in (*watched, Course.RETURNING):
            return
        sight = self._look(gateway)
        if sight.newest > member.version:
            self._leave(gateway, f"somebody else set version {sight.newest}")
            return
        heard = sight.heard_s is not None and sight.heard_s >= member.since_s
        if member.course is Course.RETURNING:
            if sight.document >= member.version and heard and sight.resting:
                self._to(gateway, Course.RETURNED, Note.RETURNED)
            return
        there = sight.document >= member.version
        if there and sight.failed:
            self._fail(gateway, sight.failed)
        elif there and sight.settled and member.course in (Course.LATE, Course.MOVING):
            self._to(gateway, Course.SOAKING, Note.RUNS)
        elif member.course in (Course.SOAKING, Course.GOOD):
            self._watch(gateway, member, sight)
        elif member.course is Course.LATE and heard:
            self._members[gateway] = replace(member, course=Course.MOVING, since_s=self._now_s)
        elif member.course is Course.MOVING:
            self._hurry(gateway, member, sight)

    def _watch(self, gateway: str, member: Member, sight: Sight) -> None:
        rules = self._plan.rules
        why = unhealthy(sight.vitals, rules)
        if why:
            self._fail(gateway, why)
        elif self._is_silent(member, sight):
            self._fail(gateway, f"no report for {rules.silent_s:g} s")
        elif sight.document >= member.version and not sight.settled:
            self._members[gateway] = replace(member, course=Course.MOVING, since_s=self._now_s)
        elif member.course is Course.SOAKING and self._has_soaked(member, sight):
            self._to(gateway, Course.GOOD, Note.GOOD)

    def _hurry(self, gateway: str, member: Member, sight: Sight) -> None:
        rules = self._plan.rules
        if self._is_silent(member, sight):
            self._fail(gateway, f"no report for {rules.silent_s:g} s since its document was set")
        elif self._now_s - max(member.since_s, self._listening_s) >= rules.patience_s:
            self._fail(
                gateway, f"not in place after {rules.patience_s:g} s: {sight.waits or 'no reason given'}"
            )

    def _is_silent(self, member: Member, sight: Sight) -> bool:
        last = max(member.since_s, sight.heard_s or 0.0, self._listening_s)
        return self._now_s - last >= self._plan.rules.silent_s

    def _has_soaked(self, member: Member, sight: Sight) -> bool:
        soaked = self._now_s - member.since_s >= self._plan.rings[member.ring].soak_s
        return soaked and (sight.heard_s or 0.0) >= self._listening_s

    def _halt_or_return(self) -> None:
        fresh = [
            gateway for gateway, member in self._members.items() if member.failed and member.course in CHANGED
        ]
        total = sum(member.failed for member in self._members.values())
        if total > self._plan.rules.failures_max and fresh and self._rollout.phase is not Phase.DONE:
            first = self._members[fresh[0]]
            self._halt(f"{total} failed; {fresh[0]}: {first.why}")
            return
        for gateway in fresh:
            self._return(gateway)

    def _halt(self, why: str) -> None:
        self._rollout = replace(self._rollout, phase=Phase.HALTED, why=why)
        self._say(Note.HALTED, detail=why)
        self.give_all_back()

    def _return(self, gateway: str) -> None:
        member = self._members[gateway]
        self._members[gateway] = replace(member, course=Course.RETURNING, since_s=self._now_s)
        self.back.append(gateway)
        self._say(Note.RETURN, gateway, member.why)

    def give_all_back(self) -> None:
        """Set the former documents of all that were changed."""
        for gateway, member in list(self._members.items()):
            if member.course in CHANGED:
                self._return(gateway)

    def _advance(self) -> None:
        while self._rollout.ring < len(self._plan.rings):
            members = [m for m in self._members.values() if m.ring == self._rollout.ring]
            if not self._ring_is_over(members):
                break
            if self._proved_nothing(members):
                name = self._plan.rings[self._rollout.ring].name
                self._halt(f"no gateway of ring {name} has done well")
                return
            following = self._rollout.ring + 1
            self._rollout = replace(self._rollout, ring=following)
            if following < len(self._plan.rings):
                self._say(Note.RING, detail=self._plan.rings[following].name)
        else:
            self._rollout = replace(self._rollout, phase=Phase.DONE)
            late = sum(member.course is Course.LATE for member in self._members.values())
            self._say(Note.DONE, detail=f"{late} are late" if late else "")
            return
        if is_open(self._plan.windows, self._now_s):
            for gateway, member in list(self._members.items()):
                if member.ring == self._rollout.ring and member.course is Course.WAITING:
                    self._set(gateway, member)

    def _ring_is_over(self, members: list[Member]) -> bool:
        courses = {member.course for member in members}
        if courses & {Course.WAITING, Course.MOVING, Course.SOAKING}:
            return False
        return Course.GOOD in courses or Course.LATE not in courses

    def _proved_nothing(self, members: list[Member]) -> bool:
        return any(member.failed for member in members) and all(
            member.course is not Course.GOOD for member in members
        )

    def _set(self, gateway: str, member: Member) -> None:
        sight = self._look(gateway)
        near = sight.heard_s is not None and self._now_s - sight.heard_s < self._plan.rules.silent_s
        course = Course.MOVING if near else Course.LATE
        self._members[gateway] = replace(member, course=course, since_s=self._now_s)
        self.set.append(gateway)
        self._say(Note.SET, gateway, "" if near else "out of reach: it will be late")

    def _fail(self, gateway: str, why: str) -> None:
        self._members[gateway] = replace(self._members[gateway], failed=True, why=why)
        self._say(Note.FAILED, gateway, why)

    def _leave(self, gateway: str, why: str) -> None:
        member = self._members[gateway]
        self._members[gateway] = replace(member, course=Course.LEFT, since_s=self._now_s, why=why)
        self._say(Note.LEFT, gateway, why)

    def _to(self, gateway: str, course: Course, note: Note) -> None:
        self._members[gateway] = replace(self._members[gateway], course=course, since_s=self._now_s)
        self._say(note, gateway)

    def _say(self, note: Note, gateway: str = "", detail: str = "") -> None:
        self.said.append(Said(note, gateway, detail))


def unhealthy(vitals: Vitals, rules: Rules) -> str:
    """What a gateway does worse than the rules allow; empty when it does well.

    >>> unhealthy(Vitals(rate=0.5, loss=0.0), Rules())
    'it collects 0.5 of what is due; at least 0.9 is asked for'
    >>> unhealthy(Vitals(rate=1.0), Rules())
    ''
    """
    if vitals.rate is not None and rules.rate_min is not None and vitals.rate < rules.rate_min:
        return f"it collects {vitals.rate:.3g} of what is due; at least {rules.rate_min:g} is asked for"
    for found, most, what in (
        (vitals.loss, rules.loss_max, "of its samples are lost"),
        (vitals.p99_s, rules.p99_s_max, "s until 99 of 100 samples are at headquarters"),
        (vitals.rule_missed, rules.rule_missed_max, "scans of apps given up in an hour"),
        (
            vitals.model_outside,
            rules.model_outside_max,
            "of its models' answers are outside of their range",
        ),
        (vitals.alarms, rules.alarms_max, "alarms in ten minutes"),
    ):
        if found is not None and most is not None and found > most:
            return f"{found:.3g} {what}; at most {most:g} are allowed"
    return ""


def start(plan: Plan, rings: Mapping[str, int]) -> Rollout:
    """A roll-out that begins.

    Args:
        plan: The plan.
        rings: For each gateway that a ring selects the ring's index.
    """
    return Rollout(Phase.RUNNING, 0, {gateway: Member(ring) for gateway, ring in sorted(rings.items())})
