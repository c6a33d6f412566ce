"""The device of the TEP trial: each row exactly once, whatever the pace of who reads."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from scripts.tep.device import Player
from scripts.tep.runs import Run, read_runs
from tests.monitoring_parts import usual_rows

REGISTERS = 2 + 4 * 52
RUN = Run("d01", usual_rows(3))


def ask(player: Player, *, started: bool = True) -> int:
    """Read all that is shown, in two requests; returns the row's number."""
    player.ask(0, 125, started=started)
    number, *values = struct.unpack(">I52d", player.bank())
    player.ask(125, REGISTERS - 125, started=started)
    assert not number or values == RUN.rows[number - 1].tolist()
    return int(number)


def test_rows_come_once_each_between_zeros() -> None:
    player = Player(RUN)
    assert [ask(player, started=False) for _ in range(2)] == [0, 0]
    assert [ask(player) for _ in range(6)] == [1, 2, 3, 0, 0, 0]
    assert player.played


def test_a_row_that_was_not_read_whole_is_shown_again() -> None:
    player = Player(RUN)
    ask(player)
    assert ask(player) == 1
    player.ask(0, 125, started=True)
    assert ask(player) == 2, "the second half of row 2 had not been asked for"
    assert not player.played


def test_runs_are_found_by_name_and_only_whole_ones_have_a_reference(tmp_path: Path) -> None:
    for name in ("d00", "d04"):
        np.savetxt(tmp_path / f"{name}_te.dat", usual_rows(3))
    runs = read_runs(tmp_path)
    assert [(run.name, run.onset, run.reference) for run in runs] == [("d00", 0, None), ("d04", 0, None)]
    whole = Run("d04", np.zeros((960, 52)))
    assert whole.reference is not None and whole.onset == 160
    with pytest.raises(ValueError, match=r"d05_te\.dat"):
        read_runs(tmp_path, ["d05"])
