"""A hub that lies about updates, and publishers that mean harm, before a gateway that runs.

Every attack is refused by the gateway's own process and told by a log line and a signed event;
python-tuf's own client refuses what the same hub shows; and the gateway runs on as before: the same
process and session, the same app, the same slots, collecting.
"""

from __future__ import annotations

import io
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.flash import build
from edge_runtime.slots.firmware import FileEntry
from edge_runtime.slots.image import open_image
from headquarters.updates import Updates
from protocols.desired import Document, Item, ItemKind
from protocols.package import archive
from scripts.wheels import make_wheel
from tests.attacks.lying import Attacked, app_files, in_lake, tree, wait_until
from tests.slot_parts import demo_image
from tests.update_parts import DAY_S, GATEWAY, FastDisk, Keys, forged_root, target_file

TIMESTAMP = "metadata/timestamp.json"


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """One gateway that takes all attacks."""
    with Attacked(tmp_path_factory.mktemp("attacked")) as made:
        yield made


@pytest.fixture
def attacked(group: Attacked) -> Iterator[Attacked]:
    """After each attack the gateway takes what headquarters signs next."""
    yield group
    group.honest()


def test_replayed_metadata(attacked: Attacked) -> None:
    old = attacked.world.hub.copy()
    attacked.honest()
    with attacked.refused("(older)"):
        attacked.world.hub.lies = {TIMESTAMP: old[TIMESTAMP]}


def test_frozen_metadata(attacked: Attacked) -> None:
    """What a hub kept back until its time was over: right signatures, newer than what is held, expired."""
    long_ago = time.time() - 200 * DAY_S
    folder = attacked.world.folder / "frozen"
    shutil.copytree(attacked.world.folder / "hq", folder)
    frozen = Updates(folder, 90, now=lambda: long_ago, disk=FastDisk())
    frozen.direct({GATEWAY: Document(GATEWAY, 99).pack()})
    public = frozen.repository.public
    with attacked.refused("(expired)"):
        attacked.world.hub.lies = {
            str(file.relative_to(public)): file.read_bytes() for file in public.rglob("*") if file.is_file()
        }


def test_metadata_of_two_states(attacked: Attacked) -> None:
    repository = attacked.world.desk.repository
    before, old = repository.snapshot(), attacked.world.hub.copy()
    assert before is not None
    with attacked.refused("(altered)"):
        attacked.desire([attacked.app("1.0.0")])
        after = repository.snapshot()
        assert after is not None
        names = [f"metadata/{found.signed.version}.snapshot.json" for found in (before, after)]
        attacked.world.hub.lies = {names[1]: old[names[0]]}


def test_an_altered_target(attacked: Attacked) -> None:
    path = "apps/acme/calm-1.1.0.capp"
    with attacked.refused("calm-1.1.0.capp: expected", path):
        item = attacked.app("1.1.0", path=path)
        attacked.desire([item])
        altered = bytearray((attacked.world.folder / "made").read_bytes())
        altered[-100] ^= 1
        attacked.world.hub.lies = {target_file(path, bytes.fromhex(item.sha256)): bytes(altered)}


def test_endless_data(attacked: Attacked) -> None:
    with attacked.refused("(endless)"):
        attacked.desire([attacked.app("1.0.0")])
        attacked.world.hub.endless = {TIMESTAMP}
    attacked.honest()
    path = "apps/acme/calm-1.2.0.capp"
    with attacked.refused("offered are 1099511627776", path):
        item = attacked.app("1.2.0", path=path)
        attacked.desire([item])
        attacked.world.hub.endless = {target_file(path, bytes.fromhex(item.sha256))}
    assert max(file.stat().st_size for file in (attacked.gateway.data / "updates").rglob("*")) < 1 << 20


