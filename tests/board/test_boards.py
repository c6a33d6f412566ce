"""Boards are flashed, configured and read over a line that damages, over pulls and power cuts.

The board is MicroPython's unix port behind a pseudo-terminal (`device.py`); mpremote, which shares
no code with what is tested, says what is really on it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.flash import nodebuild, nodeflash
from edge_runtime.flash.board import Board
from edge_runtime.flash.rawrepl import BoardError, RawRepl
from edge_runtime.provision.port import SerialLine
from protocols.errors import DeviceError, IntegrityError
from tests.board.process import BoardProcess
from tests.serial_cable import SerialCable

BAUD = 921_600
"""A pseudo-terminal knows no rate: the fastest makes both sides wait least."""

FLASH = "from edge_runtime.flash.cli import main; main()"
RISING = """
PROGRAM {name}
VAR_INPUT x : LREAL; END_VAR
VAR_INPUT CONSTANT limit : LREAL := {limit}; END_VAR
VAR_OUTPUT high : BOOL; END_VAR
VAR tell : ALARM; END_VAR
high := x > limit;
tell(IN := high, VALUE := x, TEXT := 'too high');
END_PROGRAM
"""
CONFIG = 'board = "bench"\nscan_ms = 20\n[outputs.high]\n'
ROWS = [{"x": 1.0}, {"x": 9.0}]


@contextmanager
def board_on(
    folder: Path, damaged: float = 0.0, pulled_each: int = 0, seed: int = 1
) -> Iterator[tuple[BoardProcess, SerialCable]]:
    with (
        BoardProcess(folder / "disk") as board,
        SerialCable(folder, seed, damaged, pulled_each, board=board) as cable,
    ):
        yield board, cable


@contextmanager
def repl_on(cable: SerialCable, patience_s: float = 20.0) -> Iterator[RawRepl]:
    repl = RawRepl(lambda: SerialLine(str(cable.host)), BAUD, patience_s, str(cable.host))
    try:
        yield repl
    finally:
        repl.close()


def run(cable: SerialCable, command: str, *arguments: str) -> Any:
    program = [sys.executable, "-c", FLASH, "node", command, "--port", str(cable.host)]
    program += ["--baud", str(BAUD), *arguments, "--json"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def mpremote(cable: SerialCable, *arguments: str) -> str:
    """What a tool of the MicroPython project sees."""
    program = [sys.executable, "-m", "mpremote", "connect", str(cable.host), *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=True).stdout


def source(folder: Path, name: str = "first", limit: float = 5.0) -> Path:
    path = folder / f"{name}.st"
    path.write_text(RISING.format(name=name, limit=limit), encoding="utf-8")
    return path


def files(folder: Path, name: str = "first") -> dict[str, bytes]:
    target = nodebuild.Target()
    return nodebuild.runtime(target) | nodebuild.program(source(folder, name), None, target)


def hashes(board: Board, names: dict[str, bytes]) -> dict[str, str]:
    return {name: board.hash_of(name) for name in names}


def expected(names: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in names.items()}


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"


def test_a_board_is_flashed_configured_and_read(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(CONFIG)
    with board_on(tmp_path) as (_, cable):
        about = run(cable, "info")
        assert about["implementation"] == "micropython" and about["mpy"] == nodebuild.MPY_VERSION
        flashed = run(cable, "flash", "--program", str(source(tmp_path)))
        wanted = files(tmp_path)
        assert flashed["copied"] == list(wanted) and flashed["bytes"] == sum(map(len, wanted.values()))
        assert "waiting for node.json" in flashed["said"][-1]
        with repl_on(cable) as repl:
            Board(repl).write("inputs.json", json.dumps(ROWS).encode())
        said = run(cable, "config", str(tmp_path / "node.toml"))["said"]
        assert any(line.endswith("running first (rules)") for line in said)
        told = mpremote(cable, "resume", "fs", "sha256sum", ":rules.mpy")
        assert hashlib.sha256(wanted["rules.mpy"]).hexdigest() in told
        again = run(cable, "flash", "--program", str(source(tmp_path)))
        assert again["copied"] == [] and again["bytes"] == 0
        assert any(line.endswith("running first (rules)") for line in again["said"]), again["said"]
        time.sleep(0.7)
        lines = run(cable, "logs")["lines"]
        assert any(line.endswith("event raised tell too high 9.0 quality 0") for line in lines)
        assert any(line.endswith("event returned tell too high 1.0 quality 0") for line in lines)
        assert any("proven after" in line for line in lines)
        # Its program runs on after its log was read.
        with repl_on(cable) as repl:
            said_on = b""

            def hears() -> bool:
                nonlocal said_on
                said_on += repl.listen(0.2)
                return b"event raised" in said_on

            until(hears)


def test_only_what_changed_is_copied_and_a_bad_program_gives_way(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(CONFIG)
    with board_on(tmp_path) as (_, cable), repl_on(cable) as repl:
        board = Board(repl)
        board.write("inputs.json", json.dumps(ROWS).encode())
        board.write("node.json", json.dumps({"board": "bench", "scan_ms": 20}).encode())
        nodeflash.flash(board, files(tmp_path))
        flashed = nodeflash.flash(board, files(tmp_path, "second"))
        assert set(flashed.copied) <= {"rules.mpy", "rules.json"} and "rules.json" in flashed.copied
        # Flashed whole and right, but it cannot run.
        broken = files(tmp_path, "third") | {"rules.mpy": nodebuild.precompiled("step = None", "rules.py")}
        nodeflash.flash(board, broken)
        repl.restart()
        said = b""

        def settled() -> bool:
            nonlocal said
            said += repl.listen(0.2)
            return b"running second (rules_old)" in said

        until(settled)
        assert b"given up" in said and b"TypeError" in said


def test_a_damaged_line_that_is_pulled_brings_the_same_bytes(tmp_path: Path) -> None:
    wanted = {name: data for name, data in files(tmp_path).items() if "supervisor" in name or "rules" in name}
    with board_on(tmp_path, damaged=0.01, pulled_each=12_000, seed=5) as (_, cable), repl_on(cable) as repl:
        board = Board(repl)
        flashed = nodeflash.flash(board, wanted)
        assert set(flashed.copied) == set(wanted)
        assert repl.again > 100 and cable.hurt > 300 and cable.pulls >= 2 and repl.reconnected >= 2
        cable.heal()
        assert hashes(board, wanted) == expected(wanted)
        assert board.read("rules.json") == wanted["rules.json"]


UNFINISHED = "from catchment_node import supervisor as s\nr=s.unfinished('')"


def flashed_once(folder: Path, first: dict[str, bytes]) -> Iterator[tuple[BoardProcess, SerialCable]]:
    """A board with the first program, for as long as the generator lives."""
    folder.mkdir()
    with board_on(folder) as (process, cable):
        with repl_on(cable) as repl:
            nodeflash.flash(Board(repl), first)
        yield process, cable


def test_a_flash_that_was_cut_is_seen_by_the_board_and_done_again(tmp_path: Path) -> None:
    """The board's power goes somewhere in the second flash: what ran before starts then, or nothing."""
    first, second = files(tmp_path), files(tmp_path, "second")
    second["main.py"] += b"# another\n"
    for _, cable in flashed_once(tmp_path / "whole", first):
        before = cable.bytes
        with repl_on(cable) as repl:
            nodeflash.flash(Board(repl), second)
        total = cable.bytes - before
    seen = set()
    for percent in (50, 90):
        for process, cable in flashed_once(tmp_path / f"cut-{percent}", first):
            cable.cut_after(cable.bytes + total * percent // 100, process.power_off)
            with repl_on(cable, patience_s=0.5) as repl, pytest.raises(DeviceError):
                nodeflash.flash(Board(repl), second)
            process.power_on()
            with repl_on(cable) as repl:
                board = Board(repl)
                untouched = hashes(board, first) == expected(first)
                assert (repl.long_call(UNFINISHED, 5.0) == "") == untouched
                seen.add(untouched)
                nodeflash.flash(board, second)
                assert hashes(board, second) == expected(second)
                assert repl.long_call(UNFINISHED, 5.0) == ""
    assert seen == {True, False}


def test_what_the_board_refuses_is_told(tmp_path: Path) -> None:
    with board_on(tmp_path) as (_, cable), repl_on(cable) as repl:
        with pytest.raises(BoardError, match="ZeroDivisionError"):
            repl.call("1/0")
        assert repl.call("r=[1,'a',None]") == [1, "a", None]
        board = Board(repl)
        repl.call("f=open('rest','wb')\nfor _ in range(56):\n f.write(bytes(4096))\nf.close()", 5.0)
        with pytest.raises((BoardError, IntegrityError)):
            board.write("large", bytes(20_000))  # the disk has 256 kB in all
        board.write("empty", b"")
        assert board.read("empty") == b"" and board.read("none") is None


def test_a_port_without_a_board_is_told(tmp_path: Path) -> None:
    with board_on(tmp_path) as (process, cable):
        process.power_off()
        with repl_on(cable, patience_s=0.5) as repl, pytest.raises(DeviceError, match="no whole answer"):
            repl.call("r=1")
    with (
        repl_on(cable) as repl,
        pytest.raises(DeviceError, match="expected a serial port"),
    ):
        repl.call("r=1")
