"""Power fails at every write of headquarters' register, and of what a hub knows of its group.

What was answered before a cut holds after it: a token has let in the keys that used it and no
others, a certificate that was given out is in the register, whoever was put out stays out, and no
directory is older than one that was given out before. And whatever was cut, the register is whole:
the same questions go on from there.
"""

from __future__ import annotations

import copy
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headquarters.security import authority as authorities
from headquarters.security.registry import (
    FILE,
    KeyState,
    NodeStatus,
    Registry,
    RequestState,
)
from protocols import certificates, durable
from protocols.calls import Caller, CallRefusedError
from protocols.directory import Part, Trusted, open_sealed
from protocols.enrolment import Request, Token, sign_renewal
from protocols.held import HeldDirectory
from protocols.identity import Identity
from protocols.joining import accept, keys_for
from protocols.renewal import Renewal, Step
from tests.faults.power import recorded
from tests.group_parts import HUB, DirectCalls, Group, days, via
from tests.slot_parts import quick_disk
from tests.torn_sqlite import ApswConnection, Disk, RecordingVfs

TRIES = 2
"""At each write, because what was not flushed may be there or not."""

FROM = {
    KeyState.NEXT: set(KeyState),
    KeyState.CURRENT: {KeyState.CURRENT, KeyState.RETIRED, KeyState.REVOKED},
    KeyState.RETIRED: {KeyState.RETIRED, KeyState.REVOKED},
    KeyState.REVOKED: {KeyState.REVOKED},
}
"""What keys may be later, by what they were."""


@pytest.fixture
def disk_in_memory(tmp_path: Path) -> Iterator[Path]:
    with quick_disk(tmp_path) as folder:
        yield folder


@dataclass
class Life:
    """What headquarters did, and what it said meanwhile: each with the number of writes before it.

    Args:
        group: Headquarters.
        disk: What the register wrote.
    """

    group: Group
    disk: Disk
    said: list[tuple[int, Callable[[Group], bool], str]] = field(default_factory=list)
    versions: list[tuple[int, int]] = field(default_factory=list)
    keys: dict[str, list[tuple[int, Identity]]] = field(default_factory=dict)
    tokens: dict[bytes, tuple[Token, Identity]] = field(default_factory=dict)

    def says(self, what: str, so: Callable[[Group], bool]) -> None:
        """From now on this holds, whatever is cut."""
        assert so(self.group), what
        self.said.append((len(self.disk.log), so, what))

    def lets_in(self, identity: Identity, name: str, site: str = "plant-a") -> Token:
        """Invite, ask, approve, ask again; each answer is remembered."""
        group, role = self.group, identity.public.role
        token = group.invite(name, site, role)
        id_ = token.token_id
        self.says("the token was given out", lambda now: now.registry.token(id_) is not None)
        assert group.ask(token, identity) is None
        self.tokens[id_] = (token, identity)
        self.says("the token is used", lambda now: _used(now, id_))
        group.office.approve(name)
        self.says("approved", lambda now: _decided(now, name, id_))
        grant = group.ask(token, identity)
        assert grant is not None
        self.issued(identity, certificates.parse(grant.chain[0]).serial, KeyState.CURRENT)
        self.directory()
        return token

    def issued(self, identity: Identity, serial: int, state: KeyState) -> None:
        """A certificate left the house."""

        def known(now: Group) -> bool:
            row = now.registry.keys_by_serial(serial)
            return row is not None and row.node == identity.public and row.state in FROM[state]

        self.says(f"certificate {serial:x} is {state}", known)

    def directory(self) -> None:
        """A hub asks for the directory."""
        for part in Part:
            argument = {"part": part, "held": 0, "offset": 0, "addresses": _ADDRESSES}
            self.group.publisher.directory(Caller(HUB.public.link, HUB.public), argument)
        self.versions.append((len(self.disk.log), self.group.publisher.version))

    def renews(self, old: Identity, new: Identity, serial: int) -> int:
        """Ask for the next certificate, and confirm it."""
        group = self.group
        request = Request(new.public, group.now, bytes(16), serial=serial)
        group.desk.renew(via(HUB.public), sign_renewal(request, old.signing, new.signing))
        [row] = [row for row in group.registry.keys_of(new.id) if row.state is KeyState.NEXT]
        self.issued(new, row.serial, KeyState.NEXT)
        self.directory()
        request = Request(new.public, group.now, bytes(16), serial=row.serial, confirms=True)
        group.desk.renew(via(HUB.public), sign_renewal(request, new.signing, new.signing))
        self.issued(new, row.serial, KeyState.CURRENT)
        self.issued(old, serial, KeyState.RETIRED)
        self.directory()
        return row.serial

    def revokes(self, name: str) -> None:
        """Put a node out."""
        serials = [row.serial for row in self.group.registry.keys_of(name)]
        self.group.office.revoke(name, "stolen")
        self.says(
            "revoked",
            lambda now: all(
                row is not None and row.state is KeyState.REVOKED
                for row in map(now.registry.keys_by_serial, serials)
            ),
        )
        self.directory()


