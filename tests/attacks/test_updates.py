"""Attacks on what comes down: each is refused by our client, by python-tuf's, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.ngclient._internal import trusted_metadata_set

from protocols.errors import PeerError
from protocols.updates.client import Source, UpdateRefusedError
from tests.update_parts import APP, DAY_S, GATEWAY, Keys, World, forged_root, some_bytes, target_file

TIMESTAMP = "metadata/timestamp.json"
OLD, NEW = b"the old document", b"the new document"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.desk.direct({GATEWAY: OLD})
    return made


@pytest.fixture
def settled(world: World) -> tuple[World, Source]:
    """A world in which gateway and reference hold a first state; whatever comes, they keep it."""
    source = world.source()
    assert source.desired() == OLD
    target = world.publish(b"version one")
    assert source.fetch(*target).read_bytes() == b"version one"
    assert world.reference().install(APP) == b"version one"
    return world, source


def refused(world: World, what: str, act: Callable[[], object], path: str = APP) -> None:
    """Our client refuses for this reason, and so does python-tuf's of the same hub."""
    with pytest.raises(UpdateRefusedError) as caught:
        act()
    assert caught.value.what == what
    with pytest.raises((RepositoryError, DownloadError)):
        world.reference().install(path)


def test_a_replayed_timestamp_is_refused(settled: tuple[World, Source]) -> None:
    world, source = settled
    old = world.hub.copy()
    world.desk.direct({GATEWAY: NEW})
    assert source.desired() == NEW
    world.reference().install(APP)
    world.hub.lies = {TIMESTAMP: old[TIMESTAMP]}
    refused(world, "older", source.refresh)
    world.hub.lies = {}
    assert source.desired() == NEW


def test_a_replayed_timestamp_is_refused_after_a_restart(settled: tuple[World, Source]) -> None:
    world, source = settled
    old = world.hub.copy()
    world.desk.direct({GATEWAY: NEW})
    assert source.desired() == NEW
    world.reference().install(APP)
    world.hub.lies = {TIMESTAMP: old[TIMESTAMP]}
    refused(world, "older", world.source().refresh)


def test_what_a_power_cut_tore_of_the_working_copy_lets_no_older_state_in(
    settled: tuple[World, Source],
) -> None:
    world, source = settled
    old = world.hub.copy()
    world.desk.direct({GATEWAY: NEW})
    assert source.desired() == NEW
    for file in (source.folder / "work").glob("*.json"):
        file.write_bytes(b"")  # python-tuf flushes nothing: a cut may leave its files empty
    world.hub.lies = {TIMESTAMP: old[TIMESTAMP]}
    with pytest.raises(UpdateRefusedError, match="older"):
        world.source().refresh()


def test_a_half_way_refresh_lets_no_older_state_in_after_a_restart(settled: tuple[World, Source]) -> None:
    world, source = settled
    old = world.hub.copy()
    world.desk.direct({GATEWAY: NEW})
    version = world.desk.repository.timestamp()
    assert version is not None
    snapshot = f"metadata/{version.signed.snapshot_meta.version}.snapshot.json"
    world.hub.lies = {snapshot: None}  # the hub shows the new timestamp, and no more
    with pytest.raises(UpdateRefusedError):
        source.refresh()
    world.hub.lies = {TIMESTAMP: old[TIMESTAMP]}
    with pytest.raises(UpdateRefusedError, match="older"):
        world.source().refresh()


def test_frozen_metadata_is_refused_when_its_time_is_over(tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=200)
    world = World(tmp_path, now=long_ago.timestamp)
    world.publish(b"frozen")
    refused(world, "expired", world.source().desired)


