"""The slots of a machine for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_runtime.slots.states import SLOTS, SlotsState, hold_s
from edge_runtime.slots.store import Root
from protocols.daemon import iso_time, read_status


def fields(root: Path, state: SlotsState) -> dict[str, Any]:
    """All there is to know, as one JSON object."""
    trial = state.trial
    return {
        **asdict(state),
        "trial": None if trial is None else {**asdict(trial), "hold_s": hold_s(trial.cuts)},
        "supervisor": supervisor(root),
    }


def supervisor(root: Path) -> dict[str, Any] | None:
    """What the supervisor says of itself; `None` when none runs."""
    status = read_status(Root(root).status)
    if status is None or not Path(f"/proc/{status['pid']}").exists():
        return None
    return status


def lines(root: Path, state: SlotsState) -> Iterator[str]:
    """The same in a few lines."""
    for slot in SLOTS:
        firmware = state.firmware[slot]
        words = "empty" if firmware is None else firmware.name
        if slot == state.good:
            words += ", good"
        if state.trial is not None and slot == state.trial.slot:
            words += (
                f", to be tried ({state.trial.tries_left} tries left)" if not state.running else ", tried now"
            )
        yield f"slot {slot}: {words}"
    if state.trial is not None and hold_s(state.trial.cuts):
        hours = hold_s(state.trial.cuts) / 3600
        yield f"{state.trial.cuts} tries in a row ended unseen: the next after {hours:.0f} h of running"
    if state.given_up is not None:
        gone = state.given_up
        yield f"given up: {gone.firmware.name} at {iso_time(gone.time_us / 1e6)}: {gone.why}"
    if state.move is not None:
        yield f"data: format {state.move.source} to {state.move.target}, {state.move.phase}"
    now = supervisor(root)
    if now is None:
        yield "no supervisor runs"
    elif now["slot"] is None:
        yield f"supervisor {now['pid']}: no program runs" + (f": {now['fault']}" if now["fault"] else "")
    else:
        health = now["fault"] or "healthy"
        yield f"supervisor {now['pid']}: runs slot {now['slot']}, {now['memory_mb']} MB: {health}"
