"""What happens when the way upward is gone: hubs away, cables pulled, another hub to go to."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from deltalake import DeltaTable

from protocols.batch import Header, Kind, Stream
from tests.faults.river import Node, River, allow, free_address

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


def test_batches_cross_a_one_way_isolator_that_loses_files(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    gateway = river.gateway("unit-1", river.plant(), [], headquarters)
    allow(hub, gateway)
    out, landed = river.root / "out", river.root / "landed"
    out.mkdir()
    export = f'\n[export]\ndirectory = "{out}"\nrepeat_s = 1\nlast_repeat_s = 2\n'
    for path, more in (
        (gateway.home / "gateway.toml", export),
        (hub.home / "hub.toml", f'\n[[landing]]\ndirectory = "{landed}"\npoll_s = 0.1\n'),
    ):
        path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    with Isolator(out, landed) as isolator:
        river.start()
        isolator.losing = True
        river.collected(gateway, ALL_SAMPLES // 2)
        gateway.kill()
        gateway.up()
        river.collected(gateway, ALL_SAMPLES)
        gateway.wait("some files lost", lambda status: isolator.lost == isolator.LOSES)
        isolator.losing = False
        collected = {offer["chain"]: offer["next"] for offer in gateway.status()["chains"]}
        gateway.wait(
            "what was lost written for the last time",
            lambda status: all(
                offer["oldest"] >= collected.get(offer["chain"], 0) for offer in status["chains"]
            ),
        )
        stopped_us = time.time_ns() // 1000
        gateway.child.ask_to_stop()
        gateway.stopped()
        isolator.finish()
        batches = [offer["next"] for offer in gateway.status()["chains"]]
        hub.wait("the last batch", lambda status: status["landings"][0]["stored"] >= sum(batches))
        river.stop(backed_up=True)
    river.stopped_us = stopped_us
    river.judge()
    assert hub.logged("files-missing")
    causes = {row["cause"] for row in DeltaTable(str(river.lake / "gaps")).to_pyarrow_table().to_pylist()}
    assert causes <= {"process-down", "overrun"}, "expected no more than the kill cost"


class Isolator:
    """Moves files one way; while it is `losing`, it loses two, fewer than the times each batch is written."""

    LOSES = 2

    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._seen = 0
        self.losing = False
        self.lost = 0

    def __enter__(self) -> Isolator:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def finish(self) -> None:
        """Move what is there, and end."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            self._move()
        self._move()

    def _move(self) -> None:
        if not self._target.is_dir():
            return
        for path in sorted(self._source.glob("[!.]*")):
            self._seen += 1
            if self.losing and self.lost < self.LOSES and self._seen % 3 == 0:
                self.lost += 1
                path.unlink()
            else:
                path.replace(self._target / path.name)


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
