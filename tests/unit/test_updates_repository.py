"""The update repository: ceremonies, publishers, rotation, expiry, and kills at every step of a change."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from headquarters.updates import Updates
from headquarters.updates.keyfile import KeyPair, KeyRing, read_key, read_public, write_key
from headquarters.updates.publishing import sign_file
from headquarters.updates.repository import KEYS
from headquarters.updates.terms import Terms
from headquarters.updates.upkeep import KEEP_S, UpdatesThread, payloads
from protocols.daemon import EventLog, Stop
from protocols.errors import InputError, StoreError
from protocols.updates.client import UpdateRefusedError
from tests.update_parts import APP, DAY_S, GATEWAY, FastDisk, Hub, Keys, Reference, World, some_bytes


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class Clock:
    """Seconds since 1970, as a test sets them."""

    def __init__(self) -> None:
        self.time = time.time()

    def __call__(self) -> float:
        return self.time

    def pass_days(self, days: float) -> None:
        self.time += days * DAY_S


class CutDisk(FastDisk):
    """Power fails before or after the change with this number."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.changes = 0

    def put(self, path: Path, data: bytes) -> None:
        self._change(lambda: FastDisk.put(self, path, data))

    def copy(self, source: Path, path: Path) -> None:
        self._change(lambda: FastDisk.copy(self, source, path))

    def remove(self, path: Path) -> None:
        self._change(lambda: FastDisk.remove(self, path))

    def _change(self, change: Callable[[], None]) -> None:
        if self.left <= 0:
            raise StoreError("power failed")
        self.left -= 1
        change()
        self.changes += 1


# -- the ceremony ------------------------------------------------------------------------------


def test_a_root_counts_when_the_threshold_of_holders_has_signed(tmp_path: Path) -> None:
    desk = Updates(tmp_path, 90)
    desk.begin([key.public for key in Keys.holders], 2, Keys.targets, Keys.firmware)
    first = desk.sign_root(Keys.holders[:1])
    assert first is not None and first.first.missing == 1
    with pytest.raises(InputError, match="a root that was signed"):
        desk.root()
    again = desk.sign_root(Keys.holders[:1])  # the same holder twice is one holder
    assert again is not None and again.first.missing == 1
    assert desk.sign_root(Keys.holders[2:]) is None
    root = Metadata[Root].from_bytes(desk.root())
    assert (root.signed.version, root.signed.roles["root"].threshold) == (1, 2)


def test_only_holders_sign_a_root(tmp_path: Path) -> None:
    desk = Updates(tmp_path, 90)
    desk.begin([key.public for key in Keys.holders], 2, Keys.targets, Keys.firmware)
    with pytest.raises(InputError, match="expected the key of a holder"):
        desk.sign_root([Keys.acme])


@pytest.mark.parametrize(("count", "threshold"), ((0, 1), (2, 3), (2, 0), (3, -1)))
def test_a_ceremony_refuses_numbers_that_do_not_fit(count: int, threshold: int, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Updates(tmp_path, 90).begin(
            [key.public for key in Keys.holders[:count]], threshold, Keys.targets, Keys.firmware
        )


def test_a_second_ceremony_is_refused(world: World) -> None:
    with pytest.raises(InputError, match="no repository yet"):
        world.desk.begin([key.public for key in Keys.holders], 2, Keys.targets, Keys.firmware)


def test_a_renewal_of_the_root_needs_the_holders_again(world: World) -> None:
    assert world.desk.sign_root(Keys.holders[:1]) is not None
    assert world.desk.sign_root(Keys.holders[1:2]) is None
    source = world.source()
    source.refresh()
    assert source.describe()["versions"]["root"] == 2  # type: ignore[index]


# -- keys as files -------------------------------------------------------------------------------


def test_a_sealed_key_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    path, key = tmp_path / "root-1.key", KeyPair.new()
    write_key(path, "root-1", key, "correct horse")
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.seed.hex() not in path.read_text()
    assert read_key(path, lambda _: "correct horse").seed == key.seed
    assert read_public(path.with_suffix(".pub")).keyid == key.keyid
    for said, words in (("battery staple", "a wrong passphrase"), (None, "this key is sealed")):
        with pytest.raises(InputError, match=words):
            read_key(path, lambda _, said=said: said)  # type: ignore[misc]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "acme.key"
    write_key(path, "acme", KeyPair.new())
    path.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        read_key(path)


@pytest.mark.parametrize(
    "text",
    ("", "seed = 'zz'", "\x00", "[seed]", 'sealed = "00"', 'sealed = "00"\nscrypt_n = 1099511627776'),
)
def test_what_is_no_key_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InputError):
        read_key(path, lambda _: "x")


