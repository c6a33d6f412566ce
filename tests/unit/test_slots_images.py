"""Images and wheels: built the same each time, read from end to end, and refused when anything is odd."""

from __future__ import annotations

import hashlib
import io
import json
import marshal
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.tags import Tag, cpython_tags
from packaging.tags import compatible_tags as pure_tags

from edge_runtime import slots
from edge_runtime.cli import invoke as edge
from edge_runtime.flash import tags
from edge_runtime.flash.build import Recipe, _write, build
from edge_runtime.flash.card import refuse_in_use, write_card
from edge_runtime.flash.cli import invoke as flash
from edge_runtime.flash.root import make_root
from edge_runtime.slots import firmware, installing, states, unpack
from edge_runtime.slots.compiling import take_compiled
from edge_runtime.slots.image import open_image
from edge_runtime.slots.installing import BusyError
from edge_runtime.slots.machine import machine, running_python
from edge_runtime.slots.store import SBOM, Root, StateStore
from edge_runtime.slots.unpack import check_slot
from edge_runtime.slots.wheel import Budget, Wheel
from headquarters.cli import main as headquarters
from protocols.errors import (
    InputError,
    IntegrityError,
    MalformedError,
    PeerError,
    StoreFullError,
)
from protocols.storedzip import LOCAL_BYTES
from scripts.wheels import make_wheel
from tests.slot_parts import demo_image, demo_root

NOTHING: Callable[[str, int, int], None] = lambda stage, done, of: None  # noqa: E731


def recipe(wheels: Path, **changes: object) -> Recipe:
    return replace(Recipe(wheels, None, "edge", running_python(), machine()), **changes)  # type: ignore[arg-type]


# -- building ----------------------------------------------------------------------------------------


def test_the_same_input_gives_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    one = demo_image(tmp_path / "one").read_bytes()
    for path in (tmp_path / "one" / "wheels-1.0.0").iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    built = build(recipe(tmp_path / "one" / "wheels-1.0.0"), tmp_path / "two.cfw")
    assert built.path.read_bytes() == one
    assert built.sha256 == hashlib.sha256(one).hexdigest()


