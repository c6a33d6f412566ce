"""App packages: an archive is what `pack` makes or is refused, and a wrong app.toml is told whole."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.apps.skeleton import MANIFEST as SKELETON
from protocols import limits
from protocols.errors import InputError, LimitError, PeerError
from protocols.package import Package, archive, of_files, open_package

FILES = {
    "app.toml": b"[app]\n",
    "programs/main.st": b"PROGRAM main END_PROGRAM",
    "tests/limit/input.csv": b"time,value\n",
    "models/m.onnx": bytes(range(256)),
}


def packed_as_they_are(files: Mapping[str, bytes]) -> bytes:
    """An archive in the right form, whatever its names are."""
    listed = "".join(f"{archive.digest(content)}  {name}\n" for name, content in files.items())
    return archive._zip([(archive.MANIFEST, listed.encode()), *files.items()])


def test_what_was_packed_comes_back_and_any_zip_program_reads_it() -> None:
    data = archive.pack(FILES)
    assert archive.unpack(data) == FILES
    assert archive.pack(dict(reversed(FILES.items()))) == data
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        assert zipped.testzip() is None
        assert {name: zipped.read(name) for name in FILES} == FILES


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_byte_a_cut_and_a_trailing_byte_are_refused(drawn: st.DataObject) -> None:
    data = bytearray(archive.pack(FILES))
    at = drawn.draw(st.integers(0, len(data) - 1))
    change = drawn.draw(st.sampled_from(("byte", "cut", "more")))
    if change == "byte":
        data[at] ^= drawn.draw(st.integers(1, 255))
    elif change == "cut":
        del data[at:]
    else:
        data += b"\0"
    with pytest.raises(PeerError):
        archive.unpack(bytes(data))


@given(st.binary(max_size=300))
def test_garbage_is_refused(garbage: bytes) -> None:
    for data in (garbage, b"PK\x03\x04" + garbage):
        with pytest.raises(PeerError):
            archive.unpack(data)


@pytest.mark.parametrize(
    "names",
    [
        ["../app.toml"],
        ["/app.toml"],
        ["programs/../../x.st"],
        ["programs/x.py"],
        ["programs/.st"],
        ["programs/a/b.st"],
        ["generated/x.st"],
        ["programs/a.st", "programs/a.st"],
        ["programs/A.st", "programs/a.st"],
        ["programs/b.st", "programs/a.st"],
        ["programs/a\0.st"],
        ["tests/a/other.csv"],
        ["programs/" + "x" * limits.PACKAGE_PATH_CHARS_MAX + ".st"],
    ],
)
def test_a_name_that_a_package_may_not_hold_is_refused(names: list[str]) -> None:
    listed = "".join(f"{archive.digest(b'')}  {name}\n" for name in names).encode()
    with pytest.raises(PeerError):
        archive.unpack(archive._zip([(archive.MANIFEST, listed), *((name, b"") for name in names)]))


def test_the_list_of_hashes_must_be_that_of_the_files() -> None:
    listed = f"{archive.digest(b'another')}  app.toml\n".encode()
    with pytest.raises(PeerError, match=r"'app\.toml' is not the file"):
        archive.unpack(archive._zip([(archive.MANIFEST, listed), ("app.toml", b"this")]))
    assert archive.unpack(packed_as_they_are({"app.toml": b"this"})) == {"app.toml": b"this"}


def test_too_many_and_too_large_files_are_refused_on_both_sides() -> None:
    many = {f"programs/p{number:05}.st": b"" for number in range(limits.PACKAGE_FILES_MAX + 1)}
    large = {"app.toml": bytes(limits.PACKAGE_BYTES_MAX)}
    for files in (many, large):
        with pytest.raises(LimitError):
            archive.pack(files)
        with pytest.raises(LimitError):
            archive.unpack(packed_as_they_are(files))


# -- app.toml --------------------------------------------------------------------------------------

RIGHT = SKELETON.format(id='"mills"', publisher='"own"', app_class='"operations"', title='"Mills"')


def read(text: str) -> Package:
    return of_files({"app.toml": text.encode(), "programs/main.st": b""}, "mills")


def test_a_right_manifest_says_what_it_says() -> None:
    manifest = read(RIGHT).manifest
    assert (manifest.id, manifest.archive, manifest.period_ms) == ("mills", "mills-0.1.0.capp", 1000)
    assert manifest.permissions.read == ("value",) and manifest.permissions.events
    assert {name: each.default for name, each in manifest.parameters.items()} == {
        "limit": 80.0,
        "delay": "T#2s",
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "mills"', 'id = "Mills"', "[app] id"),
        ('version = "0.1.0"', 'version = "1.0"', "[app] version"),
        ('class = "operations"', 'class = "office"', "[app] class"),
        ("period_s = 1", "period_s = 0.0105", "whole milliseconds"),
        ("events = true", 'events = "yes"', "[permissions] events"),
        ('read = ["value"]', 'read = ["value", "value"]', "each name once"),
        ('read = ["value"]', 'read = ["a-b"]', "[permissions] read"),
        ("events = true", "events = true\nexecute = true", "execute"),
        ("low = 0.0", "low = 300.0", "at most high"),
        ("default = 80.0", "default = nan", "a finite number"),
        ("default = 80.0", "default = 500.0", "at most high"),
        ('unit = "Cel"', 'unit = "m3/(h"', "a UCUM unit"),
        ("programs/main.st", "programs/other.st", "a file of the package"),
        ("programs/main.st", "../main.st", "programs/NAME.st"),
        ('file = "programs/main.st"', "", "file"),
        ("[outputs.high]", '[outputs."a b"]', "a name of the rule language"),
        ("[[program]]", "[script]\n[[program]]", "script"),
    ],
)
def test_a_wrong_manifest_is_told_what_is_wrong(old: str, new: str, said: str) -> None:
    assert old in RIGHT
    with pytest.raises(InputError) as wrong:
        read(RIGHT.replace(old, new, 1))
    assert said in str(wrong.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = (
        RIGHT.replace('"0.1.0"', '"1"')
        .replace("events = true", "events = 1")
        .replace("low = 0.0", "low = []")
    )
    with pytest.raises(InputError) as wrong:
        read(text)
    assert len(wrong.value.problems) == 3


def test_a_pipe_is_no_package_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.capp")
    with pytest.raises(InputError, match="a device or pipe"):
        open_package(tmp_path / "pipe.capp")


def test_a_folder_that_is_no_app_is_told_so_and_not_read_through(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.log").touch()
    with pytest.raises(InputError) as wrong:
        open_package(tmp_path)
    [problem] = wrong.value.problems
    assert problem.file == str(tmp_path / "app.toml") and "catchment-edge app new" in problem.expected