def test_no_key_is_shown(tmp_path: Path) -> None:
    key = KeyPair.new()
    assert key.seed.hex() not in repr(key)
    path = tmp_path / "x.key"
    write_key(path, "x", key)
    path.write_text(path.read_text().replace('public = "', 'public = "0'))
    with pytest.raises(InputError) as caught:
        read_key(path)
    assert key.seed.hex() not in str(caught.value)


# -- publishing ----------------------------------------------------------------------------------


def test_what_is_published_can_be_installed(world: World) -> None:
    data = some_bytes(100_000)
    path, sha256, length = world.publish(data)
    assert world.source().fetch(path, sha256, length).read_bytes() == data
    assert world.reference().install(path) == data
    assert [each.path for each in world.desk.published()] == [APP]


def test_publishing_the_same_again_changes_nothing_and_another_file_is_refused(world: World) -> None:
    world.publish(b"one")
    before = world.hub.copy()
    world.publish(b"one")
    assert world.hub.copy() == before
    with pytest.raises(InputError, match="another version in the name"):
        world.publish(b"two")
    world.desk.remove(APP)
    assert not world.desk.published()
    assert world.reference().install(APP) is None


@pytest.mark.parametrize(
    "path",
    (
        "apps/acme",
        "apps/acme/x/y.capp",
        "apps/nobody/x.capp",
        "../x",
        "apps/acme/../../x",
        "/etc/passwd",
        "gateways/unit-1/desired.json",
        "firmware/moon/x.cfw",
        "other/x",
        "apps/acme/*",
        "apps/acme/.hidden",
        "apps/acme/" + "x" * 300,
        "apps/acme/a b",
    ),
)
def test_paths_that_nobody_may_sign_are_refused(path: str, world: World) -> None:
    before = world.hub.copy()
    with pytest.raises(InputError):
        world.publish(b"x", path)
    assert world.hub.copy() == before


def test_without_the_key_nothing_is_published_and_the_remedy_is_said(world: World, tmp_path: Path) -> None:
    desk = Updates(tmp_path / "hq", 90)  # the home's keys alone
    file = tmp_path / "x"
    file.write_bytes(b"x")
    with pytest.raises(InputError, match=rf"--key FILE for {Keys.acme.keyid[:16]}, or have it signed"):
        desk.add(file, APP)
    with pytest.raises(InputError, match=rf"say --key FILE for {Keys.targets.keyid[:16]}$"):
        desk.add_publisher("other", Keys.other.public)


def test_a_target_signed_elsewhere_is_taken(world: World, tmp_path: Path) -> None:
    desk = Updates(tmp_path / "hq", 90)  # without the publisher's key
    file, metadata = tmp_path / "app", tmp_path / "role.json"
    file.write_bytes(b"from the publisher")
    metadata.write_bytes(desk.unsigned(APP, file))
    with pytest.raises(InputError, match="signed by 0/1 keys"):
        desk.take_signed("publisher-acme", metadata, {APP: file})
    metadata.write_bytes(sign_file(metadata, Keys.other))
    with pytest.raises(InputError, match="signed by 0/1 keys"):
        desk.take_signed("publisher-acme", metadata, {APP: file})
    metadata.write_bytes(sign_file(metadata, Keys.acme))
    with pytest.raises(InputError, match="the file of it as well"):
        desk.take_signed("publisher-acme", metadata, {})
    file.write_bytes(b"another file")
    with pytest.raises(InputError, match="the file that was signed"):
        desk.take_signed("publisher-acme", metadata, {APP: file})
    file.write_bytes(b"from the publisher")
    desk.take_signed("publisher-acme", metadata, {APP: file})
    assert world.reference().install(APP) == b"from the publisher"
    with pytest.raises(InputError, match="sign what --unsigned writes now"):
        desk.take_signed("publisher-acme", metadata, {APP: file})


