"""Judges alerts in the process of headquarters, where no web process does it.

Rules:
1. It looks at headquarters as the web process does, through files and stores, and shares nothing with
   the data path but the interpreter.
2. What it needs is loaded with its first look, and not before: that takes a second of a core, in which
   the data path is to start.
3. A store that cannot be opened stops nothing: it is logged, and tried again with the next look.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from headquarters.auditkeeper import FIRST_S
from headquarters.config import HeadquartersConfig
from protocols.daemon import EventLog, Stop

if TYPE_CHECKING:
    from headquarters.operations.alerts.service import Alerts


class AlertThread(threading.Thread):
    """Judges until a stop.

    Args:
        config: Of headquarters.
        stop: When to end.
        log: Where what fires and failures go.
    """

    def __init__(self, config: HeadquartersConfig, stop: Stop, log: EventLog) -> None:
        super().__init__(name="alerts", daemon=True)
        self._config = config
        self._stop_asked = stop
        self._log = log
        self._opened = ExitStack()

    def run(self) -> None:
        """Judge, from some time after the start on."""
        if self._stop_asked.wait(FIRST_S):
            return
        from headquarters.operations.alerts.service import watch

        config = self._config
        try:
            watch(self._make, config.data, config.alerts["interval_s"], self._stop_asked, self._log)
        finally:
            self._opened.close()

    def _make(self) -> Alerts:
        from headquarters.metadata import open_metadata
        from headquarters.operations.alerts.channels import channels_of
        from headquarters.operations.alerts.service import Alerts
        from headquarters.operations.signals import read
        from headquarters.views.sources import Sources

        config = self._config
        with ExitStack() as opened:
            metadata = open_metadata(config.data, config.metadata_url)
            opened.callback(metadata.dispose)
            sources = Sources(config)
            opened.callback(sources.close)
            channels = channels_of(config.alerts, config.id)
            alerts = Alerts(metadata, lambda: read(sources, metadata), channels, self._log)
            self._opened = opened.pop_all()
        return alerts