_ADDRESSES = {"data": "", "service": "", "enrolment": ""}


def _used(now: Group, token: bytes) -> bool:
    row = now.registry.token(token)
    return row is not None and row.used_by is not None


def _decided(now: Group, node: str, token: bytes) -> bool:
    """Whether a token's request was decided, unless a later one took its place."""
    row = now.registry.request(node)
    return row is not None and (row.token != token or row.state is not RequestState.PENDING)


def _request(now: Group, node: str) -> RequestState | None:
    row = now.registry.request(node)
    return None if row is None else row.state


def live(life: Life) -> None:
    """Enrolment, approval, rejection, renewal, rotation, quarantine, revocation, and enrolling anew."""
    group, gateway = life.group, Identity.generate("unit-1", "gateway", "plant-a")
    life.lets_in(Identity.generate("hub-9", "hub"), "hub-9", "")
    life.lets_in(gateway, "unit-1")
    serial = group.registry.keys_of("unit-1")[-1].serial
    refused = Identity.generate("unit-2", "gateway", "plant-a")
    assert group.ask(group.invite("unit-2"), refused) is None
    group.office.reject("unit-2", "nobody knows it")
    life.says("rejected", lambda now: _request(now, "unit-2") is RequestState.REJECTED)
    group.now += days(250)
    serial = life.renews(gateway, gateway, serial)
    group.office.rotate("unit-1")
    rotated = Identity.generate("unit-1", "gateway", "plant-a")
    serial = life.renews(gateway, rotated, serial)
    life.revokes("unit-1")
    life.lets_in(Identity.generate("unit-1", "gateway", "plant-a"), "unit-1")