def test_a_publisher_that_holds_its_key_may_not_sign_for_others(world: World, tmp_path: Path) -> None:
    file, metadata = tmp_path / "app", tmp_path / "role.json"
    file.write_bytes(b"x")
    found = Metadata[Targets].from_bytes(world.desk.unsigned(APP, file))
    found.signed.targets["apps/other/x.capp"] = found.signed.targets.pop(APP)
    found.signed.targets["apps/other/x.capp"].path = "apps/other/x.capp"
    metadata.write_bytes(found.to_bytes())
    metadata.write_bytes(sign_file(metadata, Keys.acme))
    with pytest.raises(InputError, match=r"apps/acme/\* or models/acme/\*"):
        world.desk.take_signed("publisher-acme", metadata, {"apps/other/x.capp": file})


# -- the director ----------------------------------------------------------------------------------


def test_a_change_costs_one_gateway_of_a_thousand_a_few_kilobytes(world: World) -> None:
    world.desk.direct({f"unit-{number}": b"document %d" % number for number in range(1000)})
    source = world.source()
    assert source.desired() == b"document 1"
    world.hub.given = 0
    world.desk.direct({GATEWAY: b"another"})
    assert source.desired() == b"another"
    assert 3_000 < world.hub.given < 7_000


def test_a_document_is_taken_away(world: World) -> None:
    source = world.source()
    world.desk.direct({GATEWAY: b"x"})
    assert source.desired() == b"x"
    world.desk.direct({GATEWAY: None})
    assert source.desired() is None


def test_the_same_document_again_changes_nothing(world: World) -> None:
    world.desk.direct({GATEWAY: b"x"})
    before = world.hub.copy()
    assert world.desk.direct({GATEWAY: b"x"})[GATEWAY].length == 1
    assert world.hub.copy() == before


# -- kills -------------------------------------------------------------------------------------------


def accepted(world: World, desk: Updates, path: str = APP) -> bytes | None:
    """What a new and an old client of python-tuf see, which must be the same."""
    hub = Hub(desk.repository.public)
    old = Reference(world.folder / "old client", world.root, hub).install(path)
    fresh = world.folder / "new client"
    shutil.rmtree(fresh, ignore_errors=True)
    assert Reference(fresh, world.root, hub).install(path) == old
    return old


def act_add(desk: Updates, folder: Path) -> None:
    file = folder / "next"
    file.write_bytes(b"published")
    desk.add(file, APP)


def act_direct(desk: Updates, folder: Path) -> None:
    desk.direct({f"unit-{number}": b"document" for number in range(5)})


def act_rotate_director(desk: Updates, folder: Path) -> None:
    desk.rotate_here("director")


def act_rotate_publisher(desk: Updates, folder: Path) -> None:
    desk.keys.hold(Keys.other)
    desk.rotate("acme", Keys.other.public)


def act_revoke(desk: Updates, folder: Path) -> None:
    desk.revoke_publisher("acme")


def act_renew_root(desk: Updates, folder: Path) -> None:
    desk.sign_root(Keys.holders[:2])


def act_rotate_timestamp(desk: Updates, folder: Path) -> None:
    desk.rotate_here("timestamp")
    desk.sign_root(Keys.holders[:1])
    desk.sign_root(Keys.holders[1:2])


def act_rotate_snapshot(desk: Updates, folder: Path) -> None:
    desk.rotate_here("snapshot")
    desk.sign_root(Keys.holders[:2])


def act_rotate_targets(desk: Updates, folder: Path) -> None:
    desk.keys.hold(Keys.other)
    desk.rotate("targets", Keys.other.public)
    desk.sign_root(Keys.holders[:2])


