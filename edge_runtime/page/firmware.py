"""What the page shows of the machine's slots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_runtime import slots
from protocols.errors import InputError, StoreError


def describe_slots(home: Path) -> Sequence[tuple[str, object]] | None:
    """Names and values; `None` where the gateway does not run from slots, whose root is beside its home."""
    try:
        state = slots.state(home.resolve().parent)
    except (InputError, StoreError):
        return None
    rows: list[tuple[str, object]] = [("Good slot", state.good)]
    rows += [(f"Slot {name}", held.version) for name, held in sorted(state.firmware.items()) if held]
    if state.trial is not None:
        rows.append(("On trial", state.trial.slot))
    if state.given_up is not None:
        rows.append(("Given up", f"{state.given_up.firmware.version}: {state.given_up.why}"))
    return rows