def test_a_wrong_delegation(attacked: Attacked) -> None:
    """A publisher signs another one's path, and the director an app: both were even brought into force."""
    repository, keys = attacked.world.desk.repository, attacked.world.desk.keys
    file = attacked.world.folder / "evil"
    file.write_bytes(archive.pack(app_files("6.6.6")))
    for role, path in (
        ("publisher-acme", "apps/else/calm-6.6.6.capp"),
        ("bin-00", "apps/acme/calm-6.6.7.capp"),
    ):
        with attacked.refused("(unlisted)", path, reference=None):
            payload = repository.need(role)
            target = payload.targets[path] = repository.store_target(file, path)
            repository.release({role: payload}, keys)
            sha256 = bytes.fromhex(target.hashes["sha256"])
            attacked.desire([attacked.item((path, sha256, target.length), path[-10:-5])])
        payload = repository.need(role)
        del payload.targets[path]
        repository.release({role: payload}, keys)
        attacked.honest()


def test_a_revoked_publisher(attacked: Attacked) -> None:
    desk, path = attacked.world.desk, "apps/other/calm-7.0.0.capp"
    desk.keys.hold(Keys.other)
    desk.add_publisher("other", Keys.other.public)
    item = attacked.app("7.0.0", path=path)
    with attacked.refused("its publisher is revoked", path, reference=None):
        desk.revoke_publisher("other")
        attacked.desire([item])


def test_a_director_and_a_publisher_that_disagree(attacked: Attacked) -> None:
    path = "apps/acme/calm-1.3.0.capp"
    with attacked.refused("(disagree)", path, reference=False):  # which knows no desired documents
        item = attacked.app("1.3.0", path=path)
        attacked.desire([attacked.item((path, bytes(32), item.length), "1.3.0")])


@pytest.mark.parametrize("held", (0, 1))
def test_a_root_that_one_of_two_keys_signed(held: int, attacked: Attacked) -> None:
    with attacked.refused("(unsigned)"):
        attacked.desire([attacked.app("1.0.0")])
        attacked.world.hub.lies = {"metadata/2.root.json": forged_root(attacked.world, *Keys.holders[:held])}


def test_a_downgrade(attacked: Attacked) -> None:
    """With the director's own stolen key: an older document, and the one of another gateway."""
    with attacked.refused("expected a document of at least version", reference=False):
        attacked.desire([], version=1)
    attacked.honest()
    with attacked.refused("got that of unit-2", reference=False):
        attacked.world.desk.direct({GATEWAY: Document("unit-2", 10_000).pack()})


def test_metadata_that_is_none(attacked: Attacked) -> None:
    with attacked.refused("(wrong)"):
        attacked.desire([attacked.app("1.0.0")])
        attacked.world.hub.lies = {TIMESTAMP: b"[" * 9000}


def zipped(files: dict[str, bytes], how: int = zipfile.ZIP_STORED, link: str = "") -> bytes:
    """A zip file as other programs write it, beginning with a right manifest of hashes."""
    listed = "".join(f"{archive.digest(data)}  {name}\n" for name, data in sorted(files.items()))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", how) as made:
        for name, data in ((archive.MANIFEST, listed.encode()), *sorted(files.items())):
            info = zipfile.ZipInfo(name)
            info.compress_type = how
            info.external_attr = (0o120777 if name == link else 0o100644) << 16
            made.writestr(info, data)
    return written.getvalue()


def test_packages_of_a_malicious_publisher(attacked: Attacked) -> None:
    """Signed with the publisher's own key, past every check before publishing."""
    good = app_files("8.0.0")
    honest = archive.pack(good)
    evil = {
        "path": ("names of letters", archive.pack({**good, "../../../evil": b"evil"})),
        "absolute": ("names of letters", archive.pack({**good, "/tmp/evil": b"evil"})),
        "link": (
            "as `catchment-edge",
            zipped({**good, "programs/z.st": b"/etc/passwd"}, link="programs/z.st"),
        ),
        "bomb": (
            "without compression",
            zipped({**good, "programs/z.st": bytes(100 << 20)}, zipfile.ZIP_DEFLATED),
        ),
        "unlisted": ("is not the file", archive._zip([*archive._entries(honest), ("programs/z.st", b"")])),
        "altered": ("is not the file", honest.replace(b"0.5 * x", b"0.6 * x")),
    }
    before, outside = attacked.standing(), set(tree(attacked.river.root))
    items = [attacked.app("8.0.0", data, f"evil-{name}") for name, (_, data) in evil.items()]
    attacked.desire([attacked.app("1.0.0"), *items])
    why = attacked.failed(*items)
    for name, (words, _) in evil.items():
        assert words in why[f"app/evil-{name}"], why
    attacked.goes_on()
    assert attacked.standing() == before
    assert not {name for name in set(tree(attacked.river.root)) - outside if "evil" in name or "/z" in name}


