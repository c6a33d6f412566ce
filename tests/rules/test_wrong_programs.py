"""Wrong programs and what the compiler says of each: all of it, to the column, and nothing more.

The pages in `wrong/` hold them: a heading, the source in a block `st` (words behind it are the
budget), and in a block `faults` what is said.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from edge_runtime.rules import SMALL_BOARD, Budget, RuleError, compile_program

PAGES = sorted(Path(__file__).with_name("wrong").glob("*.md"))
CASE = re.compile(r"^## ([^\n]+)\n```st([^\n]*)\n(.*?)^```\n```faults\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Wrong(NamedTuple):
    """A wrong program.

    Args:
        page: The kind of mistake.
        heading: Which mistake it is.
        budget: What it may cost.
        source: Structured Text.
        faults: What the compiler says.
    """

    page: str
    heading: str
    budget: Budget
    source: str
    faults: str


def wrong_programs() -> list[Wrong]:
    return [
        Wrong(page.stem, heading, _budget(words), source, faults)
        for page in PAGES
        for heading, words, source, faults in CASE.findall(page.read_text(encoding="utf-8"))
    ]


def _budget(words: str) -> Budget:
    given = dict(word.partition("=")[::2] for word in words.split())
    start = SMALL_BOARD if "small_board" in given else Budget()
    return start._replace(
        operations=int(given.get("operations", start.operations)),
        state_bytes=int(given.get("state_bytes", start.state_bytes)),
    )


WRONG = wrong_programs()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.page}: {wrong.heading}")
def test_a_wrong_program_is_told_what_is_wrong_and_where(wrong: Wrong) -> None:
    with pytest.raises(RuleError) as caught:
        compile_program(wrong.source, file="rule.st", budget=wrong.budget)
    assert f"{caught.value}\n" == wrong.faults


def test_every_wrong_program_of_the_pages_is_judged() -> None:
    headings = sum(page.read_text(encoding="utf-8").count("\n## ") for page in PAGES)
    assert len(WRONG) == headings >= 60
    assert len({wrong.heading for wrong in WRONG}) == len(WRONG)