def act_rotate_holder(desk: Updates, folder: Path) -> None:
    desk.rotate_holder(Keys.holders[0].keyid[:16], Keys.other.public)
    desk.sign_root([Keys.holders[1], Keys.holders[2], Keys.other])


def act_keep_valid(desk: Updates, folder: Path) -> None:
    desk.repository.now = lambda: time.time() + 60 * DAY_S
    desk.keep_valid()


@pytest.mark.parametrize(
    "act",
    (
        act_add,
        act_direct,
        act_rotate_director,
        act_rotate_publisher,
        act_revoke,
        act_renew_root,
        act_rotate_timestamp,
        act_rotate_snapshot,
        act_rotate_targets,
        act_rotate_holder,
        act_keep_valid,
    ),
)
def test_a_kill_at_any_step_leaves_what_clients_accept(
    act: Callable[[Updates, Path], None], tmp_path: Path
) -> None:
    base = World(tmp_path / "base")
    base.publish(b"before", "apps/acme/other-1.0.0.capp")
    whole = copied(base, tmp_path / "whole", CutDisk(1 << 30))
    act(whole, tmp_path)
    assert isinstance(whole.repository.disk, CutDisk)
    steps = whole.repository.disk.changes
    seen = set()
    # of the director's 64 bins, which are written alike, some will do
    for step in [step for step in range(steps) if step < 8 or step >= steps - 8 or step % 16 == 0]:
        folder = tmp_path / f"cut-{step}"
        desk = copied(base, folder, CutDisk(step))
        base.folder = folder
        accepted(base, desk)
        with pytest.raises(StoreError, match="power failed"):
            act(desk, tmp_path)
        seen.add(accepted(base, desk))
        again = Updates(folder / "hq", 90, disk=FastDisk())  # the next start of headquarters
        again.repository.now = desk.repository.now
        again.keep_valid()
        accepted(base, again)
        assert again.keep_valid() == []
    assert steps >= 3
    assert seen == {None}
    base.folder = tmp_path / "whole"
    assert accepted(base, whole) == (b"published" if act is act_add else None)


def copied(base: World, folder: Path, disk: FastDisk) -> Updates:
    folder.mkdir(parents=True)
    shutil.copytree(base.desk.repository.folder.parents[1], folder / "hq")
    desk = Updates(folder / "hq", 90, disk=disk)
    for key in (Keys.acme, Keys.targets, Keys.firmware):
        desk.keys.hold(key)
    return desk


def test_a_change_after_a_kill_gives_no_version_twice(world: World, tmp_path: Path) -> None:
    desk = Updates(tmp_path / "hq", 90, disk=CutDisk(3))  # target, role and snapshot are written
    desk.keys.hold(Keys.acme)
    with pytest.raises(StoreError):
        act_add(desk, tmp_path)
    left = world.hub.copy()
    world.publish(b"something else", "apps/acme/other-1.0.0.capp")
    now = world.hub.copy()
    assert {path: now[path] for path in left if path != "metadata/timestamp.json"} == {
        path: data for path, data in left.items() if path != "metadata/timestamp.json"
    }
    assert world.reference().install("apps/acme/other-1.0.0.capp") == b"something else"


# -- rotation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", (act_rotate_timestamp, act_rotate_snapshot, act_rotate_targets))
def test_a_key_of_the_root_is_rotated_under_clients_that_go_on(
    act: Callable[[Updates, Path], None], world: World, tmp_path: Path
) -> None:
    source = world.source()
    source.refresh()
    world.reference().install(APP)
    act(world.desk, tmp_path)
    target = world.publish(b"after")
    assert source.fetch(*target).read_bytes() == b"after"
    assert world.reference().install(APP) == b"after"


def test_the_old_online_key_signs_nothing_after_its_rotation_and_is_deleted(world: World) -> None:
    ring = world.desk.repository.folder.parents[1] / KEYS
    old = read_key(next(ring.glob("timestamp-*.key")))
    act_rotate_timestamp(world.desk, world.folder)
    world.desk.keep_valid()
    assert len(list(ring.glob("timestamp-*.key"))) == 1
    found = world.desk.repository.timestamp()
    assert found is not None and old.keyid not in found.signatures
    found.signatures.clear()
    found.signed.version += 1
    found.sign(old.signer)
    world.hub.lies = {"metadata/timestamp.json": found.to_bytes()}
    with pytest.raises(UpdateRefusedError, match="unsigned"):
        world.source().refresh()


