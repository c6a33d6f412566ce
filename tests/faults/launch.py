"""`python -m tests.faults.launch WHAT ARGUMENT TIER ...`: a node with one thing replaced.

Only tests start nodes this way: the product has no switch for any of it.

forgetful: headquarters loses its watermarks at each start (the ablation).
clock: the wall clock is off by as many microseconds as the file ARGUMENT says, now.
telling: a gateway sends its point table again with each statement, and states its ledger each second.
aged: both that and hasty, for the TUF client's clock as well.
hasty: what is desired is on trial for a second, roll-outs are looked at all the time, alerts at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

COMMANDS = {"edge": "edge_runtime.cli", "hub": "hub.cli", "hq": "headquarters.cli"}


def forget(_: str) -> None:
    """Let tables know only the marks that this process made."""
    from headquarters.lake.tables import LakeTable
    from protocols.batch import Chain

    commit = LakeTable.commit
    made: dict[tuple[int, Chain], int] = {}

    def remember(self: LakeTable, adds: Sequence[Any], marks: Mapping[Chain, int]) -> None:
        commit(self, adds, marks)
        made.update({(id(self), chain): seq for chain, seq in marks.items()})

    def mark(self: LakeTable, chain: Chain) -> int | None:
        return made.get((id(self), chain))

    LakeTable.commit = remember  # type: ignore[method-assign]
    LakeTable.mark = mark  # type: ignore[method-assign]


def shift(file: str) -> None:
    """Set the wall clock off."""
    right = time.time_ns

    def off() -> int:
        return right() + int(Path(file).read_text(encoding="ascii")) * 1000

    time.time_ns = off
    time.time = lambda: off() / 1e9


def age(file: str) -> None:
    """Set every clock off by weeks."""
    shift(file)

    class Off(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(time.time(), tz)

    trusted: Any = import_module("tuf.ngclient._internal.trusted_metadata_set")
    trusted.datetime = SimpleNamespace(datetime=Off, timezone=timezone)
    hasten("edge")
    membership: Any = import_module("edge_runtime.provision.membership")
    membership.AGAIN_S = 1.0


def hasten(tier: str) -> None:
    """Wait less where only patience would be tested."""
    if tier == "edge":
        service: Any = import_module("edge_runtime.desired.service")
        service.CONFIRM_S, service.WATCH_S = 1.0, 0.1
    else:
        import_module("headquarters.rollout.thread").STEP_S = 0.5  # type: ignore[attr-defined]
        import_module("headquarters.alertkeeper").FIRST_S = 0.5  # type: ignore[attr-defined]


def tell(_: str) -> None:
    """Send the point table again and again."""
    session: Any = import_module("edge_runtime.session")
    session.DEFINE_EVERY_S, session.STATEMENT_S = 0.0, 1.0


PATCHES: dict[str, Callable[[str], None]] = {
    "forgetful": forget,
    "clock": shift,
    "hasty": hasten,
    "telling": tell,
    "aged": age,
}


def main() -> None:
    """Patch, then run the command as always."""
    what, argument, tier, *arguments = sys.argv[1:]
    PATCHES[what](argument)
    sys.argv = [tier, *arguments]
    import_module(COMMANDS[tier]).main()


if __name__ == "__main__":
    main()
