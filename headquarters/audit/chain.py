"""The hash chain of the audit, and how it is checked; no I/O.

Rules:
1. An entry's hash is SHA-256 over a tag, the hash of the entry before it, and the canonical msgpack
   of its content, all fields in one fixed order.
2. Sequence numbers count up by one from the base, so that nothing can be left out.
3. A seal is headquarters' signature over head and base: who rewrites the whole chain, or cuts off
   its end or its beginning, contradicts a seal.
4. A fault is located: the entry, and which part of it was altered, when its neighbours still say so.

>>> one = link(Content(1, 0, "group", "system", "", "init", "users.add", "anna", "done", "{}"), bytes(32))
>>> two = link(Content(2, 9, "group", "user", "7", "anna", "users.disable", "ben", "done", "{}"), one.hash)
>>> check([one, two], Base(0, bytes(32))).faults
[]
>>> forged = one._replace(content=one.content._replace(target="eve"))
>>> print(check([forged, two], Base(0, bytes(32))).faults[0])
entry 1: its content was altered: its hash and the entry after it do not match it
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgpack

from protocols.identity import SigningKey, VerifyKey

TAG = b"catchment/audit/1"
SEAL_TAG = b"catchment/audit-seal/1"


class Content(NamedTuple):
    """What an entry says.

    Args:
        seq: Its place in the chain, from 1.
        time_us: When, microseconds since 1970.
        tenant: Whose affair it was.
        actor_kind: `user`, `token` or `system`.
        actor_id: Who, by id.
        actor_name: Who, as people know them.
        action: What, such as `users.disable`.
        target: To whom or what.
        outcome: `done`, `denied` or `failed`.
        detail: More, as a JSON object.
    """

    seq: int
    time_us: int
    tenant: str
    actor_kind: str
    actor_id: str
    actor_name: str
    action: str
    target: str
    outcome: str
    detail: str


class Entry(NamedTuple):
    """One link of the chain: what it says, the hash before it, its own."""

    content: Content
    previous: bytes
    hash: bytes


class Base(NamedTuple):
    """What the chain begins after: the last entry that was removed, or nothing."""

    seq: int
    hash: bytes


class Seal(NamedTuple):
    """A signed statement of how the chain stood; `key` is the public key, 32 bytes."""

    seq: int
    hash: bytes
    base: Base
    time_us: int
    key: bytes
    signature: bytes


@dataclass
class Report:
    """What a check found.

    Args:
        entries: How many entries were looked at.
        last: The last of them; the base when there was none.
        seals: How many seals hold.
        faults: What is wrong, each with its place.
    """

    entries: int
    last: Base
    seals: int
    faults: list[str]


def digest(content: Content, previous: bytes) -> bytes:
    """The hash of an entry that follows another."""
    return hashlib.sha256(TAG + previous + bytes(msgpack.packb(list(content)))).digest()


def link(content: Content, previous: bytes) -> Entry:
    """Make the next entry."""
    return Entry(content, previous, digest(content, previous))


def seal(key: SigningKey, last: Base, base: Base, time_us: int) -> Seal:
    """Sign how the chain stands."""
    return Seal(*last, base, time_us, key.public, key.sign(SEAL_TAG, _sealed(last, base, time_us)))


def check(
    entries: Iterable[Entry], base: Base, seals: Iterable[Seal] = (), keys: Iterable[bytes] | None = None
) -> Report:
    """Walk a chain.

    Args:
        entries: In the order of their sequence.
        base: What the first of them follows.
        seals: Statements about it, the oldest first.
        keys: Public keys that may have signed them; `None`: any key is believed.

    Returns:
        What was found; no faults: every byte is as it was written.
    """
    walk = _Walk(base)
    wanted = {seal.seq for seal in seals if seal.seq > base.seq} if (seals := list(seals)) else set()
    for entry in entries:
        walk.take(entry)
        if entry.content.seq in wanted:
            walk.marked[entry.content.seq] = entry.hash
    walk.end()
    _check_seals(walk, seals, None if keys is None else set(keys))
    walk.report.faults.sort(key=lambda fault: fault[0])
    report = walk.report
    return Report(report.entries, walk.last, report.seals, [text for _, text in report.faults])


@dataclass
class _Found:
    entries: int = 0
    seals: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)


class _Walk:
    """Goes along the chain, one entry behind: what an entry was is told by the one after it."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.last = base
        self.report = _Found()
        self.marked: dict[int, bytes] = {}
        self._suspect: tuple[int, bytes, bytes] | None = None

    def take(self, entry: Entry) -> None:
        seq = entry.content.seq
        self.report.entries += 1
        self._judge_suspect(entry.previous)
        if type(seq) is not int:  # what is read from a damaged store may be anything
            seq = self.last.seq + 1
            self._fault(seq, f"entry {seq}: its number was altered")
        if seq != self.last.seq + 1:
            self._fault(seq, f"entry {seq}: expected entry {self.last.seq + 1} here; entries are missing")
        elif entry.previous != self.last.hash and self._own(entry, self.last.hash):
            self._fault(seq, f"entry {seq}: its hash of the entry before it was altered")
        elif entry.previous != self.last.hash and self._own(entry, entry.previous):
            self._fault(seq, f"entry {seq}: it follows another entry than the one before it")
        if not self._own(entry, entry.previous) and not self._own(entry, self.last.hash):
            self._suspect = (seq, entry.hash, digest(entry.content, entry.previous))
        self.last = Base(seq, entry.hash)

    def end(self) -> None:
        self._judge_suspect(None)

    def _judge_suspect(self, follower: bytes | None) -> None:
        """An entry that does not match its hash: was the content altered, or the hash?"""
        if self._suspect is None:
            return
        seq, stated, computed = self._suspect
        self._suspect = None
        if follower == computed:
            self._fault(seq, f"entry {seq}: its hash was altered: the entry after it knows the true one")
            self.last = Base(seq, computed)
        elif follower == stated:
            self._fault(
                seq, f"entry {seq}: its content was altered: its hash and the entry after it do not match it"
            )
        else:
            self._fault(seq, f"entry {seq}: its content or its hash was altered")

    @staticmethod
    def _own(entry: Entry, previous: bytes) -> bool:
        return digest(entry.content, previous) == entry.hash

    def _fault(self, seq: int, text: str) -> None:
        self.report.faults.append((seq, text))