def test_a_client_that_held_it_when_it_was_fresh_refuses_it_as_well(
    settled: tuple[World, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, source = settled
    assert not source.refresh()
    source._now = lambda: datetime.now(UTC).timestamp() + 200 * DAY_S

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=200)

    monkeypatch.setattr(trusted_metadata_set, "datetime", SimpleNamespace(datetime=Later, timezone=timezone))
    refused(world, "expired", source.refresh)


def test_metadata_of_two_states_is_refused(settled: tuple[World, Source]) -> None:
    world, source = settled
    before = world.desk.repository.snapshot()
    assert before is not None
    old = world.hub.copy()
    world.publish(b"version two", "apps/acme/pump-2.0.0.capp")
    after = world.desk.repository.snapshot()
    assert after is not None
    world.hub.lies = {
        f"metadata/{after.signed.version}.snapshot.json": old[
            f"metadata/{before.signed.version}.snapshot.json"
        ]
    }
    refused(world, "altered", source.refresh)


def test_a_role_of_another_state_is_refused(settled: tuple[World, Source]) -> None:
    world, source = settled
    versions = world.desk.repository.versions()
    old = world.hub.copy()
    target = world.publish(b"version two", "apps/acme/pump-2.0.0.capp")
    role = "publisher-acme"
    world.hub.lies = {
        f"metadata/{world.desk.repository.versions()[role]}.{role}.json": old[
            f"metadata/{versions[role]}.{role}.json"
        ]
    }
    refused(world, "altered", lambda: source.fetch(*target), target[0])


def test_an_altered_target_is_refused(settled: tuple[World, Source]) -> None:
    world, source = settled
    data = some_bytes(600_000)
    path, sha256, length = world.publish(data, "apps/acme/pump-2.0.0.capp")
    altered = bytearray(data)
    altered[300_000] ^= 1
    world.hub.lies = {target_file(path, sha256): bytes(altered)}
    with pytest.raises(PeerError, match=r"pump-2\.0\.0\.capp: expected 600000 bytes with SHA-256"):
        source.fetch(path, sha256, length)
    with pytest.raises(RepositoryError):
        world.reference().install(path)
    assert not (source.folder / "targets" / sha256.hex()).exists()


def test_a_hub_that_claims_the_right_hash_for_altered_bytes_is_found_out(
    settled: tuple[World, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, source = settled
    data = some_bytes(600_000)
    path, sha256, length = world.publish(data, "apps/acme/pump-2.0.0.capp")
    source.desired()
    served = target_file(path, sha256)
    read = world.hub.read

    def lie(wanted: Any) -> Any:
        piece = read(wanted)
        if wanted.path == served:
            return bytes(len(piece[0])), piece[1], piece[2]
        return piece

    monkeypatch.setattr(world.hub, "_handle", lambda caller, argument: lie_handler(lie, argument))
    with pytest.raises(PeerError, match="altered on the way"):
        source.fetch(path, sha256, length)
    assert not list((source.folder / "targets" / "partial").glob("*"))
    monkeypatch.undo()
    assert source.fetch(path, sha256, length).read_bytes() == data


def lie_handler(lie: Callable[[Any], Any], argument: object) -> Any:
    from protocols.updates import parse_wanted

    return lie(parse_wanted(argument))


def test_endless_metadata_is_refused_before_it_fills_anything(settled: tuple[World, Source]) -> None:
    world, source = settled
    world.desk.direct({GATEWAY: NEW})
    world.hub.endless = {TIMESTAMP}
    before = len(world.hub.asked)
    refused(world, "endless", source.refresh)
    assert len(world.hub.asked) - before < 10


def test_an_endless_target_is_refused_before_a_byte_is_kept(settled: tuple[World, Source]) -> None:
    world, source = settled
    path, sha256, length = world.publish(b"small", "apps/acme/pump-2.0.0.capp")
    source.desired()
    world.hub.endless = {target_file(path, sha256)}
    with pytest.raises(PeerError, match="offered are 1099511627776"):
        source.fetch(path, sha256, length)
    with pytest.raises(DownloadError):
        world.reference().install(path)
    assert not (source.folder / "targets" / "partial" / sha256.hex()).stat().st_size


def test_a_truncated_file_is_refused(settled: tuple[World, Source]) -> None:
    world, source = settled
    world.desk.direct({GATEWAY: NEW})
    world.hub.short = True
    with pytest.raises(PeerError, match=r"expected \d+ bytes of metadata/timestamp.json at 0, got"):
        source.refresh()
    world.hub.short = False
    assert source.desired() == NEW


def test_a_publisher_cannot_sign_for_another(settled: tuple[World, Source]) -> None:
    """Acme's metadata lists a path of somebody else; it was even brought into force."""
    world, source = settled
    world.desk.keys.hold(Keys.other)
    world.desk.add_publisher("other", Keys.other.public)
    file = world.folder / "evil"
    file.write_bytes(b"evil")
    path = "apps/other/pump-1.0.0.capp"
    repository = world.desk.repository
    payload = repository.need("publisher-acme")
    payload.targets[path] = repository.store_target(file, path)
    repository.release({"publisher-acme": payload}, world.desk.keys)
    sha256 = bytes.fromhex(payload.targets[path].hashes["sha256"])
    source.refresh()
    with pytest.raises(UpdateRefusedError, match="unlisted"):
        source.fetch(path, sha256, 4)
    assert world.reference().install(path) is None


def test_the_director_cannot_sign_an_app(settled: tuple[World, Source]) -> None:
    world, source = settled
    repository = world.desk.repository
    file = world.folder / "evil"
    file.write_bytes(b"evil")
    path = "firmware/edge/evil-1.0.0.cfw"
    name = "bin-00"
    payload = repository.need(name)
    payload.targets[path] = repository.store_target(file, path)
    director = repository.need("director")
    director.targets[path] = payload.targets[path]
    repository.release({name: payload, "director": director}, world.desk.keys)
    source.refresh()
    with pytest.raises(UpdateRefusedError, match="unlisted"):
        source.fetch(path, bytes.fromhex(payload.targets[path].hashes["sha256"]), 4)
    assert world.reference().install(path) is None


def test_a_publisher_and_a_director_that_disagree_install_nothing(settled: tuple[World, Source]) -> None:
    world, source = settled
    path, sha256, length = world.publish(b"version two", "apps/acme/pump-2.0.0.capp")
    with pytest.raises(UpdateRefusedError, match="the director asks for 11 bytes"):
        source.fetch(path, bytes(32), length)
    with pytest.raises(UpdateRefusedError, match="disagree"):
        source.fetch(path, sha256, length + 1)
    assert source.fetch(path, sha256, length).read_bytes() == b"version two"


def test_a_revoked_publisher_installs_nothing_any_more(settled: tuple[World, Source]) -> None:
    world, source = settled
    target = world.publish(b"version two", "apps/acme/pump-2.0.0.capp")
    world.desk.keys.hold(Keys.targets)
    world.desk.revoke_publisher("acme")
    source.refresh()
    with pytest.raises(UpdateRefusedError, match="its publisher is revoked"):
        source.fetch(*target)
    assert world.reference().install(target[0]) is None


def test_a_publisher_that_comes_back_with_another_key_has_nothing_of_its_old_one(
    settled: tuple[World, Source],
) -> None:
    world, source = settled
    old = world.publish(b"version two", "apps/acme/pump-2.0.0.capp")
    world.desk.revoke_publisher("acme")
    world.desk.keys.hold(Keys.other)
    world.desk.add_publisher("acme", Keys.other.public)
    source.refresh()
    with pytest.raises(UpdateRefusedError, match="unlisted"):
        source.fetch(*old)
    new = world.publish(b"version three", "apps/acme/pump-3.0.0.capp")
    source.refresh()
    assert source.fetch(*new).read_bytes() == b"version three"


def test_a_stolen_publisher_key_signs_nothing_without_the_online_keys(settled: tuple[World, Source]) -> None:
    world, source = settled
    role = "publisher-acme"
    version = world.desk.repository.versions()[role]
    payload = world.desk.repository.need(role)
    payload.targets[APP] = TargetFile.from_data(APP, b"evil", ["sha256"])
    forged = Metadata(payload)
    forged.sign(Keys.acme.signer)
    world.desk.direct({GATEWAY: NEW})
    world.hub.lies = {f"metadata/{version}.{role}.json": forged.to_bytes()}
    sha256 = bytes.fromhex(payload.targets[APP].hashes["sha256"])
    fresh = world.source("fresh")
    with pytest.raises(UpdateRefusedError, match="altered"):
        fresh.fetch(APP, sha256, 4)
    with pytest.raises(RepositoryError):
        world.reference("fresh reference").install(APP)
    with pytest.raises(UpdateRefusedError, match="disagree"):
        source.fetch(APP, sha256, 4)  # who had the right one keeps it


@pytest.mark.parametrize("held", (0, 1))
def test_a_root_that_one_of_two_keys_signed_is_refused(held: int, settled: tuple[World, Source]) -> None:
    world, source = settled
    world.desk.direct({GATEWAY: NEW})  # else nothing new is shown, and no root is asked for
    world.hub.lies = {"metadata/2.root.json": forged_root(world, *Keys.holders[:held])}
    refused(world, "unsigned", source.refresh)
    world.hub.lies = {}
    assert source.desired() == NEW


def test_two_keys_of_two_would_do_and_so_the_test_above_can_fail(settled: tuple[World, Source]) -> None:
    world, source = settled
    world.desk.direct({GATEWAY: NEW})
    world.hub.lies = {"metadata/2.root.json": forged_root(world, *Keys.holders[:2])}
    with pytest.raises(UpdateRefusedError) as caught:
        source.refresh()
    assert "timestamp was signed by 0/1 keys" in caught.value.text
    assert source.describe()["versions"]["root"] == 2  # type: ignore[index]


def test_a_root_of_another_group_is_refused_from_the_beginning(tmp_path: Path, world: World) -> None:
    now = datetime.now(UTC)
    stranger = World(tmp_path / "stranger", now=now.timestamp)  # with online keys of its own
    source = Source(tmp_path / "confused", GATEWAY, stranger.root, world.hub.ask)
    with pytest.raises(UpdateRefusedError, match="unsigned"):
        source.refresh()
    assert Source(tmp_path / "right", GATEWAY, world.root, world.hub.ask).refresh()


def test_metadata_that_is_none_is_refused(settled: tuple[World, Source]) -> None:
    world, source = settled
    world.desk.direct({GATEWAY: NEW})
    for lie in (b"", b"\xff\x00", b"[]", json.dumps({"signed": {}, "signatures": []}).encode(), b"[" * 9000):
        world.hub.lies = {TIMESTAMP: lie}
        refused(world, "wrong", source.refresh)


def test_targets_metadata_in_the_place_of_a_timestamp_is_refused(settled: tuple[World, Source]) -> None:
    world, source = settled
    world.desk.direct({GATEWAY: NEW})
    targets = Metadata(Targets())
    targets.sign(Keys.targets.signer)
    world.hub.lies = {TIMESTAMP: targets.to_bytes()}
    refused(world, "wrong", source.refresh)
