"""Genuine MicroPython in QEMU's micro:bit, and Espressif's esptool against a boot loader."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from edge_runtime.flash import firmware
from edge_runtime.flash.cli import invoke
from edge_runtime.flash.rawrepl import RawRepl
from edge_runtime.provision.port import BAUD, SerialLine
from edge_runtime.rules import SMALL_BOARD, Runner, compile_program
from protocols.errors import InputError
from tests.peers.esp32_rom import Esp32Rom
from tests.peers.foreign import ROOT, MissingPeerError
from tests.peers.microbit import microbit

ESPTOOL = ROOT / "build/peers/boards/bin/esptool"

SMOOTHED = """
PROGRAM smoothed
VAR_INPUT x : REAL; END_VAR
VAR_OUTPUT y : REAL; high : BOOL; END_VAR
y := y + 0.25 * (x - y);
high := y > 4.0;
END_PROGRAM
"""

# This board's arrays cannot be written to: lists, as on a gateway.
SCANS = """
def w64(v):
 return ((v+9223372036854775808)&18446744073709551615)-9223372036854775808
o=([0.0],[0])
q=([2],[2])
r=[]
for n in range(len(X)):
 step(0,1,0,1,1,[n*100],[0.0],([X[n]],),([0],),(),S,o,q,(),0)
 r.append((o[0][0],o[1][0]))
"""


def test_a_genuine_board_is_known_and_told_why_it_cannot_be_flashed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with microbit(tmp_path) as port:
        assert invoke(["node", "info", "--port", port, "--json"]) == 0
        about = json.loads(capsys.readouterr().out)
        assert about["implementation"] == "micropython" and about["version"] == [1, 9, 2]
        assert about["machine"] == "microbit" and about["mpy"] == 0 and not about["lreal"]
        assert invoke(["node", "flash", "--port", port]) == 2
        assert "a file system that can rename" in capsys.readouterr().err


def test_a_genuine_board_keeps_a_file_and_runs_rules_as_a_gateway_does(tmp_path: Path) -> None:
    program = compile_program(SMOOTHED, budget=SMALL_BOARD)
    draw = random.Random(2)
    values = [float(draw.randrange(0, 80)) / 8 for _ in range(12)]
    runner = Runner(program)
    expected = []
    for scan, value in enumerate(values):
        runner.times[0], runner.inputs[0][0], runner.qualities[0][0] = scan * 100, value, 0
        runner.step()
        expected.append((runner.outputs[0][0], runner.outputs[1][0]))
    states = [list(column.initial) for column in program.states + program.scratch]
    with microbit(tmp_path) as port:
        repl = RawRepl(lambda: SerialLine(port), BAUD, device=port)
        text = repl.call("f=open('a.txt','w')\nf.write('kept')\nf.close()\nr=open('a.txt').read()", 5.0)
        assert text == "kept"
        assert repl.call("import os\nr=os.listdir()") == ["a.txt"]
        put(repl, "rules.py", program.code)
        put(repl, "scans.py", f"from rules import step\nS={states!r}\nX={values!r}\n{SCANS}")
        # Its 10 kB hold the program while it runs, or what makes calls safe on a bad line, but not both.
        repl.restart()
        repl.plain("import scans", 5.0)
        found = repl.call("import scans\nr=scans.r")
        repl.close()
    assert [high for _, high in found] == [high for _, high in expected]
    assert 0 < sum(high for _, high in found) < len(found)
    # The board prints six digits of a REAL.
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], rel=1e-5)


def put(repl: RawRepl, name: str, text: str) -> None:
    """Write a file where there is room for little more than its text, piece by piece."""
    repl.call("import gc\nt=''\ngc.collect()")
    for at in range(0, len(text), 100):
        repl.call(f"t=t[:{at}]+{text[at : at + 100]!r}")
    repl.call(f"f=open({name!r},'w')\nf.write(t)\nf.close()\nt=''\nr=1", 5.0)


def esptool() -> str:
    if not ESPTOOL.exists():
        raise MissingPeerError(f"expected {ESPTOOL}; run: make peers")
    return str(ESPTOOL)


def test_esptool_writes_a_firmware_and_has_it_checked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "firmware.bin"
    image.write_bytes(os.urandom(20_000) + bytes(100_000))
    options = ["--esptool", esptool(), "--chip", "esp32", "--no-stub", "--baud", "115200"]
    with Esp32Rom() as rom:
        arguments = ["node", "firmware", "--port", rom.port, *options, "--address", "0x10000", str(image)]
        assert invoke(arguments) == 0, capfd.readouterr().err
        written = bytes(rom.flash[0x10000 : 0x10000 + 120_000])
    assert written == image.read_bytes()
    assert "catchment-flash node flash" in capfd.readouterr().out


def test_a_board_that_does_not_answer_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "firmware.bin"
    image.write_bytes(bytes(100))
    arguments = ["node", "firmware", "--port", str(tmp_path / "none"), "--esptool", esptool(), str(image)]
    assert invoke(arguments) == 3
    assert "expected a board in its boot loader" in capfd.readouterr().err


def test_without_esptool_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="pip install esptool"):
        firmware.find()
    monkeypatch.undo()
    with pytest.raises(InputError, match="GPL"):
        firmware.major_version("true")


def test_commands_are_spelt_as_the_version_wants() -> None:
    old = firmware.command("esptool.py", 4, "P", 115_200, Path("f.bin"), 0, "esp32s3", stub=False)
    assert old == [
        "esptool.py", "--port", "P", "--baud", "115200", "--chip", "esp32s3", "--no-stub",
        "write_flash", "0x0", "f.bin",
    ]  # fmt: skip
    assert firmware.command("esptool", 5, "P", 115_200, Path("f.bin"), 0)[-3] == "write-flash"