def test_an_image_is_a_zip_file_that_others_read(tmp_path: Path) -> None:
    (tmp_path / "defaults" / "sub").mkdir(parents=True)
    (tmp_path / "defaults" / "sub" / "gateway.toml").write_text("[gateway]\n")
    demo_image(tmp_path)
    image = build(recipe(tmp_path / "wheels-1.0.0", defaults=tmp_path / "defaults"), tmp_path / "x.cfw")
    with zipfile.ZipFile(image.path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names[0] == "firmware.toml" and "defaults/sub/gateway.toml" in names
        for entry in image.manifest.files:
            assert hashlib.sha256(archive.read(entry.name)).hexdigest() == entry.sha256


def test_the_bill_of_materials_names_every_wheel_with_its_hash_and_needs(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels-1.0.0"
    demo_image(tmp_path)
    head = "License-Expression: MIT\nSummary: Adds\nRequires-Dist: subtract\n"
    make_wheel(wheels, "add", "2.0", {"add.py": b""}, head)
    lgpl = "Classifier: License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)\n"
    make_wheel(wheels, "subtract", "1.5", {"subtract.py": b""}, lgpl)
    program = next(wheels.glob("catchment-*"))
    content = {"edge_runtime/data_format.toml": b"current = 1\noldest = 1\n"}
    program.unlink()
    make_wheel(wheels, "catchment", "1.0.0", content, "Requires-Dist: add>=2\n")
    image = build(recipe(wheels), tmp_path / "x.cfw")
    bill = json.loads(image.read(SBOM))
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    parts = {each["name"]: each for each in bill["components"]}
    assert set(parts) == {"add", "subtract", "catchment"}
    assert parts["add"]["licenses"] == [{"expression": "MIT"}]
    assert parts["subtract"]["licenses"] == [{"license": {"name": "Mozilla Public License 2.0 (MPL 2.0)"}}]
    entry = next(each for each in image.manifest.files if each.name == "wheels/add-2.0-py3-none-any.whl")
    assert parts["add"]["hashes"] == [{"alg": "SHA-256", "content": entry.sha256}]
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    references = {each["bom-ref"] for each in bill["components"]} | {"firmware"}
    assert set(needs) == references and {ref for refs in needs.values() for ref in refs} <= references
    assert needs[parts["add"]["bom-ref"]] == [parts["subtract"]["bom-ref"]]


def test_what_is_missing_or_too_much_in_a_wheelhouse_is_told_at_once(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    needs = 'Requires-Dist: click>=8\nRequires-Dist: add>=3\nRequires-Dist: windows; os_name == "nt"\n'
    content = {"edge_runtime/data_format.toml": b"current = 1\noldest = 2\n"}
    make_wheel(wheels, "catchment", "1.0.0", content, needs)
    make_wheel(wheels, "add", "2.0", {})
    make_wheel(wheels, "useless", "1.0", {})
    with pytest.raises(InputError) as caught:
        build(recipe(wheels), tmp_path / "x.cfw")
    text = str(caught.value)
    assert "click>=8, which catchment needs" in text
    assert "got 'add-2.0-py3-none-any.whl'; expected a wheel of add>=3" in text
    assert "only what catchment[edge] needs; remove it" in text
    assert "windows" not in text and "data_format.toml" in text
    assert not (tmp_path / "x.cfw").exists()


@pytest.mark.parametrize(
    "tag",
    [
        "cp310-cp310-any",
        "py2-none-any",
        "cp311-cp311-win_amd64",
        "cp312-abi3-any",
        "py3-none-macosx_11_0_arm64",
    ],
)
def test_a_wheel_for_another_machine_is_refused(tmp_path: Path, tag: str) -> None:
    make_wheel(tmp_path / "w", "catchment", "1.0.0", {}, tag=tag)
    with pytest.raises(InputError, match="a wheel for cp311 on linux_x86_64"):
        build(recipe(tmp_path / "w", python="cp311", platform="linux_x86_64"), tmp_path / "x.cfw")


def test_tags_fit_where_the_packaging_library_says_so() -> None:
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(40, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    known = {*cpython_tags((3, 11), ["cp311"], platforms), *pure_tags((3, 11), "cp311", [*platforms, "any"])}
    pythons = ["cp311", "cp310", "cp312", "cp37", "py3", "py2", "py311", "py37", "py312", "pp311"]
    for python in pythons:
        for abi in ("cp311", "abi3", "none", "cp310"):
            for platform in ("any", "linux_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "win32"):
                found = tags.parse(f"x-1-{python}-{abi}-{platform}.whl").fits("cp311", "linux_x86_64")
                if platform == "any" and abi != "none":
                    continue  # code of one interpreter's ABI for any machine: nobody makes that
                assert found is (Tag(python, abi, platform) in known), (python, abi, platform)


# -- reading -----------------------------------------------------------------------------------------


def test_an_image_with_any_byte_changed_is_refused(tmp_path: Path) -> None:
    path = demo_image(tmp_path)
    whole = path.read_bytes()
    spoilt = tmp_path / "spoilt.cfw"
    for at in range(0, len(whole), 7):
        spoilt.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        with pytest.raises(PeerError):
            open_image(spoilt)


def test_another_file_under_a_listed_name_is_refused_though_its_checksum_in_the_archive_is_right(
    tmp_path: Path,
) -> None:
    path = demo_image(tmp_path)
    manifest = open_image(path).manifest
    with zipfile.ZipFile(path) as made:
        contents: dict[str, Path | bytes] = {entry.name: made.read(entry.name) for entry in manifest.files}
    sbom = contents["sbom.cdx.json"]
    assert isinstance(sbom, bytes)
    contents["sbom.cdx.json"] = b" " * len(sbom)
    _write(path, manifest, contents)
    with zipfile.ZipFile(path) as made:
        assert made.testzip() is None
    with pytest.raises(IntegrityError, match=r"'sbom\.cdx\.json' is not the file that firmware\.toml lists"):
        open_image(path)


@pytest.mark.parametrize("kept", [0, 10, 500, 5000, -1])
def test_an_image_that_was_cut_off_or_has_something_behind_it_is_refused(tmp_path: Path, kept: int) -> None:
    path = demo_image(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(MalformedError):
        open_image(path)
    path = demo_image(tmp_path, "1.0.1")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(MalformedError):
        open_image(path)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "wheels/a/b.whl",
        "run.py",
        "defaults/../../x",
        "defaults//x",
        "wheels\\x.whl",
        "a",
    ],
)
def test_names_that_leave_their_folder_or_are_not_foreseen_are_refused(name: str) -> None:
    assert firmware.refusal(name)


def test_a_manifest_is_read_only_in_the_one_form(tmp_path: Path) -> None:
    image = open_image(demo_image(tmp_path))
    text = firmware.render(image.manifest)
    assert firmware.parse(text.encode()) == image.manifest
    for spoilt in (
        text + "\n",
        text.replace("format = 1", "format = 2", 1),
        text.replace("wheels/", "wheels/../", 1),
        text.replace('tier = "edge"', 'tier = "boat"'),
        text.replace("data_oldest = 1", "data_oldest = 2"),
        text.replace("unpacked_bytes = ", "unpacked_bytes = 99999999999"),
        "[firmware]\n",
        "\ufeff",
    ):
        with pytest.raises(PeerError):
            firmware.parse(spoilt.encode())


def unpacked(path: Path, folder: Path, size: int = 1 << 20, files: int = 100) -> list[str]:
    with path.open("rb") as stream:
        Wheel(path.name, stream).unpack(folder, Budget(size, files))
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())


def test_a_wheel_is_unpacked_with_its_data_and_without_its_scripts(tmp_path: Path) -> None:
    files = {"a/b.py": b"1", "x-1.data/purelib/c.py": b"2", "x-1.data/scripts/run": b"3", "a,b.txt": b"4"}
    found = unpacked(make_wheel(tmp_path, "x", "1", files), tmp_path / "lib")
    info = [f"x-1.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")]
    assert found == sorted(["a/b.py", "a,b.txt", "c.py", *info])


@pytest.mark.parametrize(
    ("files", "record", "words"),
    [
        ({"../x.py": b""}, {}, "plain relative path"),
        ({"/x.py": b""}, {}, "plain relative path"),
        ({"x-1.data/purelib/../../../x.py": b""}, {}, "plain relative path"),
        ({"x-1.data/odd/x.py": b""}, {}, "known part of .data"),
        ({"__pycache__/x.pyc": b""}, {}, "nothing compiled"),
        ({"x.py": b"1"}, {"x.py": ""}, "does not list"),
        ({"x.py": b"1"}, {"y.py": "y.py,sha256=AAAA,1"}, "no 'y.py'"),
        ({"x.py": b"1"}, {"x.py": "x.py,sha256=AAAA,1"}, "not the file that its RECORD lists"),
        ({"x.py": b"1"}, {"x.py": "x.py,md5=AAAA,1"}, "a hash"),
        ({"x.py": b"1"}, {"x.py": "x.py,,"}, "a hash"),
        ({"x.py": b"1" * 100}, {"x.py": "x.py,sha256=AAAA,10"}, "longer than its RECORD says"),
        ({"x.py": b"1"}, {"x.py": "x.py,sha256=AAAA,99999999999"}, "a size"),
    ],
)
def test_a_wheel_that_is_not_what_it_lists_is_refused_and_nothing_leaves_the_folder(
    tmp_path: Path, files: dict[str, bytes], record: dict[str, str], words: str
) -> None:
    path = make_wheel(tmp_path / "w", "x", "1", files, record=record)
    before = set(tmp_path.iterdir())
    with pytest.raises(PeerError, match=words):
        unpacked(path, tmp_path / "lib")
    assert set(tmp_path.iterdir()) <= before | {tmp_path / "lib"}


def test_a_wheel_with_a_link_in_it_is_refused(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "x", "1", {"link": b"/etc/passwd"})
    with zipfile.ZipFile(path) as archive:
        contents = {info: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in contents.items():
            if info.filename == "link":
                info.external_attr = 0o120777 << 16
            archive.writestr(info, content)
    with pytest.raises(MalformedError, match="no link"):
        unpacked(path, tmp_path / "lib")


def test_a_bomb_is_stopped_at_its_first_byte_too_many(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "x", "1", {"zeros": bytes(100)})
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, bytes(200 << 20) if name == "zeros" else content)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(IntegrityError, match="longer than its RECORD says"):
        unpacked(path, tmp_path / "lib")
    assert sum(each.stat().st_size for each in (tmp_path / "lib").rglob("*")) < 1 << 20


def test_wheels_together_are_no_larger_than_their_image_declares(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "x", "1", {"x.py": bytes(1000)})
    with pytest.raises(PeerError, match="larger, unpacked, than its image declares"):
        unpacked(path, tmp_path / "lib", size=900)
    with pytest.raises(PeerError, match="larger, unpacked, than its image declares"):
        unpacked(path, tmp_path / "lib", files=2)


def test_two_wheels_may_share_a_file_only_when_it_is_the_same(tmp_path: Path) -> None:
    wheels = [
        make_wheel(tmp_path, name, "1", {"shared/__init__.py": text})
        for name, text in (("x", b"1"), ("y", b"2"))
    ]
    budget = Budget(1 << 20, 100)
    with wheels[0].open("rb") as stream:
        Wheel("x", stream).unpack(tmp_path / "lib", budget)
    with wheels[1].open("rb") as stream, pytest.raises(MalformedError, match="in another wheel"):
        Wheel("y", stream).unpack(tmp_path / "lib", budget)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), bytes(70_000)])