def test_between_rotation_and_the_holders_signatures_everything_goes_on(world: World) -> None:
    source = world.source()
    source.refresh()
    world.desk.rotate_here("snapshot")
    target = world.publish(b"meanwhile")
    assert source.fetch(*target).read_bytes() == b"meanwhile"
    assert world.desk.sign_root(Keys.holders[:2]) is None
    world.desk.direct({GATEWAY: b"and after"})
    assert source.desired() == b"and after"


def test_a_lost_targets_key_is_replaced_by_the_holders(world: World, tmp_path: Path) -> None:
    desk = Updates(tmp_path / "hq", 90)
    desk.keys.hold(Keys.other)
    with pytest.raises(InputError, match="--lost"):
        desk.rotate("targets", Keys.other.public)
    desk.rotate("targets", Keys.other.public, old_is_lost=True)
    assert desk.sign_root(Keys.holders[:2]) is None
    desk.add_publisher("other", KeyPair.new().public)
    desk.keys.hold(Keys.acme)
    file = tmp_path / "x"
    file.write_bytes(b"after the loss")
    desk.add(file, APP)
    assert world.reference().install(APP) == b"after the loss"


def test_a_holder_who_left_signs_no_more(world: World) -> None:
    act_rotate_holder(world.desk, world.folder)
    with pytest.raises(InputError, match="expected the key of a holder"):
        world.desk.sign_root([Keys.holders[0]])
    assert world.desk.sign_root([Keys.other, Keys.holders[1]]) is None
    assert world.reference().install(APP) is None


def test_a_publisher_with_a_new_key_keeps_its_targets(world: World) -> None:
    target = world.publish(b"one")
    act_rotate_publisher(world.desk, world.folder)
    assert world.source().fetch(*target).read_bytes() == b"one"


def test_a_publisher_that_holds_its_key_rotates_with_its_signature(world: World, tmp_path: Path) -> None:
    target = world.publish(b"one")
    desk = Updates(tmp_path / "hq", 90)
    desk.keys.hold(Keys.targets)
    with pytest.raises(InputError, match="keys of publisher-acme"):
        desk.rotate("acme", Keys.other.public)
    metadata = tmp_path / "role.json"
    metadata.write_bytes(desk.unsigned(APP, tmp_path / "made"))
    metadata.write_bytes(sign_file(metadata, Keys.other))
    desk.rotate("acme", Keys.other.public, signed=metadata)
    assert world.source().fetch(*target).read_bytes() == b"one"


# -- time ----------------------------------------------------------------------------------------------


def test_what_is_signed_here_never_has_less_than_the_window_left(tmp_path: Path) -> None:
    clock = Clock()
    world = World(tmp_path, now=clock)
    repository = world.desk.repository
    online = ("timestamp", "snapshot", "director", "bin-00", "bin-3f")
    least = float("inf")
    for _ in range(45):
        clock.pass_days(1)
        assert world.desk.keep_valid() == []
        found = payloads(repository)
        least = min(least, *(repository.days_left(found[role]) for role in online))
    assert least > 90


def test_what_is_no_longer_in_force_stays_for_a_week_and_roots_for_ever(tmp_path: Path) -> None:
    clock = Clock()
    world = World(tmp_path, now=clock)
    metadata = world.desk.repository.public / "metadata"
    world.desk.direct({GATEWAY: b"before"})
    before = {file.name for file in metadata.iterdir()}
    world.desk.direct({GATEWAY: b"after"})
    thread = UpdatesThread(tmp_path / "hq", Terms(90), Stop(), EventLog(stream=None), now=clock)
    clock.pass_days(6)
    thread.look()
    assert {file.name for file in metadata.iterdir()} > before, "somebody may be in the middle of it"
    clock.pass_days(2)
    thread.look()
    after = {file.name for file in metadata.iterdir()}
    assert before - after and {name for name in before if name.endswith(".root.json")} <= after


