"""Batches a core that a hub takes in, against bare Ed25519 verifies a core.

A real hub process stores what several gateways send over CURVE links: it checks chain, hash
and signature, commits groups durably and acknowledges. *Draining*, a few gateways send all
they have, as after an outage: batches of one chain come together, and one signature proves
them. *Live*, many gateways send a batch when the one before is stored: each is verified by
itself. Its CPU time, all threads and the
kernel's share included, is held against that of a loop that only verifies signatures, which
is measured before and after, in a process of its own. A hub never decodes: payloads are
random bytes, as long as 600 and 10,000 samples of a plant are on the wire.

Run: ``python -m benchmarks.hub_batches [--quick] [--json]``
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import zmq

from benchmarks.frame import Measurement, Row, Setting, command
from protocols.batch import (
    BATCH_DOMAIN,
    VERSION,
    ZERO_HASH,
    Batch,
    Chain,
    ClockState,
    Header,
    Kind,
    Stream,
    header_hash,
    seal,
)
from protocols.daemon import read_status
from protocols.identity import ALLOW, Identity, VerifyKey, allow
from protocols.link import SenderLink
from protocols.session import Offer
from protocols.session.events import Stored

GOAL = ">= 0.75"
GATEWAYS = 8
LIVE_GATEWAYS = 64
SIZES = {600: 2_000, 10_000: 11_000}
"""Samples in a batch, and the bytes that they are on the wire."""

VERIFIED = 100
"""Signatures of each gateway in the loop that only verifies."""

READY_S = 20.0


class Supply:
    """A gateway's chain, as an outbox.

    Args:
        identity: The gateway's.
        count: Batches of the chain.
        payload_bytes: Bytes of each payload.
        samples: Samples that each header claims.
        live: Offer one batch after the other, and not all at once.
    """

    def __init__(
        self, identity: Identity, count: int, payload_bytes: int, samples: int, *, live: bool = False
    ) -> None:
        self.chain = Chain(identity.id, Stream.DATA, 1)
        self.batches: list[Batch] = []
        head = ZERO_HASH
        payload = os.urandom(payload_bytes)
        for seq in range(count):
            header = Header(
                version=VERSION,
                flags=0,
                gateway=identity.id,
                stream=Stream.DATA,
                epoch=1,
                seq=seq,
                kind=Kind.DATA,
                n=samples,
                t_min_us=1_790_000_000_000_000 + seq * 10_000_000,
                t_max_us=1_790_000_009_000_000 + seq * 10_000_000,
                boot_id=bytes(16),
                monotonic_us=seq * 10_000_000,
                clock_state=ClockState.SYNCHRONISED,
                clock_offset_us=0,
                table_hash=ZERO_HASH,
                key_id=bytes(8),
                previous=head,
                payload_hash=ZERO_HASH,
                payload_bytes=0,
            )
            batch = seal(header, payload, identity.signing)
            self.batches.append(batch)
            head = header_hash(batch.header)
        self.stored = 0
        """How much of it the hub holds."""
        self._live = live

    @property
    def generation(self) -> int:
        """Grows with what is offered."""
        return self.stored if self._live else 0

    def offers(self) -> list[Offer]:
        """All that there is yet."""
        made = min(self.stored + 1, len(self.batches)) if self._live else len(self.batches)
        return [Offer(self.chain, 0, made, header_hash(self.batches[made - 1].header))]

    def read(self, chain: Chain, seq: int, batches_max: int, bytes_max: int) -> list[Batch]:
        """From memory: the gateway's own disk is not what is measured."""
        return self.batches[seq : seq + batches_max]


def verifies_per_s(seconds: float) -> float:
    """Bare verifies a second of CPU time, in a process of its own."""
    code = f"from benchmarks.hub_batches import verify_loop; print(verify_loop({seconds}))"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


def verify_loop(seconds: float) -> float:
    """Verify what a hub would, signature after signature; returns how many a second of CPU time.

    The signatures are of several keys and all different, as a hub sees them: one and the same
    again and again is verified faster than any of them once.
    """
    identities = [Identity.generate(f"gw-{index}", "gateway") for index in range(GATEWAYS)]
    keys = [VerifyKey(identity.public.signing) for identity in identities]
    supplies = [Supply(identity, VERIFIED, 1, 0).batches for identity in identities]
    signed = [
        (key, batch.header, batch.signature)
        for row in zip(*supplies, strict=True)
        for key, batch in zip(keys, row, strict=True)
    ]
    count = 0
    start = time.process_time()
    while (spent := time.process_time() - start) < seconds:
        for key, header, signature in signed:
            assert key.verify(BATCH_DOMAIN, header, signature)
        count += len(signed)
    return count / spent


