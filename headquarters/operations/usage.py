"""What each tenant's sites use, measured again and again: bytes of lake and archive, and apps.

Rules:
1. Files hold the samples of many sites, so their bytes are shared out by samples: a tenant's storage is
   its gateways' part of all samples that ever came, of all bytes that lake and archive have now.
2. The group's own is what comes from sites that no tenant owns.
3. Apps are counted where somebody wants more of them as well, and so as they are now: this follows
   what was taken away, and gateways that went to another site.
4. A measurement refuses nothing by itself: see `headquarters.tenancy.quota`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Engine

from headquarters.db.engine import reading, writing
from headquarters.desired.room import apps_by_gateway
from headquarters.lake.schema import TABLES
from headquarters.levels import has
from headquarters.tenancy.principal import GROUP
from headquarters.tenancy.store import Tenants
from headquarters.tenancy.usage import Quotas
from headquarters.views.seeing import site_of
from headquarters.views.sources import Sources
from protocols.daemon import EventLog, Stop
from protocols.errors import CatchmentError

FIRST_S = 15.0
"""From the start to the first measurement: by then those who waited for the process have their pages."""

EVERY_S = 600.0
"""Between two; a day's data is 144 times what one of them can be behind."""


def stored_bytes(sources: Sources) -> int:
    """What all files of lake and archive take up.

    Raises:
        StoreError: The lake cannot be read.
    """
    total = 0
    if sources.lake.exists:
        with sources.engine() as engine:
            total = sum(file.size for table in TABLES for file in engine.files(table))
    for segment in sources.config.archive.rglob("*.segment"):
        try:
            total += segment.stat().st_size
        except FileNotFoundError:  # its retention was over just now
            continue
    return total


def shares(sources: Sources, owners: Mapping[str, str], total: int) -> dict[str, int]:
    """A number of bytes, shared out to tenants by the samples of their gateways.

    Args:
        sources: Which gateways there are, where, and what came of them.
        owners: The tenant of each site that has one.
        total: Bytes.

    Raises:
        StoreError: The lake cannot be read.
    """
    samples: Counter[str] = Counter()
    for gateway, totals in sources.fleet().gateways.items():
        samples[owners.get(site_of(sources, gateway), GROUP)] += totals.samples
    every = samples.total() or 1
    return {tenant: total * count // every for tenant, count in samples.items()}


def measure(sources: Sources, metadata: Engine) -> None:
    """Write down what every tenant's sites use.

    Raises:
        StoreError: A store cannot be used.
    """
    total = stored_bytes(sources)
    with reading(metadata) as session:
        owners = Tenants(session).owners()
    found = shares(sources, owners, total)
    apps = _apps(sources, owners)
    with writing(metadata) as session:
        for tenant in Tenants(session).all():
            Quotas(session).measure(tenant.id, "storage", found.get(tenant.id, 0))
            Quotas(session).measure(tenant.id, "apps", apps[tenant.id])


def _apps(sources: Sources, owners: Mapping[str, str]) -> Counter[str]:
    if not has(sources.config.level, "control"):
        return Counter()
    with sources.desired() as store:
        sites = sources.trust().gateway_sites
        found: Counter[str] = Counter()
        for gateway, apps in apps_by_gateway(store, sites).items():
            found[owners.get(sites[gateway], GROUP)] += apps
        return found


class UsageThread(threading.Thread):
    """Measures until a stop.

    Args:
        sources: What is measured.
        metadata: Where it is written down.
        stop: Ends it.
        log: For failures.
    """

    def __init__(self, sources: Sources, metadata: Engine, stop: Stop, log: EventLog) -> None:
        super().__init__(name="usage", daemon=True)
        self._sources = sources
        self._metadata = metadata
        self._stop_asked = stop
        self._log = log

    def run(self) -> None:
        """Measure again and again."""
        pause_s = FIRST_S
        while not self._stop_asked.wait(pause_s):
            try:
                measure(self._sources, self._metadata)
            except (CatchmentError, OSError) as error:
                self._log.error("usage-not-measured", error=str(error))
            pause_s = EVERY_S