def test_what_is_no_wheel_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedError):
        Wheel("x.whl", io.BytesIO(content))


# -- installing --------------------------------------------------------------------------------------


@pytest.fixture
def machine_(tmp_path: Path) -> Path:
    return demo_root(tmp_path, demo_image(tmp_path, "1.0.0"))


def test_an_image_goes_into_the_idle_slot_and_is_to_be_tried(machine_: Path, tmp_path: Path) -> None:
    done = slots.install(machine_, demo_image(tmp_path, "1.1.0"))
    state = slots.state(machine_)
    assert (done.slot, done.good, state.good) == ("b", False, "a")
    assert state.trial is not None and (state.trial.slot, state.trial.tries_left) == ("b", 3)
    check_slot(machine_ / "slots" / "b")
    assert slots.install(machine_, demo_image(tmp_path, "1.1.0")) == done
    assert slots.state(machine_) == state, "the same again changes nothing"


def test_the_good_image_again_is_nothing_to_do(machine_: Path, tmp_path: Path) -> None:
    done = slots.install(machine_, tmp_path / "demo-1.0.0.cfw")
    assert done.good and slots.state(machine_).trial is None


def test_what_was_given_up_is_installed_again_only_when_asked_for(machine_: Path, tmp_path: Path) -> None:
    image = demo_image(tmp_path, "1.1.0")
    slots.install(machine_, image)
    StateStore(Root(machine_)).change(lambda now: states.given_up(states.begun(now, "b", None), "crashed", 1))
    with pytest.raises(InputError, match=r"given up .crashed.; install it with --again"):
        slots.install(machine_, image)
    assert slots.install(machine_, image, again=True).slot == "b"


