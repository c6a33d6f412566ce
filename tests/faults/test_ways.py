"""What happens when the way upward is gone: hubs away, cables pulled, another hub to go to."""

from __future__ import annotations

import sys

from deltalake import DeltaTable

from protocols.batch import Header, Kind, Stream
from tests.faults.river import Node, River, free_address

ALL_SAMPLES = 400


def headers(river: River, gateway: Node) -> list[Header]:
    """Of a gateway's data batches, in the order in which headquarters took them."""
    rows = DeltaTable(str(river.lake / "ledger")).to_pyarrow_table().sort_by("batch").to_pylist()
    parsed = [Header.parse(row["header"]) for row in rows if row["gateway"] == gateway.name]
    return [header for header in parsed if header.stream is Stream.DATA]


def test_a_hub_away_for_long_costs_nothing_and_fresh_data_gets_an_epoch_of_its_own(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters, uplink="live_first_s = 2")
    gateway.up()
    headquarters.up()
    river.run_for(5.0)
    hub.up()
    verdict = river.finish()
    assert verdict.in_gaps == 0
    opened = [header for header in headers(river, gateway) if header.kind is Kind.OPEN]
    assert len(opened) == 2, "expected the backlog to drain beside an epoch of its own for fresh data"


def test_a_pulled_cable_and_a_half_open_one_cost_nothing(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    plant = river.plant()
    cable = Cable(river, hub.address)
    gateway = river.gateway("unit-1", plant, [hub], headquarters, through=cable.address)
    river.start()
    river.collected(gateway, ALL_SAMPLES // 4)
    cable.set("drop")
    river.run_for(1.5)
    cable.set("pass")
    river.drained()
    cable.set("silent")
    gateway.wait("the silence noticed", lambda status: not status["uplink"]["connected"], 30.0)
    cable.set("drop")
    river.run_for(0.3)
    cable.set("pass")
    verdict = river.finish()
    assert verdict.in_gaps == 0
    assert gateway.logged("session-ended")


def test_batches_stranded_on_a_lost_hub_go_through_the_other_one_and_count_once_when_it_returns(
    river: River,
) -> None:
    headquarters = river.headquarters()
    first, second = river.hub(headquarters, "hub-a"), river.hub(headquarters, "hub-b")
    plant = river.plant()
    gateway = river.gateway("unit-1", plant, [first, second], headquarters, uplink="failover_s = 1")
    first.up()
    second.up()
    gateway.up()
    first.wait("some batches", lambda status: status["stored"] >= 5)
    first.kill()
    gateway.wait("the other hub", lambda status: status["uplink"]["upstream"] == "hub-b")
    headquarters.up()
    river.drained()
    first.up()
    first.wait(
        "nothing stranded any more", lambda status: status["upstreams"]["headquarters"]["backlog"] == 0
    )
    verdict = river.finish()
    assert verdict.in_gaps == 0
    assert gateway.logged("upstream-changed")


class Cable:
    """A forwarding process; see `tests.faults.cable`."""

    def __init__(self, river: River, target: str) -> None:
        self.address = free_address()
        self._file = river.root / "cable"
        self.set("pass")
        ports = [address.rsplit(":", 1)[1] for address in (self.address, target)]
        command = [sys.executable, "-m", "tests.faults.cable", *ports, str(self._file)]
        river.process("cable", command).start()

    def set(self, mode: str) -> None:
        """Pull it, or plug it in."""
        temporary = self._file.with_suffix(".new")
        temporary.write_text(mode, encoding="ascii")
        temporary.replace(self._file)