def batches_per_s(
    gateways: int, samples: int, payload_bytes: int, per_gateway: int, *, live: bool
) -> tuple[float, float]:
    """(batches a second of the hub's CPU time, batches a second on the clock)."""
    identities = [Identity.generate(f"gw-{index}", "gateway") for index in range(gateways)]
    supplies = [Supply(identity, per_gateway, payload_bytes, samples, live=live) for identity in identities]
    with tempfile.TemporaryDirectory() as name, running_hub(Path(name), identities) as hub:
        links = [
            SenderLink(
                hub.address,
                hub.link,
                identity,
                supply,
                headquarters=VerifyKey(identity.public.signing),
                receiver=VerifyKey(hub.signing),
            )
            for identity, supply in zip(identities, supplies, strict=True)
        ]
        while not all(link.connected for link in links):
            _step(links, supplies)
        before, start = cpu_s(hub.pid), time.perf_counter()
        begun = sum(supply.stored for supply in supplies)
        while min(supply.stored for supply in supplies) < per_gateway:
            _step(links, supplies)
        wall, cpu = time.perf_counter() - start, cpu_s(hub.pid) - before
        for link in links:
            link.close()
    count = gateways * per_gateway - begun
    return count / cpu, count / wall


def _step(links: Sequence[SenderLink], supplies: Sequence[Supply]) -> None:
    """Send and receive over all links."""
    for link, supply in zip(links, supplies, strict=True):
        for event in link.step(0.0):
            if isinstance(event, Stored):
                supply.stored = max(supply.stored, event.next)


class RunningHub(NamedTuple):
    """How to reach it."""

    pid: int
    address: str
    link: bytes
    signing: bytes


@contextmanager
def running_hub(home: Path, gateways: Sequence[Identity]) -> Iterator[RunningHub]:
    """A hub process that allows these gateways."""
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
    address = f"tcp://127.0.0.1:{port}"
    command = [sys.executable, "-m", "hub.cli"]
    init = [*command, "init", "--home", str(home), "--id", "hub", "--bind", address]
    subprocess.run(init, check=True, capture_output=True)
    for gateway in gateways:
        allow(home / ALLOW, gateway.public)
    identity = Identity.load(home)
    process = subprocess.Popen([*command, "run", "--home", str(home)], stderr=subprocess.DEVNULL)
    try:
        give_up_at = time.monotonic() + READY_S
        while read_status(home / "data" / "status.json") is None:
            assert process.poll() is None and time.monotonic() < give_up_at, "the hub did not start"
            time.sleep(0.02)
        yield RunningHub(process.pid, address, identity.public.link, identity.public.signing)
    finally:
        process.terminate()
        process.wait(20)


def cpu_s(pid: int) -> float:
    """CPU time of a process, all its threads, user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(setting: Setting) -> Iterator[Row]:
    """For each size of batch: draining, and live."""
    seconds, per_gateway, live = (0.3, 100, 10) if setting.quick else (3.0, 2000, 200)
    for samples, payload_bytes in SIZES.items():
        before = verifies_per_s(seconds)
        drained = batches_per_s(GATEWAYS, samples, payload_bytes, per_gateway, live=False)
        trickled = batches_per_s(LIVE_GATEWAYS, samples, payload_bytes, live, live=True)
        verifies = (before + verifies_per_s(seconds)) / 2
        name = f"hub batches a core, {samples:,} samples each"
        peer = "bare Ed25519 verifies a core"
        yield Row.of(f"{name}, draining", drained[0], "batches/CPU-s", peer, verifies, GOAL)
        yield Row.of(f"{name}, draining, on the clock", drained[1], "batches/s", "the same", verifies)
        yield Row.of(f"{name}, live", trickled[0], "batches/CPU-s", peer, verifies)
        yield Row.of(f"{name}, live, on the clock", trickled[1], "batches/s", "the same", verifies)


MEASUREMENTS = (Measurement("hub-batches", measure),)

main = command("Measure a hub's batches a core against bare verifies.", MEASUREMENTS)

if __name__ == "__main__":
    main()