def test_nothing_is_installed_while_a_firmware_is_tried(machine_: Path, tmp_path: Path) -> None:
    slots.install(machine_, demo_image(tmp_path, "1.1.0"))
    StateStore(Root(machine_)).change(lambda now: states.begun(now, "boot", None))
    with pytest.raises(BusyError, match="is being tried now"):
        slots.install(machine_, demo_image(tmp_path, "1.2.0"))
    with StateStore(Root(machine_)).alone("installing"), pytest.raises(BusyError, match="under way"):
        slots.install(machine_, demo_image(tmp_path, "1.2.0"))


def test_an_image_that_does_not_fit_the_machine_is_refused_with_every_reason(
    machine_: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = demo_image(tmp_path, "1.1.0", format=3, oldest=3)
    monkeypatch.setattr(installing, "interpreter", lambda python: None)
    before = slots.state(machine_)
    with pytest.raises(InputError) as caught:
        slots.install(machine_, image)
    assert {problem.place for problem in caught.value.problems} == {"python", "data_format"}
    assert slots.state(machine_) == before


def test_an_image_for_which_there_is_no_room_is_refused_before_anything_is_written(
    machine_: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = demo_image(tmp_path, "1.1.0")
    monkeypatch.setattr(installing, "room_needed", lambda image: 1 << 60)
    with pytest.raises(StoreFullError, match="expected 1,152,921,504,607 MB of room"):
        slots.install(machine_, image)
    assert slots.state(machine_).firmware["b"] is None and not (machine_ / "slots" / "b").exists()


def test_an_installation_that_fails_leaves_the_good_slot_and_can_be_done_again(
    machine_: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = demo_image(tmp_path, "1.1.0")

    def fail(slot: Path, python: str) -> None:
        raise StoreFullError("the disk is full")

    monkeypatch.setattr(unpack, "compile_slot", fail)
    with pytest.raises(StoreFullError):
        slots.install(machine_, image)
    assert slots.state(machine_).trial is None
    monkeypatch.undo()
    assert slots.install(machine_, image).slot == "b"


def compiled_file(slot: Path, module: str = "cli") -> Path:
    [found] = (slot / "lib" / "edge_runtime" / "__pycache__").glob(f"{module}.*.pyc")
    return found


def test_what_is_compiled_in_the_good_slot_is_taken_from_there_when_its_source_is_the_same(
    machine_: Path, tmp_path: Path
) -> None:
    good, idle = machine_ / "slots" / "a", machine_ / "slots" / "b"
    slots.install(machine_, demo_image(tmp_path, "1.1.0", "of its own"))
    assert take_compiled(idle, good, running_python()) == 1, "__init__.py is the same, cli.py is not"
    own, other = compiled_file(idle).read_bytes(), compiled_file(good).read_bytes()
    assert b"of its own" in own and b"of its own" not in other
    assert compiled_file(idle, "__init__").read_bytes() == compiled_file(good, "__init__").read_bytes()
    assert not compiled_file(idle, "__init__").samefile(compiled_file(good, "__init__"))
    assert take_compiled(idle, good, "cp399") == 0
    assert take_compiled(idle, machine_ / "slots" / "c", running_python()) == 0


def test_a_damaged_compiled_file_is_not_taken_but_made_again(machine_: Path, tmp_path: Path) -> None:
    good, idle = machine_ / "slots" / "a", machine_ / "slots" / "b"
    whole = compiled_file(good).read_bytes()
    compiled_file(good).write_bytes(whole[:-9] + b"# damaged")
    slots.install(machine_, demo_image(tmp_path, "1.1.0"))
    made = compiled_file(idle).read_bytes()
    assert not made.endswith(b"# damaged") and len(made) == len(whole)
    assert marshal.loads(made[16:]).co_code == marshal.loads(whole[16:]).co_code


def test_a_slot_with_a_changed_missing_or_unreadable_file_is_noticed(machine_: Path) -> None:
    slot = machine_ / "slots" / "a"
    check_slot(slot)
    victim = slot / "lib" / "edge_runtime" / "cli.py"
    whole = victim.read_bytes()
    victim.write_bytes(whole + b"#")
    with pytest.raises(IntegrityError, match=r"cli\.py is not as it was installed"):
        check_slot(slot)
    victim.unlink()
    with pytest.raises(IntegrityError, match=r"cli\.py"):
        check_slot(slot)
    (slot / "files.sha256").unlink()
    with pytest.raises(IntegrityError, match=r"files\.sha256"):
        check_slot(slot)


def test_going_back_tries_the_firmware_of_the_other_slot(machine_: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a firmware to go back to"):
        installing.go_back(machine_)
    slots.install(machine_, demo_image(tmp_path, "1.1.0"))
    store = StateStore(Root(machine_))
    store.change(lambda now: states.confirmed(states.begun(now, "boot", None)))
    after = installing.go_back(machine_)
    assert after.good == "b" and after.trial is not None and after.of(after.trial.slot).version == "1.0.0"


# -- writing -----------------------------------------------------------------------------------------


def test_a_root_is_not_written_over_another_and_keeps_what_is_in_its_home(tmp_path: Path) -> None:
    demo_image(tmp_path)
    (tmp_path / "defaults").mkdir()
    (tmp_path / "defaults" / "gateway.toml").write_text("default")
    (tmp_path / "defaults" / "points.csv").write_text("default")
    image = build(recipe(tmp_path / "wheels-1.0.0", defaults=tmp_path / "defaults"), tmp_path / "x.cfw")
    home = tmp_path / "root" / "home"
    home.mkdir(parents=True)
    (home / "gateway.toml").write_text("mine")
    make_root(image, tmp_path / "root")
    assert (home / "gateway.toml").read_text() == "mine"
    assert (home / "points.csv").read_text() == "default"
    assert (home / "points.csv").stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="upgrade with"):
        make_root(image, tmp_path / "root")


def test_a_card_holds_a_file_system_with_the_root_and_is_read_back(tmp_path: Path) -> None:
    image = open_image(demo_image(tmp_path))
    card = tmp_path / "card.img"
    with card.open("wb") as stream:
        stream.truncate(80 << 20)
    told: list[str] = []
    write_card(image, card, lambda stage, done, of: told.append(stage))
    data = card.read_bytes()
    assert data[0x438:0x43A] == b"\x53\xef", "the mark of ext4"
    assert data[0x478:0x481] == b"catchment"
    assert image.sha256.encode() in data
    assert {"unpack", "write", "verify"} <= set(told)


def test_a_card_that_is_too_small_or_gives_back_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = open_image(demo_image(tmp_path))
    card = tmp_path / "card.img"
    card.write_bytes(bytes(1000))
    with pytest.raises(InputError, match="a disk of at least"):
        write_card(image, card, NOTHING)
    with card.open("wb") as stream:
        stream.truncate(80 << 20)

    def spoil(descriptor: int, *_: int) -> None:
        os.pwrite(descriptor, b"worn out", 30 << 20)

    monkeypatch.setattr(os, "posix_fadvise", spoil)
    with pytest.raises(IntegrityError, match="gives back something else"):
        write_card(image, card, NOTHING)


@pytest.mark.parametrize("table", ["mounts", "swaps"])
def test_a_disk_in_use_is_refused(tmp_path: Path, table: str) -> None:
    card = tmp_path / "my card.img"
    card.write_bytes(b"somebody's")
    proc = tmp_path / "proc"
    proc.mkdir()
    quoted = str(card).replace(" ", "\\040")
    (proc / table).write_text(f"/dev/nowhere /x ext4 rw 0 0\n{quoted} /mnt/card ext4 rw 0 0\n")
    with pytest.raises(InputError, match="unmount it first"):
        write_card(open_image(demo_image(tmp_path)), card, NOTHING, proc)
    assert card.read_bytes() == b"somebody's"
    (proc / table).write_text("/dev/nowhere /x ext4 rw 0 0\n")
    refuse_in_use(card, proc)


def test_the_first_file_of_an_image_is_its_manifest(tmp_path: Path) -> None:
    assert demo_image(tmp_path).read_bytes()[LOCAL_BYTES : LOCAL_BYTES + 13] == b"firmware.toml"


def test_what_is_no_image_is_wrong_input_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rubbish.cfw"
    path.write_bytes(bytes(range(256)))
    for command in ("verify", "inspect"):
        assert flash(["image", command, str(path)]) == 2
        assert f"{path}: got '256 bytes'; expected a whole firmware image" in capsys.readouterr().err


def test_rubbish_that_is_to_be_installed_or_published_is_wrong_input(tmp_path: Path) -> None:
    image = demo_image(tmp_path / "whole")
    root, rubbish = demo_root(tmp_path, image), tmp_path / "rubbish-1.0.0.cfw"
    home = tmp_path / "hq"
    assert CliRunner().invoke(headquarters, ["init", "--home", str(home), "--id", "hq"]).exit_code == 0
    before = (root / "slots/state").read_bytes()
    for data in (b"", b"rubbish", image.read_bytes()[:-1], image.read_bytes() + b"x"):
        rubbish.write_bytes(data)
        assert edge(["slots", "install", "--root", str(root), str(rubbish)]) == 2
        said = CliRunner().invoke(
            headquarters, ["publish", "firmware", str(rubbish), "--dry-run", "--home", str(home)]
        )
        assert said.exit_code == 2 and f"got '{len(data)} bytes'" in said.output
    assert (root / "slots/state").read_bytes() == before
