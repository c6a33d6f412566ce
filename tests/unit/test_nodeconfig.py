"""A board's configuration is right in every way, or is told everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_runtime.flash import nodebuild, nodeconfig
from protocols.errors import InputError
from tests.unit.test_node import described

RIGHT = """
scan_ms = 250
[inputs.x]
kind = "analog"
pin = 34
scale = 0.01
[inputs.n]
pin = "GP2"
pull = "up"
[inputs.run]
pin = 4
invert = true
[outputs.high]
pin = 5
safe = true
[parameters]
limit = 12.5
"""


def write(folder: Path, text: str, name: str = "node.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    program = described(tmp_path)
    found = nodeconfig.read(write(tmp_path, RIGHT), program)
    assert found["inputs"]["run"]["invert"] == 1 and found["outputs"]["high"]["safe"] == 1
    assert found["scan_ms"] == 250 and found["watchdog_ms"] == 0
    import tomllib

    as_json = write(tmp_path, json.dumps(tomllib.loads(RIGHT)), "node.json")
    assert nodeconfig.read(as_json, program) == found
    assert json.loads(nodeconfig.packed(found)) == found


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("scan_ms = 250", "scan_ms = 1", "from 10"),
        ("scan_ms", "scan_mz", "did you mean 'scan_ms'"),
        ("[inputs.x]", "[inputs.y]", "one of the inputs of program watch"),
        ("[inputs.x]", "[inputs.y]", "none for x"),
        ("pin = 34\n", "", "the pin's number or name"),
        ('"up"', '"sideways"', "'down'"),
        ("limit = 12.5", 'limit = "a"', "a number"),
        ("limit = 12.5", "limits = 1", "did you mean 'limit'"),
        ("kind = \"analog\"", "kind = \"digital\"\nspeed = 1", "a known setting"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = write(tmp_path, RIGHT.replace(old, new))
    with pytest.raises(InputError) as caught:
        nodeconfig.read(path, described(tmp_path))
    assert says in str(caught.value) and "node.toml: " in str(caught.value)


def test_a_program_that_no_board_can_hold_is_refused(tmp_path: Path) -> None:
    wide = write(
        tmp_path,
        "PROGRAM p\nVAR_INPUT x : LREAL; END_VAR\nVAR_OUTPUT y : LREAL; END_VAR\ny := x + 1.0;\nEND_PROGRAM",
        "p.st",
    )
    assert set(nodebuild.program(wide, None, nodebuild.Target())) == {"rules.mpy", "rules.json"}
    with pytest.raises(InputError, match="LREAL"):
        nodebuild.program(wide, None, nodebuild.Target(lreal=False))
    with pytest.raises(InputError, match="Structured Text"):
        nodebuild.program(tmp_path / "none.st", None, nodebuild.Target())
    with pytest.raises(InputError, match="version none"):
        nodebuild.runtime(nodebuild.Target(mpy=0))


def test_equal_sources_give_equal_bytes(tmp_path: Path) -> None:
    assert nodebuild.runtime(nodebuild.Target()) == nodebuild.runtime(nodebuild.Target())
    total = sum(map(len, nodebuild.runtime(nodebuild.Target()).values()))
    assert total < 16_000, "it has to fit beside a program into the smallest boards"
