"""Disks that are full: a gateway holds on and says what it could not, a hub takes nothing more."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.faults.river import Node, River, change

GATEWAY_MB, HUB_MB = 32, 160
BLOCK = 1 << 16
FILE_BYTES = 4096


class SmallDisk:
    """A disk of a node's own that can be filled.

    It is a tmpfs where we may mount one. Where we may not, filling it forbids the running
    process to write beyond the first 4 kB of any file (RLIMIT_FSIZE), which SQLite meets as
    an I/O error.
    """

    def __init__(self, node: Node, mounted: bool) -> None:
        self._node = node
        self._ballast = node.data / "ballast" if mounted else None

    def fill(self) -> None:
        """Leave no room."""
        if self._ballast is None:
            self._limit(FILE_BYTES)
            return
        with self._ballast.open("ab", buffering=0) as file:
            for size in (BLOCK, 512):
                while _written(file.fileno(), size):
                    pass

    def free(self) -> None:
        """Give all of it back."""
        if self._ballast is None:
            self._limit(resource.RLIM_INFINITY)
        else:
            self._ballast.unlink()

    def _limit(self, size: int) -> None:
        pid = self._node.child.pid
        assert pid is not None
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _written(file: int, size: int) -> bool:
    try:
        return os.write(file, bytes(size)) > 0
    except OSError:
        return False


@contextmanager
def small_disk(node: Node, megabytes: int) -> Iterator[SmallDisk]:
    """Give a node's data such a disk; the node does not run yet."""
    node.data.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(node.data)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    print(f"{node.name}: {'a tmpfs' if mounted else 'RLIMIT_FSIZE'} stands for a small disk")
    try:
        yield SmallDisk(node, mounted)
    finally:
        if mounted:
            if node.child.running:
                node.kill()
            subprocess.run(["umount", "-l", str(node.data)], check=True)


@pytest.fixture
def disks() -> Iterator[ExitStack]:
    """Unmounted at the end."""
    with ExitStack() as stack:
        yield stack


def test_a_gateway_with_a_full_disk_goes_on_and_owes_nothing_when_there_is_room_again(
    river: River, disks: ExitStack
) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters)
    disk = disks.enter_context(small_disk(gateway, GATEWAY_MB))
    river.start()
    river.collected(gateway, 100)
    hub.kill()
    disk.fill()
    river.run_for(4.0)
    disk.free()
    collected = gateway.status()["ledger"]["collected"]
    river.collected(gateway, collected + 200)
    verdict = river.finish()
    assert verdict.in_gaps == 0, "expected what came meanwhile to wait in memory"
    assert len(gateway.logged("gateway-ready")) == 1


def test_a_hub_with_a_full_disk_takes_nothing_and_loses_nothing(river: River, disks: ExitStack) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    change(hub.home / "hub.toml", "store", reserve_mb=64)
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters)
    disk = disks.enter_context(small_disk(hub, HUB_MB))
    river.start()
    river.collected(gateway, 100)
    disk.fill()
    river.run_for(4.0)
    disk.free()
    river.drained()
    verdict = river.finish()
    assert verdict.in_gaps == 0
    assert len(hub.logged("hub-started")) == 1
