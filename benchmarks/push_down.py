"""An app for 500 gateways through one hub: time, bytes from headquarters, the hub's memory.

A headquarters and a hub run as processes. The gateways are simulated in a few processes, each
gateway with a CURVE socket and a key of its own, and a disk in memory, since five hundred of
them share no real one: it refreshes its metadata, verifies it,
gets its desired document, and fetches and verifies a package that no compressor shrinks. The limit
is measured in the same run: as many sockets in as many processes take the same bytes in pieces of
the same size from one bare ROUTER over CURVE, which neither reads a disk nor is asked for anything
but the next piece, and nobody verifies.

Run: ``python -m benchmarks.push_down [--quick] [--json]``
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

import zmq

from benchmarks.frame import Measurement, Row, Setting, command
from benchmarks.hub_batches import READY_S, cpu_s
from headquarters.updates import Updates
from headquarters.updates.keyfile import KeyPair
from headquarters.updates.publishing import Published
from protocols import limits
from protocols.calls import CallClient
from protocols.curve import ZapDoor, secure, serve_behind
from protocols.daemon import read_status
from protocols.errors import PeerError
from protocols.identity import ALLOW, Identity, LinkKey, allow
from protocols.updates.client import Source

GATEWAYS = 500
APP_BYTES = 5_000_000
PROCESSES = 4
APP = "apps/acme/pump-1.0.0.capp"

HUB_GOAL = "<= 2"
"""The hub's CPU time against the bare sender's: it hands any part of any file to whoever asks. The
time in all is mostly that of the gateways, whose verifying shares this machine's processor."""

SENT_GOAL = "<= 1.1"
"""Headquarters sends the app once; metadata and documents are beside it."""


class Tiers(NamedTuple):
    """Running processes.

    Args:
        headquarters: Process id.
        hub: Process id.
        hub_home: Where its status is.
        address: The hub's service socket.
        link: The hub's CURVE public key.
    """

    headquarters: int
    hub: int
    hub_home: Path
    address: str
    link: bytes


def measure(setting: Setting) -> Iterator[Row]:
    """The app through the hub, and the same bytes bare."""
    gateways, app_bytes = (60, 2_000_000) if setting.quick else (GATEWAYS, APP_BYTES)
    total = gateways * app_bytes
    before = bare(gateways, app_bytes)
    through = push(gateways, app_bytes)
    after = bare(gateways, app_bytes)
    limit_s, limit_cpu_s = (before[0] + after[0]) / 2, (before[1] + after[1]) / 2
    name = f"{app_bytes / 1e6:g} MB app to {gateways} gateways through a hub"
    peer = "bare CURVE transfer"
    yield Row.of(name, total / through.seconds / 1e6, "MB/s", peer, total / limit_s / 1e6)
    yield Row.of(f"{name}, in all", through.seconds, "s", peer, limit_s)
    yield Row.of(
        f"{name}, sent by headquarters", through.sent / 1e6, "MB", "the app", app_bytes / 1e6, SENT_GOAL
    )
    yield Row.of(f"{name}, the hub's memory", through.peak_mb, "MB", "before it", through.before_mb)
    yield Row.of(f"{name}, the hub's CPU", through.hub_cpu_s, "CPU-s", "bare sender", limit_cpu_s, HUB_GOAL)


class Pushed(NamedTuple):
    """What a push came to.

    Args:
        seconds: From the first question to the last verified app.
        sent: Bytes of files that headquarters sent.
        before_mb: The hub's resident memory with all metadata and no gateway.
        peak_mb: And the most that it had.
        hub_cpu_s: Its CPU time.
    """

    seconds: float
    sent: float
    before_mb: float
    peak_mb: float
    hub_cpu_s: float


def push(gateways: int, app_bytes: int) -> Pushed:
    """Publish an app and let every gateway install it."""
    identities = [Identity.generate(f"unit-{number}", "gateway") for number in range(gateways)]
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir=memory_disk()) as disks:
        folder = Path(name)
        with running(folder, identities) as tiers:
            desk = begin(folder / "hq")
            file = folder / "app"
            file.write_bytes(os.urandom(app_bytes))
            app = desk.add(file, APP)
            document = f"{app.path} {app.length} {app.sha256.hex()}".encode()
            desk.direct({each.id: document for each in identities})
            wait_for_state(tiers, desk)
            before_mb, before_cpu, before = memory_mb(tiers.hub), cpu_s(tiers.hub), mirror(tiers)
            peak = Peak(tiers.hub)
            root = desk.root()
            jobs = [
                (each.id, each.link, tiers.address, tiers.link, root, app, Path(disks) / each.id)
                for each in identities
            ]
            seconds = in_processes(install, jobs)
            peak_mb = peak.end()
            time.sleep(1.2)  # the status is written once a second
            sent = mirror(tiers)["fetched_bytes"] - before["fetched_bytes"]
            return Pushed(seconds, sent, before_mb, peak_mb, cpu_s(tiers.hub) - before_cpu)


