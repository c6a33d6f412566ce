"""The gateway's wall clock jumps: no instant is doubled, none is silently left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from deltalake import DeltaTable

from protocols.batch import ClockState, Header, Kind, Stream
from scripts.judge.grid import count_rows, rows_of, series_of, window_of
from scripts.judge.lake import Lake
from scripts.plant.log import read_log
from tests.faults.river import Node, River

JUMP_US = 20_000_000


def test_a_clock_set_forward_and_back_leaves_every_instant_once_or_declared(river: River) -> None:
    headquarters = river.headquarters()
    plant = river.plant()
    gateway = river.gateway("unit-1", plant, [headquarters], headquarters)
    offset = river.root / "offset"
    set_off(offset, 0)
    gateway.replaced("clock", str(offset))
    river.start()
    collect(river, gateway, 100)
    set_off(offset, JUMP_US)
    collect(river, gateway, 100)
    set_off(offset, 0)
    collect(river, gateway, 100)
    gateway.kill()
    gateway.start()
    gateway.wait("its status", bool)
    collect(river, gateway, 100)
    river.drained()
    river.stop()
    river.verify()

    lake = Lake(river.lake)
    gaps = lake.gaps("unit-1")
    [(key, series)] = series_of(lake, read_log(plant.directory), "unit-1").items()
    rows = rows_of(lake, read_log(plant.directory), series, key[1])
    window = window_of(np.unique(rows.samples.time), key[1], 0, None)
    verdict = count_rows(rows, window, gaps)
    assert verdict.lost == verdict.duplicated == 0, verdict.examples
    assert verdict.in_gaps >= JUMP_US // key[1]
    causes = {row["cause"] for row in DeltaTable(str(river.lake / "gaps")).to_pyarrow_table().to_pylist()}
    assert "clock-step" in causes
    held = [header for header in headers(river) if header.clock_offset_us < -JUMP_US // 2]
    assert held, "expected batches that say how far ahead of the wall clock their stamps are"
    assert all(header.clock_state is not ClockState.SYNCHRONISED for header in held)


def headers(river: River) -> list[Header]:
    """Of all data batches that headquarters took."""
    rows = DeltaTable(str(river.lake / "ledger")).to_pyarrow_table().to_pylist()
    parsed = [Header.parse(row["header"]) for row in rows]
    return [header for header in parsed if header.stream is Stream.DATA and header.kind is Kind.DATA]


def set_off(path: Path, microseconds: int) -> None:
    """Set the gateway's wall clock off, from now on."""
    temporary = path.with_suffix(".new")
    temporary.write_text(str(microseconds), encoding="ascii")
    temporary.replace(path)


def collect(river: River, gateway: Node, samples: int) -> None:
    """Wait until so many more samples are collected."""
    river.collected(gateway, gateway.status()["ledger"]["collected"] + samples)
