"""What the commands of `catchment-edge` share: options, and how output looks."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_runtime import limits

if TYPE_CHECKING:
    from protocols.errors import Problem

Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(command: Command) -> Command:
    """The option that every command takes."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(),
        show_default="the current directory",
        help="The gateway's home directory, made by init.",
    )(command)


def json_option(command: Command) -> Command:
    """For commands whose output a machine may read."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def print_json(document: object) -> None:
    """Print one line that a machine can read."""
    click.echo(json.dumps(document, ensure_ascii=False, default=str))


def print_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print rows in columns, the heading first; columns in `right` are aligned to the right."""
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - _width(cell))
            cells.append(blank + cell if column in right else cell + blank)
        click.echo("  ".join(cells).rstrip())


def _width(text: str) -> int:
    """Columns of a terminal; Chinese characters take two (Unicode Standard Annex 11)."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def print_problems(problems: Sequence[Problem], label: str) -> None:
    """Print problems to standard error, one a line."""
    for problem in problems[: limits.PROBLEMS_SHOWN_MAX]:
        click.echo(f"{label}: {problem}", err=True)
    if len(problems) > limits.PROBLEMS_SHOWN_MAX:
        more = len(problems) - limits.PROBLEMS_SHOWN_MAX
        click.echo(f"... and {more} more (all of them with check --json)", err=True)


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "problem"), count(1200, "point")
    ('1 problem', '1,200 points')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's' if not noun.endswith('s') else 'es'}"
