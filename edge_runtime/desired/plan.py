"""What is to be done so that a gateway becomes what its document says: a pure comparison.

Rules:
1. An item whose recorded digest is the desired one and whose files are as they were written is
   active, and nothing about it is touched.
2. A file that differs from what was written has been changed at the gateway: the item's policy
   decides. An item that did not run is not tried again until it is another one; one that a
   check refused is checked again when another document came, or a local change.
3. An item waits while one that it needs is not active and will not become so now; others go on.
4. An app or model that is no longer desired goes; configuration, points and firmware stay as
   they are and are no longer looked after.

>>> from protocols.desired import Document, Item, ItemKind
>>> item = Item(ItemKind.POINTS, "p", "1", "config/p-1.csv", 3, "00" * 32)
>>> [(step.ref, str(step.action)) for step in plan(Document("unit-1", 1, (item,)), {}, {}, set()).steps]
[('points', 'install')]
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from protocols.desired import Document, Drift, Item, ItemKind
from protocols.desired.document import in_order

WAITING = "waits for "


class Action(StrEnum):
    """What becomes of an item now."""

    KEEP = "keep"
    """It is in place."""
    INSTALL = "install"
    LEAVE = "leave"
    """Somebody changed it; the policy leaves it."""
    WAIT = "wait"
    """For an item that it needs."""
    GIVE_UP = "give-up"
    """It failed before."""
    REMOVE = "remove"
    FORGET = "forget"
    """It is no longer desired and stays."""


@dataclass(frozen=True, slots=True)
class Installed:
    """An item that was put in place.

    Args:
        digest: `Item.digest` of it.
        version: Of the item.
        files: SHA-256 as written, by path within the home.
    """

    digest: str
    version: str
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that was refused or did not run.

    Args:
        digest: `Item.digest` of it.
        why: In words.
        context: What else decided (`context_of`): beside other things it may work. Empty where it
            failed by itself.
    """

    digest: str
    why: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one item.

    Args:
        ref: Which.
        action: What.
        why: In words, where it is not obvious.
        item: As desired; `None` for one that is no longer desired.
    """

    ref: str
    action: Action
    why: str = ""
    item: Item | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, in the order in which they are taken: removals last."""

    steps: tuple[Step, ...]

    def of(self, *actions: Action) -> list[Step]:
        """The steps of some kinds."""
        return [step for step in self.steps if step.action in actions]

    @property
    def is_noop(self) -> bool:
        """Whether nothing is to be touched."""
        return not self.of(Action.INSTALL, Action.REMOVE, Action.FORGET)


def plan(
    document: Document,
    installed: Mapping[str, Installed],
    failed: Mapping[str, Failure],
    changed: Collection[str],
) -> Plan:
    """Compare a document with what is in place.

    Args:
        document: What is desired.
        installed: What was put in place, by ref.
        failed: What did not work, by ref.
        changed: Refs of installed items whose files are no longer as they were written.
    """
    steps: list[Step] = []
    reachable: set[str] = set()
    context = context_of(document, changed)
    for item in in_order(document.items):
        failure = failed.get(item.ref)
        if failure is not None and (failure.digest != item.digest or failure.context not in ("", context)):
            failure = None
        step = _step(item, installed.get(item.ref), failure, item.ref in changed)
        missing = [need for need in item.all_needs if need not in reachable]
        if step.action is Action.INSTALL and missing:
            step = Step(item.ref, Action.WAIT, WAITING + ", ".join(missing), item)
        if step.action in (Action.KEEP, Action.INSTALL) or _runs(step, installed.get(item.ref)):
            reachable.add(item.ref)
        steps.append(step)
    wanted = document.by_ref
    for ref in sorted(installed.keys() - wanted.keys()):
        goes = ref.partition("/")[0] in (ItemKind.APP, ItemKind.MODEL)
        steps.append(Step(ref, Action.REMOVE if goes else Action.FORGET, "no longer desired"))
    return Plan(tuple(steps))


def context_of(document: Document, changed: Collection[str]) -> str:
    """What decides beside an item whether it passes a check: all that is desired, and local changes."""
    return hashlib.sha256(b"\0".join([document.content, *map(str.encode, sorted(changed))])).hexdigest()


def _step(item: Item, there: Installed | None, failure: Failure | None, changed: bool) -> Step:
    if there is not None and there.digest == item.digest:
        if not changed:
            return Step(item.ref, Action.KEEP, item=item)
        if item.drift is not Drift.OVERWRITE:
            why = f"changed at the gateway; stays by policy {item.drift}"
            return Step(item.ref, Action.LEAVE, why, item)
    elif there is not None and changed and item.drift is Drift.REPORT:
        why = f"changed at the gateway; version {item.version} waits until that is resolved"
        return Step(item.ref, Action.LEAVE, why, item)
    if failure is not None:
        return Step(item.ref, Action.GIVE_UP, failure.why, item)
    return Step(item.ref, Action.INSTALL, item=item)


def _runs(step: Step, there: Installed | None) -> bool:
    """Whether an item that is left alone is the one that is desired, changed as it may be."""
    return (
        step.action is Action.LEAVE
        and there is not None
        and step.item is not None
        and there.digest == step.item.digest
    )
