"""What the commands of `catchment-hq` share: options, and how output looks."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from headquarters import config
from headquarters.jsontext import json_text
from headquarters.levels import CONTROLLING, has
from protocols.command import teach
from protocols.errors import InputError, Problem

EXIT_CODES = """
\b
Exit codes:
  0    all is well
  1    the command ran and found a fault
  2    wrong usage, configuration, SQL, key or allow-list
  3    headquarters does not run, or cannot be reached
  4    the disk or the lake failed
  130  interrupted by Ctrl-C
"""

WIDTH_ROWS = 1000
"""Rows that a table's column widths are measured on; later ones may stand out."""

Command = TypeVar("Command", bound=Callable[..., Any])


class ControlCommand(click.Command):
    """A command that changes gateways, which is refused where the API refuses it: at levels 2 and 3."""

    def invoke(self, context: click.Context) -> Any:
        """Refuse it, or run it."""
        teach(_expect_control)(context.params["home"], context.find_root().obj)
        return super().invoke(context)


def _expect_control(home: Path, level: int | None) -> None:
    found = config.load(home).level if level is None else level
    if not has(found, "control"):
        place = "[headquarters] level" if level is None else "--level"
        raise InputError([Problem(str(home / config.CONFIG), place, str(found), CONTROLLING)])


def home_option(command: Command) -> Command:
    """The option that every command takes."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(),
        show_default="the current directory",
        help="The directory of headquarters: configuration, keys and data.",
    )(command)


def json_option(command: Command) -> Command:
    """For commands whose output a machine may read."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def print_json(document: object) -> None:
    """Print one line that a machine can read."""
    click.echo(json_text(document))


def print_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Print rows in columns under a heading; returns how many there were.

    Columns are as wide as the first rows need; further rows are printed as they come.
    """
    remaining = iter(rows)
    first = [row for _, row in zip(range(WIDTH_ROWS), remaining, strict=False)]
    shown = [tuple(map(cell, row)) for row in first]
    widths = [max([columns(name), *(columns(row[at]) for row in shown)]) for at, name in enumerate(names)]
    right = [
        all(_is_number(row[at]) for row in shown if row[at] != "") and bool(shown) for at in range(len(names))
    ]
    click.echo(_line(names, widths, right))
    click.echo("  ".join("-" * width for width in widths))
    for row in shown:
        click.echo(_line(row, widths, right))
    count = len(shown)
    for further in remaining:
        click.echo(_line(tuple(map(cell, further)), widths, right))
        count += 1
    return count


def cell(value: object) -> str:
    """A value as a table shows it; control characters could move the cursor and are made visible."""
    if value is None:
        return ""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def columns(text: str) -> int:
    """How many columns a terminal gives a text: Chinese characters take two.

    >>> columns("flow"), columns("流量")
    (4, 4)
    """
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def progress(what: str) -> Callable[[int, int], None]:
    """A line on standard error that shows how far something is, if anybody watches."""
    watched = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        if watched:
            end = "\n" if done >= total else ""
            click.echo(f"\r{what}: {done:,} of {total:,}{end}", err=True, nl=False)

    return show


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = []
    for text, width, flush in zip(row, widths, right, strict=True):
        space = " " * max(0, width - columns(text))
        cells.append(space + text if flush else text + space)
    return "  ".join(cells).rstrip()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