def _check_seals(walk: _Walk, seals: list[Seal], keys: set[bytes] | None) -> None:
    faults = walk.report.faults
    for each in seals:
        place = f"seal of entry {each.seq}"
        if keys is not None and each.key not in keys:
            faults.append((each.seq, f"{place}: signed by a key that is not headquarters'"))
        elif not VerifyKey(each.key).verify(
            SEAL_TAG, _sealed(Base(each.seq, each.hash), each.base, each.time_us), each.signature
        ):
            faults.append((each.seq, f"{place}: its signature does not hold"))
        elif each.seq > walk.last.seq:
            text = f"{place}: the chain ends at entry {walk.last.seq}; its end was cut off"
            faults.append((each.seq, text))
        elif each.seq > walk.base.seq and walk.marked.get(each.seq) != each.hash:
            faults.append((each.seq, f"{place}: the chain has another entry there; it was written anew"))
        else:
            walk.report.seals += 1
    if seals and seals[-1].base != walk.base:
        text = (
            f"seal of entry {seals[-1].seq}: expected the chain to begin after entry {seals[-1].base.seq},"
            f" it begins after {walk.base.seq}; its beginning was cut off"
        )
        faults.append((walk.base.seq, text))


def _sealed(last: Base, base: Base, time_us: int) -> bytes:
    return bytes(msgpack.packb([*last, *base, time_us]))
