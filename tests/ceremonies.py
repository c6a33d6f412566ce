"""The recovery ceremonies of docs/security.md as they are written, to be run by tests.

A rehearsal plays one ceremony: each command of its block, in order, in the home of whoever stands there.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import click
from click.testing import CliRunner

from edge_runtime.cli import cli as edge
from headquarters.cli import main as headquarters
from hub.cli import main as hub
from tests.docs.tracked import ROOT

PROGRAMS: Mapping[str, click.Command] = {
    "catchment-hq": headquarters,
    "catchment-hub": hub,
    "catchment-edge": edge,
}
SYSTEM = frozenset(("mv",))
"""What is run as it is."""

SAFE = "/media/safe"
SECRET = "correct horse"


class Step(NamedTuple):
    """One command of a ceremony.

    Args:
        place: Where one stands, such as `at headquarters`.
        command: The line.
    """

    place: str
    command: str


def ceremonies() -> dict[str, list[Step]]:
    """Every ceremony of the document, by its heading."""
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    part = text.partition("\n## Ceremonies\n")[2].partition("\n## ")[0]
    found: dict[str, list[Step]] = {}
    for section in part.split("\n### ")[1:]:
        title, _, body = section.partition("\n")
        steps = found[title] = []
        place = ""
        for line in re.search(r"```\n(.*?)```", body, re.DOTALL).group(1).splitlines():  # type: ignore[union-attr]
            if line.startswith("# "):
                place = line[2:]
            else:
                steps.append(Step(place, line))
    return found


class Stage:
    """Where a ceremony is played.

    Args:
        homes: The directory of each place.
        safe: What stands for the place of the offline keys.
        service: Called for `systemctl`: what to do, and with which unit.
        words: What takes the place of words in capitals, such as the id of a key.
    """

    def __init__(
        self,
        homes: Mapping[str, Path],
        safe: Path,
        service: Callable[[str, str], None] = lambda action, unit: None,
        words: Mapping[str, str] | None = None,
    ) -> None:
        self._homes = homes
        self._safe = safe
        self._service = service
        self._words = dict(words or {})
        self.before: Callable[[Step], None] = lambda step: None
        """Told each step before it is done."""

    def play(self, title: str) -> None:
        """Do every step of a ceremony; each must do what it should, or wait for an approval."""
        for step in ceremonies()[title]:
            self.before(step)
            words = [self._word(word) for word in shlex.split(step.command)]
            with chdir(self._homes[step.place]):
                self._do(words, step)

    def _word(self, word: str) -> str:
        return self._words.get(word, word.replace(SAFE, str(self._safe)))

    def _do(self, words: list[str], step: Step) -> None:
        program, *arguments = words
        if program == "systemctl":
            self._service(*arguments)
        elif program in SYSTEM:
            subprocess.run(words, check=True)
        else:
            said = self._run(PROGRAMS[program], arguments, step)
            if arguments[:2] == ["gateways", "invite"]:
                self._words["TOKEN"] = said.splitlines()[0].rpartition(" ")[2]

    def _run(self, program: click.Command, arguments: list[str], step: Step) -> str:
        secrets = {"CATCHMENT_PASSPHRASE": SECRET, "CATCHMENT_ROOT_PASSPHRASE": SECRET}
        with mock.patch.dict(os.environ, secrets):
            done = CliRunner().invoke(program, arguments)
        waits = 3 if "--no-wait" in arguments else 0
        assert done.exit_code == waits, f"{step}: {done.exit_code}\n{done.output}\n{done.exception!r}"
        return done.stdout
