"""Good configurations, broken at random: the outcome is success or problems with place and remedy.

A mutant that fails prints its seed; `_mutant(seed)` makes it again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.check import check
from protocols.errors import InputError, Problem
from protocols.identity import Identity
from protocols.pointrow import Surroundings
from protocols.pointtable import read_points
from protocols.tablefile import parse_csv, read_table, write_xlsx
from tests.gateway_home import GATEWAY_TOML, POINTS_CSV

MUTANTS = 1000
PARTS = 10
"""The mutants are shared among so many tests, so that they run side by side."""

RUBBISH = (
    "\ufeff", "\u202e", "\u200b", "\x00", "\x07", "\r", "𝔘", "é", "给水", "＝", "“", "💧", "\ud7ff", "\u0085", "\u2028",
    "\t", "'", '"', '"""', "[[", "]]", "{", "}", "=", "\\", "\\u0000", "#", ",", ";", "|", "..", "nan", "inf",
)  # fmt: skip
VALUES = (
    "9" * 400, "-" + "9" * 400, "0x" + "f" * 400, "1e400", "-1", "0", "1e-320", "0.1", "true", '""', "[]", "{}", '"x"',
    "1979-05-27T07:32:00Z", "[[1, 2], [3]]", '{ a = 1 }', "'''\ntext\n'''", "''", "#REF!", "=1+1", "2026-01-05",
    "4.0E+04", '"' + "x" * 10_000 + '"', "1_000", "0o17", "-0.0", "99999999999999999999",
)  # fmt: skip

Mutation = Callable[[random.Random, bytes], bytes]


def _at(rng: random.Random, data: bytes) -> int:
    return rng.randrange(len(data) + 1)


def _delete(rng: random.Random, data: bytes) -> bytes:
    start = _at(rng, data)
    return data[:start] + data[start + rng.choice((1, 2, 7, 40)) :]


def _truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: _at(rng, data)]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    start = _at(rng, data)
    end = start + rng.choice((1, 5, 60, 300))
    return data[:end] + data[start:end] * rng.choice((1, 2, 50)) + data[end:]


def _flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 3, 20))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _insert(rng: random.Random, data: bytes) -> bytes:
    start = _at(rng, data)
    return data[:start] + rng.choice(RUBBISH).encode() + data[start:]


def _lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    kind = rng.randrange(4)
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    if kind == 0:
        lines[first], lines[second] = lines[second], lines[first]
    elif kind == 1:
        del lines[first]
    elif kind == 2:
        lines.insert(second, lines[first])
    else:
        rng.shuffle(lines)
    return b"\n".join(lines)


def _value(rng: random.Random, data: bytes) -> bytes:
    """Another value for a key, or for a cell."""
    lines = data.split(b"\n")
    index = rng.randrange(len(lines))
    value = rng.choice(VALUES).encode()
    if b" = " in lines[index]:
        lines[index] = lines[index].split(b" = ")[0] + b" = " + value
    elif b"," in lines[index]:
        cells = lines[index].split(b",")
        cells[rng.randrange(len(cells))] = value
        lines[index] = b",".join(cells)
    return b"\n".join(lines)


def _word(rng: random.Random, data: bytes) -> bytes:
    """One word in the place of another, as an editor's slip would have it."""
    words = [
        b"plc1",
        b"plc2",
        b"fast",
        b"slow",
        b"driver",
        b"modbus-tcp",
        b"opcua",
        b"period_s",
        b"scan",
        b"device",
    ]
    words += [
        b"type",
        b"uint16",
        b"f32",
        b"bool",
        b"string",
        b"deadband",
        b"percent",
        b"name",
        b"address",
        b"upstream",
    ]
    return data.replace(rng.choice(words), rng.choice(words), rng.choice((1, 1, 3, 100)))


def _encoding(rng: random.Random, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(
        rng.choice(("utf-16", "gb18030", "utf-8-sig", "latin-1", "utf-32", "cp1252")), "replace"
    )


def _delimiter(rng: random.Random, data: bytes) -> bytes:
    return data.replace(b",", rng.choice((b";", b"\t", b"|", b", ", b" ")))


def _line_ends(rng: random.Random, data: bytes) -> bytes:
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\x0b")))


MUTATIONS: tuple[Mutation, ...] = (
    _delete, _truncate, _repeat, _flip, _insert, _insert, _lines, _value, _value, _value, _word, _word,
    _encoding, _delimiter, _line_ends,
)  # fmt: skip


def _mutant(seed: int) -> tuple[bytes, bytes]:
    """A configuration and a point table, at least one of them broken."""
    rng = random.Random(seed)
    config, points = GATEWAY_TOML.encode(), POINTS_CSV.encode()
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        mutation = rng.choice(MUTATIONS)
        if rng.random() < 0.5:
            config = mutation(rng, config)
        else:
            points = mutation(rng, points)
    return config, points


def _explained(problem: Problem, home: Path) -> bool:
    return (
        problem.file in (str(home / "gateway.toml"), str(home / "points.csv"))
        and bool(problem.place)
        and len(problem.expected) > 3
        and len(problem.value) <= 200
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_a_broken_configuration_is_explained_or_works(part: int, tmp_path: Path) -> None:
    Identity.create(tmp_path, "unit-1", "gateway", "plant-a")
    for seed in range(part * MUTANTS // PARTS, (part + 1) * MUTANTS // PARTS):
        config, points = _mutant(seed)
        (tmp_path / "gateway.toml").write_bytes(config)
        (tmp_path / "points.csv").write_bytes(points)
        try:
            report = check(tmp_path)
        except Exception as error:
            raise AssertionError(f"seed {seed}: a traceback instead of an explanation") from error
        for problem in report.problems:
            assert _explained(problem, tmp_path), f"seed {seed}: {problem}"
            assert "\n" not in problem.place, f"seed {seed}: {problem}"


def test_a_broken_workbook_is_explained_or_read(tmp_path: Path) -> None:
    path = tmp_path / "points.xlsx"
    write_xlsx(path, [row.cells for row in parse_csv(POINTS_CSV, path.name).rows], "points")
    good = path.read_bytes()
    for seed in range(100):
        rng = random.Random(seed)
        path.write_bytes(rng.choice((_delete, _truncate, _repeat, _flip, _insert))(rng, good))
        problems: tuple[Problem, ...] = ()
        try:
            read_points(read_table(path, "a table"), Surroundings(None, None))
        except InputError as error:
            problems = error.problems
        except Exception as error:
            raise AssertionError(f"seed {seed}: a traceback instead of an explanation") from error
        assert all(problem.place and problem.expected for problem in problems), f"seed {seed}"


def test_the_mutations_break_most_of_what_they_touch(tmp_path: Path) -> None:
    Identity.create(tmp_path, "unit-1", "gateway", "plant-a")
    broken = 0
    for seed in range(100):
        config, points = _mutant(seed)
        (tmp_path / "gateway.toml").write_bytes(config)
        (tmp_path / "points.csv").write_bytes(points)
        broken += bool(check(tmp_path).problems)
    assert 50 <= broken <= 99
