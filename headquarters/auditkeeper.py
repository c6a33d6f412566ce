"""Seals the audit of a running headquarters, and keeps its retention.

Rules:
1. What was recorded is sealed within ten minutes, so that its end cannot be cut off unseen for longer.
   The last seal is kept beside the store as well; one that the store lost is told, and recorded.
2. Once a day what is older than the retention is removed.
3. A metadata store that cannot be reached stops neither the process nor the data path: it is told of
   once, and tried again.
4. What it needs of the metadata store is loaded here, with its first look, and not before: that takes a
   second of a core, in which the data path is to start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from headquarters.config import HeadquartersConfig
from headquarters.lake.upkeep import Work
from protocols.daemon import EventLog, Stop
from protocols.errors import CatchmentError
from protocols.identity import SigningKey

if TYPE_CHECKING:
    from sqlalchemy import Engine

DAY_S = 86_400.0
FIRST_S = 30.0
"""From the start to the first look: by then the data path has taken up what waited for it."""
SEAL_EVERY_S = 600.0
"""How often the head is signed: so much of the end could be made up by who holds the database."""


class AuditThread(threading.Thread):
    """Looks after the audit.

    Args:
        config: Of headquarters.
        key: Headquarters' own.
        stop: When to end.
        log: Where failures go.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        config: HeadquartersConfig,
        key: SigningKey,
        stop: Stop,
        log: EventLog,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name="audit", daemon=True)
        self._config = config
        self._key = key
        self._stop_asked = stop
        self._log = log
        self._now = now
        self._engine: Engine | None = None
        self._pruned = float("-inf")
        self._removed = Work()
        self._failing = False

    def describe(self) -> dict[str, object]:
        """What its retention removed so far."""
        return asdict(self._removed)

    def run(self) -> None:
        """Look after it until a stop, and once more then if it was looked after at all."""
        pause_s = FIRST_S
        while not self._stop_asked.wait(pause_s):
            self.look()
            pause_s = SEAL_EVERY_S
        if self._engine is not None:
            self.look()
            self._engine.dispose()

    def look(self) -> None:
        """Look after it once."""
        try:
            self._look()
            self._failing = False
        except CatchmentError as error:
            if not self._failing:
                self._log.error("audit-not-sealed", error=str(error))
            self._failing = True

    def _look(self) -> None:
        from headquarters.audit import record, witness
        from headquarters.audit.trail import prune, seal_head
        from headquarters.db.engine import writing
        from headquarters.metadata import open_metadata
        from headquarters.tenancy.principal import machine

        if self._engine is None:
            self._engine = open_metadata(self._config.data, self._config.metadata_url)
        file = self._config.audit_seal
        with writing(self._engine) as session:
            lost = witness.missing(session, file)
            if lost is not None:
                detail = {"hash": lost.hash.hex(), "signature": lost.signature.hex()}
                record(session, machine("seal"), "audit.lost", f"entry {lost.seq}", "failed", detail)
            seal_head(session, self._key)
        if lost is not None:
            self._log.error("audit-seal-lost", seq=lost.seq, hash=lost.hash.hex())
        witness.renew(self._engine, file)
        if self._now() - self._pruned < DAY_S:
            return
        with writing(self._engine) as session:
            count = prune(session, self._key, self._config.audit_retention_days)
        witness.renew(self._engine, file)
        self._pruned = self._now()
        if count:
            self._removed = Work(self._removed.done + count, last_ms=round(1000 * self._pruned))
            self._log.info("audit-pruned", count=count, days=self._config.audit_retention_days)
