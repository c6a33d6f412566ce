"""What a running hub says of itself, every second, for `catchment-hub status` and for monitors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from typing import Any

from hub import quarantine
from hub.chains import ChainRow
from hub.ledger import totals
from hub.relay import Relay
from hub.store import Store
from protocols.records import HubReport, StoreUse


class Rates:
    """Batches, samples and bytes a second of each gateway, from totals seen now and then.

    >>> rates = Rates()
    >>> rates.update("unit-1", (10, 600, 900), now=0.0)
    (0.0, 0.0, 0.0)
    >>> rates.update("unit-1", (20, 1200, 1900), now=5.0)
    (2.0, 120.0, 200.0)
    """

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, tuple[int, int, int]]] = {}

    def update(self, gateway: str, counts: tuple[int, int, int], now: float) -> tuple[float, float, float]:
        """The rates since the last call for this gateway; zeros at the first."""
        before = self._before.get(gateway)
        self._before[gateway] = (now, counts)
        if before is None or now <= before[0]:
            return (0.0, 0.0, 0.0)
        batches, samples, size = (
            (after - earlier) / (now - before[0]) for after, earlier in zip(counts, before[1], strict=True)
        )
        return (batches, samples, size)


def describe(
    store: Store,
    sessions: Mapping[str, float],
    relays: Sequence[Relay],
    rates: Rates,
    now: float,
) -> dict[str, Any]:
    """The parts of the status that come from the store and the links.

    Args:
        store: The hub's store.
        sessions: Nodes with a session and when they were last heard (monotonic seconds).
        relays: One for each upstream.
        rates: Remembers the totals of the last call.
        now: Monotonic seconds.
    """
    account = totals(store)
    chains: dict[str, list[ChainRow]] = {}
    for row in store.chains:
        chains.setdefault(row.chain.gateway, []).append(row)
    gateways: dict[str, Any] = {}
    for gateway in sorted(account.keys() | sessions.keys()):
        entry = asdict(account[gateway]) if gateway in account else {}
        counts = (entry.get("batches", 0), entry.get("samples", 0), entry.get("bytes", 0))
        per_s = rates.update(gateway, counts, now)
        heard = sessions.get(gateway)
        gateways[gateway] = {
            "connected": heard is not None,
            "silent_s": None if heard is None else round(now - heard, 1),
            **entry,
            "batches_per_s": round(per_s[0], 1),
            "samples_per_s": round(per_s[1], 1),
            "bytes_per_s": round(per_s[2], 1),
            "chains": [_chain(store, row) for row in _shown(store, chains.get(gateway, ()))],
        }
    return {
        "gateways": gateways,
        "upstreams": {
            relay.upstream.id: {
                "address": relay.upstream.address,
                "connected": relay.connected,
                "batches_sent": relay.batches_sent,
                "bytes_sent": relay.bytes_sent,
                "backlog": backlog(store, relay.upstream.id),
            }
            for relay in relays
        },
        **quarantine.counts(store),
    }


@cache
def program() -> str:
    """The version of the program that runs."""
    return version("catchment")


def report_of(status: Mapping[str, Any]) -> HubReport:
    """What the hub says of itself to headquarters.

    Args:
        status: As it is written for people and monitors here.
    """
    told, mirror = status["capacity"], status["mirror"]
    earliest, likely, latest = told["full_in_days"]
    stores = [
        StoreUse(
            *("store", told["used_bytes"], told["limit_bytes"], told["hours"], told["per_day_bytes"]),
            (earliest, likely, latest),
        )
    ]
    if mirror is not None:
        stores.append(StoreUse("mirror", mirror["used_bytes"], mirror["quota_bytes"]))
    disk = status["disk_bytes"]
    stores.append(StoreUse("disk", disk - status["disk_free_bytes"], disk))
    return HubReport(program(), tuple(stores))


def backlog(store: Store, upstream: str) -> int:
    """Batches held that an upstream is not known to have."""
    return sum(max(0, row.next - max(row.floor, store.cursor(upstream, row.chain))) for row in store.chains)


def _shown(store: Store, rows: Sequence[ChainRow]) -> list[ChainRow]:
    """The current chains, and those of which something is held."""
    shown = [row for row in rows if row.floor < row.next or store.chains.is_current(row.chain)]
    return sorted(shown, key=lambda row: row.chain)


def _chain(store: Store, row: ChainRow) -> dict[str, Any]:
    return {
        "chain": str(row.chain),
        "next": row.next,
        "held_from": row.floor,
        "headquarters": row.hq_next,
        "backed_up": row.backed_next,
        "holes": [list(hole) for hole in store.chains.holes(row.chain)],
    }