def memory_disk() -> str | None:
    """Where simulated gateways write: each has a disk of its own, which one disk for all is not."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK) else None


def install(job: tuple[str, LinkKey, str, bytes, bytes, Published, Path]) -> None:
    """What one gateway does: refresh, verify, fetch what it should run."""
    gateway, key, address, link, root, app, folder = job
    with CallClient(address, link, key, timeout_s=60.0) as client:
        source = Source(folder, gateway, root, client.call)
        document = source.desired()
        assert document is not None
        path, length, sha256 = document.decode().split()
        assert path == app.path
        fetched = source.fetch(path, bytes.fromhex(sha256), int(length))
    assert fetched.stat().st_size == app.length
    shutil.rmtree(folder)


# -- the limit ---------------------------------------------------------------------------------------


def bare(gateways: int, app_bytes: int) -> tuple[float, float]:
    """The same bytes in the same pieces over CURVE from one process: seconds, and its CPU time."""
    context = multiprocessing.get_context("spawn")
    server = Identity.generate("server", "hub")
    addresses: Queue[str] = context.Queue()
    ended = context.Event()
    sender = context.Process(target=bare_sender, args=(server.link, app_bytes, addresses, ended))
    sender.start()
    try:
        address = addresses.get(timeout=READY_S)
        jobs = [
            (Identity.generate("x", "gateway").link, address, server.link.public, app_bytes)
            for _ in range(gateways)
        ]
        assert sender.pid is not None
        before = cpu_s(sender.pid)
        seconds = in_processes(bare_receiver, jobs)
        return seconds, cpu_s(sender.pid) - before
    finally:
        ended.set()
        sender.join(10)
        sender.kill()


def bare_sender(key: LinkKey, app_bytes: int, addresses: Queue[str], ended: Event) -> None:
    """Answers each message with the next piece."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    door = ZapDoor(context, lambda link: True)
    router = context.socket(zmq.ROUTER)
    serve_behind(router, key, 1 << 20)
    router.bind("tcp://127.0.0.1:*")
    addresses.put(router.getsockopt_string(zmq.LAST_ENDPOINT))
    data = os.urandom(app_bytes)
    poller = zmq.Poller()
    poller.register(door.socket, zmq.POLLIN)
    poller.register(router, zmq.POLLIN)
    while not ended.is_set():
        ready = dict(poller.poll(100))
        if door.socket in ready:
            door.answer()
        if router in ready:
            peer, asked = router.recv_multipart()
            offset = int.from_bytes(asked)
            router.send_multipart([peer, data[offset : offset + limits.PIECE_BYTES_MAX]])
    router.close(0)
    door.socket.close(0)
    context.term()


def bare_receiver(job: tuple[LinkKey, str, bytes, int]) -> None:
    """Asks for piece after piece."""
    key, address, server_key, app_bytes = job
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    secure(socket, key)
    socket.curve_serverkey = server_key
    socket.connect(address)
    offset = 0
    while offset < app_bytes:
        socket.send(offset.to_bytes(8))
        offset += len(socket.recv())
    socket.close(0)


# -- processes ---------------------------------------------------------------------------------------


