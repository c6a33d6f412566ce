"""Clean stops, poison, and the proof that the watermarks are what keeps the lake exact."""

from __future__ import annotations

import json
import time

import pytest
from deltalake import DeltaTable

from edge_runtime.buffer import Buffer, Shared, Store
from edge_runtime.clock import GatewayClock
from edge_runtime.ledger import Counts
from protocols.batch import Kind, Stream
from protocols.identity import Identity
from scripts.judge import judge
from tests.faults.river import River

ODD_US = 1_600_000_000_000_000
"""Long before the river ran: the judge does not look there."""


def test_a_signal_stops_every_tier_with_a_closed_ledger_and_a_restart_goes_on(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters)
    river.start()
    river.collected(gateway, 100)
    headquarters.stop()
    hub.stop()
    river.run_for(0.5)
    gateway.stop()
    statement = gateway.status()["ledger"]
    assert gateway.status()["state"] == "stopped"
    assert statement["unaccounted"] == statement["journalled"] == 0
    assert hub.status()["stopped"]
    assert headquarters.status()["stopped"]
    river.start()
    collected = statement["collected"]
    river.collected(gateway, collected + 100)
    river.finish()
    [last] = gateway.logged("gateway-stopped")[-1:]
    assert last["unaccounted"] == 0
    gaps = DeltaTable(str(river.lake / "gaps")).to_pyarrow_table().to_pylist()
    assert {gap["cause"] for gap in gaps} == {"process-down"}


def test_a_poison_batch_is_refused_and_stalls_nothing(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters)
    river.start()
    river.collected(gateway, 100)
    gateway.stop()
    signer = Identity.load(gateway.home).signing
    shared = Shared()
    store = Store.open(gateway.data / "buffer.db", shared.gate)
    buffer = Buffer(store, "unit-1", signer, headquarters=None, clock=GatewayClock(b"p" * 16), shared=shared)
    buffer.append(Stream.DATA, Kind.DATA, b"poison", 5, ODD_US, ODD_US + 1000, counts=Counts(collected=5))
    store.close()
    gateway.up()
    river.collected(gateway, gateway.status()["ledger"]["collected"] + 200)
    verdict = river.finish()
    assert verdict.gaps >= 2, "expected one for the stop and one for the poison"
    [refused] = gateway.logged("batch-refused")
    # Headquarters kept it and signed for it: when that receipt is here first, it is not ours any more.
    assert (refused["reason"], refused["done"]) in {("payload", "buried"), ("payload", "not-ours")}
    assert list((headquarters.data / "quarantine").rglob("*")), "expected the poison to be kept"
    gaps = DeltaTable(str(river.lake / "gaps")).to_pyarrow_table().to_pylist()
    assert "refused" in {gap["cause"] for gap in gaps}


@pytest.mark.parametrize("forgetful", [False, True], ids=["with watermarks", "without"])
def test_without_its_watermarks_headquarters_doubles_what_it_took_before_a_crash(
    river: River, forgetful: bool
) -> None:
    headquarters = river.headquarters()
    gateway = river.gateway("unit-1", plant := river.plant(), [headquarters], headquarters)
    if forgetful:
        headquarters.replaced("forgetful")
    headquarters.start("hq:before-ack:0.2:7")
    gateway.start()
    headquarters.child.wait(60.0)
    headquarters.up()
    gateway.wait("a session again", lambda status: status["uplink"]["sessions"] >= 2)
    headquarters.wait("more rows", lambda status: status["rows"] > 100)
    if not forgetful:
        assert river.finish().duplicated == 0
        return
    gateway.stop()
    headquarters.stop()
    verdict = judge(river.lake, [plant.directory], until_us=time.time_ns() // 1000 - 3_000_000)
    assert verdict.duplicated > 0, json.dumps(verdict.to_json(), indent=1)
