"""`node.toml`: how often a board scans, what is wired to it, and a program's parameters.

It is checked here, against the program that the board has, and kept on the board as `node.json`.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp(), "node.toml")
>>> _ = path.write_text('scan_ms = 100\\n[inputs.x]\\nkind = "analog"\\npin = 34\\n')
>>> read(path, None)["inputs"]
{'x': {'kind': 'analog', 'pin': 34, 'pull': '', 'scale': 1.0, 'offset': 0.0, 'invert': 0}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from protocols import limits
from protocols.errors import InputError, Problem
from protocols.field.settings import Kind, Setting
from protocols.textfile import read_text
from protocols.tomlfile import Table, TomlFile, suggest

FILE = "node.json"

NODE = (
    Setting("scan_ms", Kind.INTEGER, "From scan to scan.", default=1000, low=10, high=3_600_000, unit="ms"),
    Setting(
        "watchdog_ms", Kind.INTEGER, "The board starts anew when no scan comes for so long; 0 for never.",
        default=0, low=0, high=60_000, unit="ms",
    ),
    Setting("log_bytes", Kind.INTEGER, "Room for its log.", default=8192, low=1024, high=1 << 20, unit="B"),
    Setting(
        "board", Kind.TEXT, "`pins` for what is wired, `bench` to try a program on inputs from a file.",
        default="pins", choices=("pins", "bench"),
    ),
)  # fmt: skip
INPUT = (
    Setting("kind", Kind.TEXT, "What it is.", default="digital", choices=("digital", "analog")),
    Setting("pull", Kind.TEXT, "A resistor inside the chip.", default="", choices=("", "up", "down")),
    Setting("scale", Kind.NUMBER, "An analog value is `raw * scale + offset`, raw 0 to 65535.", default=1.0),
    Setting("offset", Kind.NUMBER, "See `scale`.", default=0.0),
    Setting("invert", Kind.BOOLEAN, "A low level is 1.", default=False),
)
OUTPUT = (
    Setting("kind", Kind.TEXT, "What it is.", default="digital", choices=("digital",)),
    Setting("invert", Kind.BOOLEAN, "1 is a low level.", default=False),
    Setting("safe", Kind.BOOLEAN, "Its value while it is bad, or no program runs.", default=False),
)


def read(path: Path, described: dict[str, Any] | None) -> dict[str, Any]:
    """Read and check a board's configuration, TOML or JSON.

    Args:
        path: The file.
        described: What the board's `rules.json` says of its program, if it has one.

    Returns:
        What `node.json` is to hold.

    Raises:
        InputError: With every problem.
    """
    file = _document(path)
    document = file.document
    file.known((), document, [*(setting.name for setting in NODE), "inputs", "outputs", "parameters"])
    found: dict[str, Any] = dict(file.settings((), _only(document, NODE), NODE))
    wired = found["board"] == "pins"
    for group, schema in (("inputs", INPUT), ("outputs", OUTPUT)):
        tables = file.table((group,), document)
        found[group] = {name: _wire(file, (group, name), tables, schema, wired) for name in tables}
    found["parameters"] = dict(file.table(("parameters",), document))
    for name, value in found["parameters"].items():
        if not isinstance(value, int | float):
            file.problem(("parameters", name), value, "a number, true or false")
    if described is not None:
        _compare(file, found, described, wired)
    if file.problems:
        raise InputError(list(dict.fromkeys(file.problems)))
    return found


def packed(config: dict[str, Any]) -> bytes:
    """The bytes of `node.json`."""
    return json.dumps(config, separators=(",", ":")).encode()


def _document(path: Path) -> TomlFile:
    missing = "the board's configuration, as docs/flashing.md has it"
    if path.suffix.lower() != ".json":
        return TomlFile(path, missing)
    text = read_text(path, str(path), limits.CONFIG_BYTES_MAX, missing)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            [Problem(str(path), "", str(error), "JSON, or TOML in a file named .toml")]
        ) from error
    if not isinstance(document, dict):
        raise InputError([Problem(str(path), "", type(document).__name__, "a JSON object")])
    file = TomlFile(path, missing, "")
    file.document = document
    return file


def _only(table: Table, schema: tuple[Setting, ...]) -> dict[str, Any]:
    names = [setting.name for setting in schema]
    return {name: value for name, value in table.items() if name in names}


def _wire(
    file: TomlFile, path: tuple[str, str], tables: Table, schema: tuple[Setting, ...], wired: bool
) -> dict[str, Any]:
    table = file.table(path, tables)
    file.known(path, table, [*(setting.name for setting in schema), "pin"])
    found: dict[str, Any] = dict(file.settings(path, _only(table, schema), schema))
    pin = table.get("pin")
    if wired and (isinstance(pin, bool) or not isinstance(pin, int | str)):
        file.problem(
            (*path, "pin"), "" if pin is None else pin, "the pin's number or name, such as 34 or 'GP2'"
        )
    # On the board these are exclusive-ored with levels.
    levels: dict[str, Any] = {name: int(found[name]) for name in ("invert", "safe") if name in found}
    return {"kind": found.pop("kind"), "pin": pin, **found, **levels}


def _compare(file: TomlFile, found: dict[str, Any], described: dict[str, Any], wired: bool) -> None:
    for group in ("inputs", "outputs", "parameters"):
        known = [each[0] for each in described[group]]
        for name in found[group]:
            if name not in known:
                what = f"{group} of program {described['name']}"
                file.problem((group, name), name, f"one of the {what}; {suggest(name, known)}")
    missing = [each[0] for each in described["inputs"] if each[0] not in found["inputs"]]
    if wired and missing:
        expected = f"[inputs.NAME] for each input of program {described['name']}"
        file.problem(("inputs",), "none for " + ", ".join(missing), expected)
    codes = {each[0]: each[1] for each in described["parameters"]}
    for name, value in found["parameters"].items():
        if codes.get(name, "d") not in "fd" and isinstance(value, float):
            file.problem(("parameters", name), value, "a whole number")
