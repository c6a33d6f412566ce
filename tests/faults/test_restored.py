"""Stores that are lost, and stores that come back older than they were."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_runtime.writer import JOURNAL_S
from headquarters.cli import main as headquarters_cli
from tests.faults.river import Node, River, change, lose


def copy_of(node: Node) -> Path:
    """A copy of a node's data, as a backup or a machine's image has it."""
    image = node.home / "image"
    shutil.copytree(node.data, image, ignore=shutil.ignore_patterns("*.sock"))
    return image


def restore(node: Node, image: Path) -> None:
    """Put the copy in place of what was there."""
    lose(node.data)
    shutil.copytree(image, node.data)


def test_a_hub_that_loses_its_disk_with_batches_nobody_else_has_costs_time_and_no_data(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters)
    river.start()
    river.collected(gateway, 100)
    headquarters.kill()
    before = hub.status()["stored"]
    hub.wait("batches that only it and the gateway hold", lambda status: status["stored"] > before + 3)
    hub.kill()
    lose(hub.data)
    river.start()
    gateway.wait("a session after the hub's death", lambda status: status["uplink"]["sessions"] > 1)
    verdict = river.finish()
    assert verdict.in_gaps == 0


def test_a_headquarters_restored_from_an_older_copy_gets_again_what_was_not_backed_up(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    change(hub.home / "hub.toml", "store", trim="backed-up")
    plants = river.plant("plant-1"), river.plant("plant-2")
    river.gateway("unit-1", plants[0], [hub], headquarters)
    alone = river.gateway("unit-2", plants[1], [headquarters], headquarters, buffer='trim = "backed-up"')
    river.start()
    river.collected(alone, 200)
    marks = str(river.root / "marks.json")
    custody(headquarters, "snapshot", marks)
    headquarters.kill()
    image = copy_of(headquarters)
    headquarters.up()
    held = alone.status()["backlog"]["batches"]
    custody(headquarters, "confirm", marks)
    alone.wait("the backup confirmed", lambda status: status["backlog"]["batches"] < held)
    rows = headquarters.status()["tables"]["samples"]["rows"]
    headquarters.wait("more", lambda status: status["tables"]["samples"]["rows"] > rows + 200)
    headquarters.kill()
    had = headquarters.status()["tables"]["samples"]["rows"]
    restore(headquarters, image)
    river.start()
    headquarters.wait("all of it again", lambda status: status["tables"]["samples"]["rows"] > had + 100)
    verdict = river.finish(backed_up=True)
    assert verdict.in_gaps == 0


def custody(headquarters: Node, command: str, marks: str) -> None:
    """Run a command of `catchment-hq custody`."""
    done = CliRunner().invoke(headquarters_cli, ["custody", command, "--home", str(headquarters.home), marks])
    assert done.exit_code == 0, done.output


def image_of(gateway: Node, *, journalled: bool) -> Path:
    """A copy of a gateway's data at one instant, with samples in its journal if asked for."""
    while True:
        gateway.child.signal(signal.SIGSTOP)
        image = copy_of(gateway)
        gateway.child.signal(signal.SIGCONT)
        with closing(sqlite3.connect(image / "buffer.db")) as copy:
            (chunks,) = copy.execute("select count(*) from journal").fetchone()
        if chunks or not journalled:
            return image
        lose(image)
        time.sleep(0.1)


@pytest.mark.parametrize("flush_s", [0.4, 2.5], ids=["sealed each time", "journalled first"])
def test_a_gateway_restored_from_an_image_goes_on_in_a_new_epoch_and_doubles_nothing(
    river: River, flush_s: float
) -> None:
    river.pace = replace(river.pace, flush_s=flush_s)
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    # In strict order: what the image holds is old on a slow machine, and fresh data would get an epoch of its
    # own before anybody sees the fork.
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters, uplink="live_first_s = 0")
    river.start()
    river.collected(gateway, 150)
    hub.kill()
    river.run_for(1.5)
    image = image_of(gateway, journalled=flush_s > JOURNAL_S)
    hub.up()
    collected = gateway.status()["ledger"]["collected"]
    river.collected(gateway, collected + 200)
    gateway.wait("a session after the hub's death", lambda status: status["uplink"]["sessions"] > 1)
    river.drained()
    gateway.kill()
    restore(gateway, image)
    verdict = river.finish()
    assert verdict.in_gaps > 0, "expected the time between the image and now to be declared"
    assert gateway.logged("chain-forked")
    if flush_s > JOURNAL_S:
        assert gateway.status()["ledger"]["dropped"]["delivered-before"] > 0