def test_no_write_of_the_register_can_be_cut_so_that_it_forgets_or_tears(
    disk_in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, disk = disk_in_memory / "hq", Disk()
    vfs = RecordingVfs("register", disk)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", lambda path, **_: ApswConnection(path, "register"))
        group = Group(home)
    life = Life(group, disk)
    live(life)
    group.registry.close()
    vfs.unregister()
    writes, said = len(disk.log), len(life.said)
    assert writes > 150 and said >= 20
    for upto in range(len(disk.log) + 1):
        for number in range(TRIES):
            files = disk.after_a_cut(upto, random.Random(f"{upto}/{number}"))
            after = revived(group, disk_in_memory / "cut", files)
            try:
                check(life, upto, after)
            except BaseException as error:
                raise AssertionError(
                    f"cut before write {upto} ({number}): {disk.log[upto - 1][:3]}"
                ) from error
            finally:
                after.registry.close()


def revived(group: Group, folder: Path, files: dict[str, bytes]) -> Group:
    """Headquarters started anew on what the cut left."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / FILE).parent.mkdir(parents=True)
    for name, content in files.items():
        ((folder / FILE).parent / name).write_bytes(content)
    after = copy.copy(group)
    after.registry = Registry(folder / FILE)
    after.heard = []
    after.open_desk()
    return after


def check(life: Life, upto: int, after: Group) -> None:
    """What was said holds, nothing is torn, and it goes on."""
    registry = after.registry
    assert registry._one("pragma integrity_check") == ("ok",)
    for at, so, what in life.said:
        if at <= upto:
            assert so(after), f"said before the cut, and forgotten: {what}"
    whole(after)
    trusted = Trusted(after.authority.certificate.key, 1, after.authority.root.der)
    argument = {"part": Part.GATEWAYS, "held": 0, "offset": 0, "addresses": _ADDRESSES}
    after.publisher.directory(Caller(HUB.public.link, HUB.public), argument)
    given = [version for at, version in life.versions if at <= upto]
    assert after.publisher.version > max(given, default=0), "a directory older than one that was given out"
    opened, _ = open_sealed(after.publisher._sealed[Part.GATEWAYS], trusted, after.now)
    assert opened.version == after.publisher.version
    for token, identity in life.tokens.values():
        if registry.token(token.token_id) is not None:
            asks_again(after, token, identity)


def whole(after: Group) -> None:
    """Everything in the register fits together."""
    registry = after.registry
    audited = {(row.event, row.node) for row in registry.audited(1000)}
    for row in registry.keys_of():
        parsed = certificates.parse(row.der)
        assert (parsed.serial, parsed.key) == (row.serial, row.node.signing)
        node = registry.node(row.node.id)
        assert node is not None, "keys of a node that is not there"
        assert ("enrolled", row.node.id) in audited, "let in, and no word of it in the audit"
        if row.state is KeyState.REVOKED:
            assert ("revoked", row.node.id) in audited
    for node in registry.nodes():
        if node.id == HUB.id:
            continue  # on the list by hand; known here by its addresses alone
        states = [row.state for row in registry.keys_of(node.id)]
        wanted = 0 if node.state is NodeStatus.REVOKED else 1
        assert states.count(KeyState.CURRENT) == wanted, (node.id, node.state, states)
        assert states.count(KeyState.NEXT) <= wanted
    for token in registry.tokens():
        request = registry.request(token.node)
        if token.used_by is not None:
            assert request is not None and ("enrolment-asked", token.node) in audited
    for request in registry.requests():
        if request.state is not RequestState.PENDING:
            assert {("approved", request.node.id), ("rejected", request.node.id)} & audited


def asks_again(after: Group, token: Token, identity: Identity) -> None:
    """The token lets in the keys that used it, or nobody; never others."""
    registry, name = after.registry, token.id
    used = registry.token(token.token_id)
    assert used is not None
    other = Identity.generate(name, identity.public.role, identity.public.site)
    if used.used_by is None:
        return
    with pytest.raises(CallRefusedError, match="used-token"):
        after.ask(token, other)
    assert other.public not in [row.node for row in registry.keys_of()]
    request = registry.request(name)
    if request is None or request.token != token.token_id:
        return
    before = [row for row in registry.keys_of(name) if row.node == identity.public]
    in_force = [row for row in before if row.state in (KeyState.CURRENT, KeyState.NEXT)]
    if request.state is RequestState.GRANTED and not in_force:
        with pytest.raises(CallRefusedError, match="used-token"):
            after.ask(token, identity)
        assert [row for row in registry.keys_of(name) if row.node == identity.public] == before
    elif request.state in (RequestState.APPROVED, RequestState.GRANTED):
        assert bool(before) is (request.state is RequestState.GRANTED)
        grant = after.ask(token, identity)
        assert grant is not None
        serial = certificates.parse(grant.chain[0]).serial
        found = registry.keys_by_serial(serial)
        assert found is not None and (not before or found in in_force)


# -- the hub's side ----------------------------------------------------------------------------------


HUB_CONFIG = '[hub]\nid = "hub-9"\n'


def test_no_write_of_a_hub_can_be_cut_so_that_it_knows_less_or_something_older(
    disk_in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enrolling, refreshing, renewing, a revocation, a new authority: each write of the hub's home is cut."""
    group, home = Group(disk_in_memory / "hq"), disk_in_memory / "hub"
    group.gateway(_made(disk_in_memory / "gw-1"), "unit-1")
    group.gateway(_made(disk_in_memory / "gw-2"), "unit-2")
    Identity.create(_made(home), "hub-9", "hub")
    (home / "hub.toml").write_text(HUB_CONFIG)
    calls, knew = DirectCalls(group, via(HUB.public)), list[tuple[int, dict[Part, int]]]()
    monkeypatch.setattr(durable, "flush_filesystem", lambda folder: None)
    with recorded(home, monkeypatch) as record:
        token = group.invite("hub-9", "", "hub")
        hub = keys_for(home, token, new_keys=False)
        assert group.ask(token, hub, via_hub=False) is None
        group.office.approve("hub-9")
        grant = group.ask(token, hub, via_hub=False)
        assert grant is not None
        accept(home, grant, hub.public, "hub.toml", new_keys=False)
        enrolled_at = len(record.steps)
        held = HeldDirectory(home, home / "data", group.now)

        def refresh() -> None:
            for part in Part:
                assert held.refresh(calls, part, lambda: group.now, {"addresses": _ADDRESSES})
                knew.append((len(record.steps), {part: held.version(part) for part in held.parts}))

        refresh()
        group.office.revoke("unit-2", "stolen")
        refresh()
        group.now += days(250)
        renewal = Renewal(home)
        for wanted in (Step.RENEWED, Step.CONFIRMED):
            assert renewal.step(calls, group.now, False) is wanted
        authorities.replace(group.home, group.home / "root.key", group.now, None)
        group.authority = authorities.load(group.home, group.now)
        group.open_desk()
        refresh()
    assert len(record.steps) > 40
    for upto in range(len(record.steps) + 1):
        for number in range(TRIES):
            after = disk_in_memory / "cut"
            record.after_a_cut(upto, after, random.Random(f"{upto}/{number}"))
            try:
                check_hub(group, after, hub, upto >= enrolled_at, [each for at, each in knew if at <= upto])
            except BaseException as error:
                done = [step[:3] for step in record.steps[:upto]]
                raise AssertionError(f"cut before step {upto} ({number}) of {done}") from error
    group.registry.close()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def check_hub(group: Group, home: Path, hub: Identity, enrolled: bool, knew: list[dict[Part, int]]) -> None:
    """It starts with whole keys and with a directory that is no older than what was in force."""
    if (home / "keys" / "signing.key").exists() and enrolled:
        assert Identity.load(home).public == hub.public
    held = HeldDirectory(home, home / "data", group.now)
    assert held.enrolled or not enrolled
    before = knew[-1] if knew else {}
    for part, version in before.items():
        assert held.version(part) >= version, f"{part.name}: {held.version(part)} after {version}"
        assert held.sealed(part)
    if len(before) == len(Part) and len(knew) >= 4:
        names = {entry.node.id for entry in held.parts[Part.GATEWAYS].entries}
        assert names == {"unit-1"}, "whoever was put out stays out"
    if held.enrolled:
        for part in Part:
            calls = DirectCalls(group, via(HUB.public))
            held.refresh(calls, part, lambda: group.now, {"addresses": _ADDRESSES})
        assert set(held.parts) == set(Part)