def in_processes(work: Callable[[Any], None], jobs: Sequence[Any]) -> float:
    """Do all jobs at once, each in a thread, in a few processes; returns seconds from the start signal."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES + 1)
    failures: Queue[str] = context.Queue()
    shares = [list(jobs[number::PROCESSES]) for number in range(PROCESSES)]
    processes = [context.Process(target=share, args=(work, each, barrier, failures)) for each in shares]
    for process in processes:
        process.start()
    barrier.wait(120)
    began = time.perf_counter()
    for process in processes:
        process.join()
    took = time.perf_counter() - began
    assert failures.empty(), failures.get()
    assert all(process.exitcode == 0 for process in processes)
    return took


def share(work: Callable[[Any], None], jobs: Sequence[Any], barrier: Any, failures: Queue[str]) -> None:
    """One process's gateways."""

    def run(job: Any) -> None:
        try:
            work(job)
        except BaseException as error:
            failures.put(f"{type(error).__name__}: {error}")

    zmq.Context.instance().set(zmq.MAX_SOCKETS, 4096)
    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    barrier.wait(120)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def begin(home: Path) -> Updates:
    """A repository with a publisher."""
    holders = [KeyPair.new(), KeyPair.new()]
    targets, firmware, acme = KeyPair.new(), KeyPair.new(), KeyPair.new()
    desk = Updates(home, 90)
    desk.begin([key.public for key in holders], 2, targets, firmware)
    assert desk.sign_root(holders) is None
    desk.keys.hold(acme)
    desk.add_publisher("acme", acme.public)
    return desk


@contextmanager
def running(folder: Path, gateways: Sequence[Identity]) -> Iterator[Tiers]:
    """A headquarters and a hub that know each other, and the hub the gateways."""
    ports = free_ports(4)
    hq, hub = folder / "hq", folder / "hub"
    program(["headquarters.cli", "init", "--home", str(hq), "--id", "hq", "--bind", ports[0]])
    program(
        [
            *("hub.cli", "init", "--home", str(hub), "--id", "hub", "--bind", ports[1]),
            *("--upstream", str(hq / "identity.toml"), "--address", ports[0]),
        ]
    )
    below = Identity.load(hub)
    allow(hq / ALLOW, below.public)
    (hub / ALLOW).write_text("\n".join(each.public.to_toml("node") for each in gateways))
    insert(hq / "headquarters.toml", "[headquarters]\n", f'service = "{ports[2]}"\n')
    insert(hub / "hub.toml", "[hub]\n", f'service = "{ports[3]}"\n')
    insert(hub / "hub.toml", "[[upstream]]\n", f'service = "{ports[2]}"\n')
    with (hub / "hub.toml").open("a") as file:
        file.write("\n[mirror]\nrefresh_s = 0.5\n")
    processes = []
    try:
        for module, home in (("headquarters.cli", hq), ("hub.cli", hub)):
            arguments = [sys.executable, "-m", module, "run", "--home", str(home)]
            process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
            processes.append(process)
            until(lambda home=home: read_status(home / "data" / "status.json") is not None)  # type: ignore[misc]
        yield Tiers(processes[0].pid, processes[1].pid, hub, ports[3], below.public.link)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def program(arguments: Sequence[str]) -> None:
    """Run a command of ours to its end."""
    subprocess.run([sys.executable, "-m", *arguments], check=True, capture_output=True)


def insert(path: Path, heading: str, line: str) -> None:
    """Put a line below the heading of a table."""
    text = path.read_text()
    assert heading in text
    path.write_text(text.replace(heading, heading + line, 1))


def free_ports(count: int) -> list[str]:
    """Addresses that nobody listens on."""
    with zmq.Context() as context:
        sockets = [context.socket(zmq.REP) for _ in range(count)]
        ports = [socket.bind_to_random_port("tcp://127.0.0.1") for socket in sockets]
        for socket in sockets:
            socket.close(0)
    return [f"tcp://127.0.0.1:{port}" for port in ports]


def until(true: Callable[[], bool]) -> None:
    """Wait for something of another process."""
    give_up_at = time.monotonic() + 60
    while not true():
        assert time.monotonic() < give_up_at, "it did not happen within 60 s"
        time.sleep(0.05)


def mirror(tiers: Tiers) -> dict[str, Any]:
    """What the hub says of its mirror."""
    found = read_status(tiers.hub_home / "data" / "status.json")
    assert found is not None
    described: dict[str, Any] = found["mirror"]
    return described


def wait_for_state(tiers: Tiers, desk: Updates) -> None:
    """Until the hub shows what headquarters has published."""
    timestamp = desk.repository.timestamp()
    assert timestamp is not None
    until(lambda: mirror(tiers)["state"] == timestamp.signed.version)


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise PeerError(f"process {pid} has ended")


class Peak:
    """The most memory that a process has from now on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> float:
        """Stop watching; in MB."""
        self._ended.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self._most = max(self._most, memory_mb(self._pid))


MEASUREMENTS = (Measurement("push-down", measure),)

main = command("Measure an app's way to many gateways through one hub.", MEASUREMENTS)

if __name__ == "__main__":
    main()