def test_firmware_of_whoever_stole_the_firmware_key(attacked: Attacked) -> None:
    folder = attacked.world.folder
    before, outside = attacked.standing(), set(tree(attacked.river.root))
    for number, (words, files, record) in enumerate(
        (
            ("plain relative path", {"../../../evil.py": b""}, {}),
            ("no link", {"link": b"/etc/passwd"}, {}),
            ("longer than its RECORD says", {"x.py": b"1" * 100}, {"x.py": "x.py,sha256=AAAA,10"}),
            ("does not list", {"x.py": b"1"}, {"x.py": ""}),
        )
    ):
        wheel = make_wheel(folder / "wheels", f"evil{number}", "1", files, record=record)
        if "link" in files:
            as_link(wheel, "link")
        version = f"9.0.{number}"
        data = with_wheel(demo_image(folder, version), wheel)
        path, sha256, length = attacked.world.publish(data, f"firmware/edge/demo-{version}.cfw")
        item = Item(ItemKind.FIRMWARE, "firmware", version, path, length, sha256.hex())
        attacked.desire([attacked.app("1.0.0"), item])
        assert words in attacked.failed(item)["firmware"]
    attacked.goes_on()
    assert attacked.standing() == before
    assert not {name for name in set(tree(attacked.river.root)) - outside if "evil" in name or "link" in name}


def as_link(path: Path, name: str) -> None:
    """Make a symbolic link of an entry of a zip file."""
    with zipfile.ZipFile(path) as made:
        contents = {info: made.read(info) for info in made.infolist()}
    with zipfile.ZipFile(path, "w") as made:
        for info, content in contents.items():
            if info.filename == name:
                info.external_attr = 0o120777 << 16
            made.writestr(info, content)


def with_wheel(path: Path, wheel: Path) -> bytes:
    """An image with one wheel more, as somebody writes it who has no regard for our checks."""
    manifest = open_image(path).manifest
    with zipfile.ZipFile(path) as made:
        contents: dict[str, Path | bytes] = {entry.name: made.read(entry.name) for entry in manifest.files}
    contents[f"wheels/{wheel.name}"] = wheel.read_bytes()
    entries = [FileEntry(name, *build._digest(content)) for name, content in sorted(contents.items())]
    roomy = replace(
        manifest,
        files=tuple(entries),
        unpacked_bytes=manifest.unpacked_bytes + (1 << 20),
        unpacked_files=manifest.unpacked_files + 10,
    )
    build._write(path, roomy, contents)
    return path.read_bytes()


def test_all_of_it_is_in_the_lake_for_good(attacked: Attacked) -> None:
    """The last one: signed events of what was refused, signed reports of what failed."""
    lake, reasons = attacked.river.lake, ("older", "expired", "altered", "endless", "unsigned", "unlisted")
    refused = "SELECT text FROM events WHERE gateway = 'unit-1' AND source = 'desired'"
    wait_until(
        "the events in the lake",
        lambda: all(any(f"({why})" in text for text in in_lake(lake, refused)) for why in reasons),
    )
    reports = "SELECT detail FROM events WHERE gateway = 'unit-1' AND kind = 'report'"
    wait_until("the reports", lambda: any("evil-bomb" in text for text in in_lake(lake, reports)))
    assert any("no link" in text for text in in_lake(lake, reports))