def test_who_must_sign_is_warned_in_time(tmp_path: Path) -> None:
    clock = Clock()
    world = World(tmp_path, now=clock)
    assert world.desk.alarms() == []
    told: list[dict[str, object]] = []
    log = EventLog(stream=None)
    log.warning = lambda event, **fields: told.append({"level": "warning", "event": event, **fields})  # type: ignore[method-assign]
    log.error = lambda event, **fields: told.append({"level": "error", "event": event, **fields})  # type: ignore[method-assign]
    thread = UpdatesThread(tmp_path / "hq", Terms(90), Stop(), log, now=clock)
    thread.look()
    assert told == []
    clock.pass_days(730 - 90 - 29)
    for _ in range(3):
        thread.look()
    first = {each["role"]: each for each in told}
    assert set(first) == {"root", "targets", "firmware", "publisher-acme"}, "the home's keys sign config"
    assert len(told) == 4, "each once a day"
    assert first["targets"]["remedy"] == "sign it anew: catchment-hq updates renew targets --key FILE"
    assert {each["event"] for each in told} == {"updates-expire"}
    clock.pass_days(30)
    thread.look()
    assert {each["event"] for each in told[4:]} == {"updates-expire-soon"}
    described = thread.describe()
    assert described is not None and len(described["alarms"]) == 4  # type: ignore[arg-type]
    world.desk.renew("targets")
    world.desk.renew("firmware")
    world.desk.renew("acme")
    world.desk.sign_root(Keys.holders[:2])
    thread.look()
    assert thread.describe() == {"failing": "", "alarms": []}


def test_a_key_that_is_gone_is_told_and_does_not_end_headquarters(tmp_path: Path) -> None:
    clock = Clock()
    World(tmp_path, now=clock)
    for file in (tmp_path / "hq" / KEYS).glob("timestamp-*.key"):
        file.unlink()
    told: list[str] = []
    log = EventLog(stream=None)
    log.error = lambda event, **fields: told.append(event)  # type: ignore[method-assign]
    thread = UpdatesThread(tmp_path / "hq", Terms(90), Stop(), log, now=clock)
    clock.pass_days(2)
    thread.look()
    thread.look()
    assert told == ["updates-not-signed"]
    assert "keys of timestamp" in str(thread.describe())


def test_old_files_go_and_what_is_in_force_stays(tmp_path: Path) -> None:
    clock = Clock()
    world = World(tmp_path, now=clock)
    world.publish(b"one")
    for number in range(5):
        world.desk.direct({GATEWAY: b"document %d" % number})
    before = len(world.hub.copy())
    clock.pass_days(1 + KEEP_S / DAY_S)
    assert world.desk.keep_valid() == []
    after = world.hub.copy()
    assert before - len(after) > 10
    assert "metadata/1.root.json" in after
    assert sum(path.startswith("targets/gateways/") for path in after) == 1
    assert world.source().desired() == b"document 4"
    assert world.reference().install(APP) == b"one"


def test_a_damaged_repository_says_so(world: World) -> None:
    (world.hub.public / "metadata" / "timestamp.json").write_bytes(b"{}")
    with pytest.raises(StoreError, match=r"timestamp\.json: .*restore it from a backup"):
        world.desk.published()


def test_a_ring_deletes_no_key_that_a_person_put_there(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    ring.add("acme", Keys.acme)
    ring.add("snapshot", Keys.other)
    assert ring.drop_but([], ["snapshot"]) == [f"snapshot-{Keys.other.keyid[:8]}.key"]
    assert [file.name for file in tmp_path.iterdir()] == [f"acme-{Keys.acme.keyid[:8]}.key"]


def test_the_reference_refuses_what_nobody_signed(world: World) -> None:
    """So that an accepting reference means something in the tests above."""
    found = world.desk.repository.timestamp()
    assert found is not None
    found.signatures.clear()
    world.hub.lies = {"metadata/timestamp.json": found.to_bytes()}
    with pytest.raises(RepositoryError):
        world.reference().install(APP)
