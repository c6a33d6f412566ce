"""The ceremonies for the update repository's keys: the thief is out, and gateways go on without a visit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from edge_runtime.updates import ROOT
from headquarters.cli import main
from headquarters.desired.store import DesiredStore
from headquarters.updates import Updates
from headquarters.updates.keyfile import KeyPair, read_key
from protocols.desired import Document, parse_document
from protocols.desired.report import Report
from protocols.errors import InputError
from protocols.identity import Identity, allow
from protocols.updates import Pace
from protocols.updates.client import Source, UpdateRefusedError
from tests import ceremonies
from tests.ceremonies import SECRET, Stage
from tests.update_parts import APP, GATEWAY, FastDisk, Hub

REHEARSED = frozenset(
    (
        "A holder's root key is stolen",
        "The update root is stolen or lost",
        "The timestamp's or snapshot's key is stolen",
        "The director's key is stolen",
        "A publisher's key is stolen",
        "The firmware key is stolen",
        "The targets key is stolen",
    )
)
FIRMWARE = "firmware/edge/edge-1.0.0.cfw"


class Group:
    """Headquarters with an update repository, offline keys in a safe, and a gateway that follows.

    Args:
        folder: Where all of it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.safe = folder / "hq", folder / "safe"
        self.root = (self.public / "metadata/1.root.json").read_bytes()

    @property
    def public(self) -> Path:
        return self.home / "data/updates/public"

    def stage(self, **words: str) -> Stage:
        gateway = self.folder / "unit-1"
        places = ("at headquarters", "at the new holder's", "at the publisher's")
        others = {"on the gateway": gateway, "on the hub": self.folder / "hub"}
        homes = {**dict.fromkeys(places, self.home), **others}
        return Stage(homes, self.safe, words=words)

    def key(self, name: str) -> KeyPair:
        """An offline key, as a thief of it has it."""
        return read_key(self.safe / f"{name}.key", lambda path: SECRET)

    def online(self, role: str) -> KeyPair:
        """A key of the home, as a thief of the machine has it."""
        return read_key(next((self.home / "keys/updates").glob(f"{role}-*.key")))

    def hub(self) -> Hub:
        return Hub(self.public)

    def source(self, hub: Hub | None = None, name: str = "gateway", root: bytes = b"") -> Source:
        """The gateway; the same name is the same disk."""
        return Source(self.folder / name, GATEWAY, root or self.root, (hub or self.hub()).ask, Pace())

    def installs(
        self, path: str = APP, name: str = "gateway", root: bytes = b"", hub: Hub | None = None
    ) -> bytes:
        """What the gateway gets of a target that headquarters lists."""
        found = next(each for each in Updates(self.home, 90).published() if each.path == path)
        return self.source(hub, name, root).fetch(path, found.sha256, found.length).read_bytes()

    def forged(self, name: str) -> Any:
        """The next version of metadata in force, for a thief to sign."""
        metadata: Metadata[Any] = Metadata.from_file(str(self.newest(name)))
        metadata.signatures.clear()
        metadata.signed.version += 1
        return metadata

    def newest(self, name: str) -> Path:
        """The file of a role in force."""
        folder = self.public / "metadata"
        if name == "timestamp":
            return folder / "timestamp.json"
        return max(folder.glob(f"*.{name}.json"), key=lambda path: int(path.name.partition(".")[0]))


def hq(home: Path, *arguments: str) -> str:
    with mock.patch.dict("os.environ", {"CATCHMENT_PASSPHRASE": SECRET}):
        done = CliRunner().invoke(main, [*arguments[:2], "--home", str(home), *arguments[2:]])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group as the ceremony of docs/updates.md leaves it; copied for each rehearsal."""
    folder = tmp_path_factory.mktemp("ceremonies")
    home, safe = folder / "hq", folder / "safe"
    assert CliRunner().invoke(main, ["init", "--home", str(home), "--id", "hq"]).exit_code == 0
    hq(home, "updates", "init")
    hq(home, "updates", "ceremony", "--holders", "3", "--threshold", "2", "--out", str(safe), "--seal")
    targets = ("--key", str(safe / "targets.key"))
    hq(home, "updates", "add-publisher", "acme", "--out", str(safe / "acme.key"), *targets)
    for name, text, path, key in (
        ("pump-1.0.0.capp", "a pump", APP, "acme"),
        ("edge-1.0.0.cfw", "a program", FIRMWARE, "firmware"),
    ):
        (safe / name).write_text(text)
        hq(home, "updates", "add", str(safe / name), "--as", path, "--key", str(safe / f"{key}.key"))
    allow(home / "allow.toml", Identity.generate(GATEWAY, "gateway").public)
    hq(home, "desired", "set", GATEWAY, "--put", APP)
    for node in ("unit-1", "hub"):
        (folder / node / "data/updates").mkdir(parents=True)
    (folder / "hub/data/mirror").mkdir()
    return folder


@pytest.fixture
def group(template: Path, tmp_path: Path) -> Group:
    shutil.copytree(template, tmp_path / "group")
    group = Group(tmp_path / "group")
    (group.folder / "unit-1" / ROOT).write_bytes(group.root)
    assert group.installs() == b"a pump"
    return group


def refused(source: Source, why: str) -> None:
    with pytest.raises(UpdateRefusedError, match=why):
        source.refresh()


def test_every_ceremony_of_the_document_is_rehearsed() -> None:
    from tests.faults.test_ceremonies import REHEARSED as WITH_PROCESSES

    assert ceremonies.ceremonies().keys() == REHEARSED | WITH_PROCESSES
    assert not REHEARSED & WITH_PROCESSES


def test_a_holder_who_was_robbed_is_replaced(group: Group) -> None:
    stolen = group.key("root-1")
    group.stage(KEYID=stolen.keyid[:12]).play("A holder's root key is stolen")
    assert group.installs() == b"a pump", "the gateway followed"
    root: Metadata[Root] = group.forged("root")
    assert stolen.keyid not in root.signed.keys and root.signed.roles["root"].threshold == 2
    for key in (stolen, group.key("root-2")):
        root.sign(key.signer, append=True)
    hub = group.hub()
    hub.lies = {f"metadata/{root.signed.version}.root.json": root.to_bytes()}
    refused(group.source(hub), "unsigned")


def test_trust_in_updates_begins_anew(group: Group) -> None:
    home = group.folder / "unit-1"
    group.stage().play("The update root is stolen or lost")
    root = (home / ROOT).read_bytes()
    assert root != group.root
    assert group.installs(name="unit-1/data/updates", root=root) == b"a pump"
    document = group.source(name="unit-1/data/updates", root=root).desired()
    assert document is not None and parse_document(document).version == 2, "above the one before"
    refused(group.source(), "unsigned")  # who was not visited believes neither


@pytest.mark.parametrize("role", ("timestamp", "snapshot"))
def test_stolen_online_keys_of_the_root_are_replaced(role: str, group: Group) -> None:
    stolen = {name: group.online(name) for name in ("timestamp", "snapshot")}

    def lies() -> Hub:
        """A thief shows an older mix as the newest: with both keys he may, with one he may not."""
        hub = group.hub()
        timestamp: Metadata[Timestamp] = group.forged("timestamp")
        if role == "snapshot":
            snapshot: Metadata[Snapshot] = group.forged("snapshot")
            snapshot.sign(stolen["snapshot"].signer)
            timestamp.signed.snapshot_meta.version = snapshot.signed.version
            timestamp.signed.snapshot_meta.hashes = timestamp.signed.snapshot_meta.length = None
            hub.lies[f"metadata/{snapshot.signed.version}.snapshot.json"] = snapshot.to_bytes()
        timestamp.sign(stolen["timestamp"].signer)
        hub.lies["metadata/timestamp.json"] = timestamp.to_bytes()
        return hub

    group.source(lies(), "victim").refresh()
    group.stage().play("The timestamp's or snapshot's key is stolen")
    assert group.installs() == b"a pump"
    refused(group.source(lies()), "unsigned")


def test_a_thief_of_the_directors_key_is_overtaken(group: Group) -> None:
    thief = Updates(group.home, 90, disk=FastDisk())
    before = group.source().desired()
    assert before is not None
    document = parse_document(before)
    forged = Document(GATEWAY, 40)
    stolen = group.online("director")
    thief.direct({GATEWAY: forged.pack()})
    assert group.source().desired() == forged.pack()
    store = DesiredStore(group.home / "data")
    said = Report(1, GATEWAY, 40, forged.sha256, (), "1.0.0")
    store.take_reports([(GATEWAY, 1, 1, json.dumps(said.fields()))], 1)
    store.close()
    group.stage().play("The director's key is stolen")
    after = group.source().desired()
    assert after is not None and parse_document(after).version == 41
    assert parse_document(after).items == document.items
    assert stolen.keyid not in {key for role in metadata(group) for key in role.signatures}
    assert group.installs() == b"a pump"


def metadata(group: Group) -> list[Metadata[Any]]:
    """Every role in force that the director signs."""
    files = (group.public / "metadata").glob("*.bin-*")
    names = {path.name.partition(".")[2].removesuffix(".json") for path in files}
    return [Metadata.from_file(str(group.newest(name))) for name in ("director", *sorted(names))]


def test_a_stolen_publishers_packages_go_and_the_true_ones_come_back(group: Group) -> None:
    desk = Updates(group.home, 90, disk=FastDisk())
    desk.keys.hold(group.key("acme"))
    evil = group.folder / "evil"
    evil.write_text("evil")
    desk.add(evil, "apps/acme/evil-1.0.0.capp")
    found = desk.published()[0]
    assert group.source().fetch(found.path, found.sha256, found.length).read_bytes() == b"evil"
    group.stage().play("A publisher's key is stolen")
    assert group.installs() == b"a pump"
    with pytest.raises(UpdateRefusedError, match="unlisted"):
        group.source(name="another").fetch(found.path, found.sha256, found.length)
    again = Updates(group.home, 90, disk=FastDisk())
    again.keys.hold(group.key("acme"))
    with pytest.raises(InputError, match="keys of publisher-acme"):
        again.add(evil, "apps/acme/evil-2.0.0.capp")


def publish_firmware(desk: Updates, name: str, folder: Path) -> None:
    file = folder / name
    file.write_text(name)
    desk.add(file, f"firmware/edge/{name}-1.0.0.cfw")


def name_a_publisher(desk: Updates, name: str, folder: Path) -> None:
    desk.add_publisher(name, KeyPair.new().public)


@pytest.mark.parametrize(
    ("role", "title", "act"),
    (
        ("firmware", "The firmware key is stolen", publish_firmware),
        ("targets", "The targets key is stolen", name_a_publisher),
    ),
)
def test_a_stolen_offline_key_signs_nothing_more(
    role: str, title: str, act: Callable[[Updates, str, Path], None], group: Group
) -> None:
    stolen = group.key(role)

    def thief() -> Updates:
        desk = Updates(group.home, 90, disk=FastDisk())
        desk.keys.hold(stolen)
        return desk

    act(thief(), "evil", group.folder)
    group.stage().play(title)
    assert group.installs() == b"a pump" and group.installs(FIRMWARE) == b"a program"
    with pytest.raises(InputError, match=f"keys of {role}"):
        act(thief(), "worse", group.folder)
    forged: Metadata[Targets] = group.forged(role)
    forged.sign(stolen.signer)
    hub = group.hub()
    hub.lies = {f"metadata/{forged.signed.version - 1}.{role}.json": forged.to_bytes()}
    with pytest.raises(UpdateRefusedError, match="altered"):
        group.installs(FIRMWARE, "late", hub=hub)
