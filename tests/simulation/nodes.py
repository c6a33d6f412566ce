"""The three tiers of a world: the product's own cores, with SQLite in memory as their disks.

What lives in a node's attributes before `boot` is its disk; what `boot` makes is its memory.
"""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Iterable

from edge_runtime.buffer import Buffer, Limits, Progress
from edge_runtime.buffer import Store as BufferStore
from headquarters.ingest.cycle import Ingest
from headquarters.ingest.marks import LakeMarks
from hub.ingest import Ingest as HubIngest
from hub.ingest import News
from hub.outbox import Recent, UpstreamOutbox
from hub.relay import RETRY_STOPPED_S, stops_a_chain
from hub.store import Store as HubStore
from protocols import columns
from protocols.batch import Chain, Clock, ClockState, Kind, Stream
from protocols.records import Gap, GapCause, Mark, Receipt, sign_record
from protocols.samples import SampleBlock, ValueType
from protocols.session import Frames, Outbox, Receiver, Sender, SenderEvent
from protocols.session.events import Behind, Disconnected, Forked, Ready, Receipted, Refused, Stored
from protocols.session.receiver import KeyBook
from tests.simulation.kernel import Connection, Kernel, Key, Node
from tests.simulation.tables import MemoryArchive, MemoryTables

POINTS = 3
SCAN_S = 1.0


class Group:
    """Every node of a world by name, their keys, and which links are cut until when."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.receivers: dict[str, ReceivingNode] = {}
        self.keys: dict[str, Key] = {}
        self.cuts: dict[tuple[str, str], float] = {}
        self._owners: dict[bytes, str] = {}

    def key(self, name: str) -> Key:
        """A node's key; made at the first call."""
        if name not in self.keys:
            self.keys[name] = Key(name)
            self._owners[self.keys[name].key_id] = name
        return self.keys[name]

    def key_book(self) -> KeyBook:
        """What every receiver knows."""
        by_id = {key.key_id: key for key in self.keys.values()}
        return KeyBook(by_id.get, self._owners.get)

    def is_cut(self, a: str, b: str) -> bool:
        """Whether messages between two nodes are lost at the moment."""
        return not self.kernel.calm and self.cuts.get((a, b), 0.0) > self.kernel.now


class Uplink:
    """A sender over whatever connection it has; the simulation's `SenderLink`."""

    def __init__(self, node: Node, group: Group, role: str, upstream: str, outbox: Outbox) -> None:
        self._node = node
        self._group = group
        self._role = role
        self._outbox = outbox
        self._connection: Connection | None = None
        self._offered = -1
        self._retry_at = 0.0
        self.upstream = upstream
        self.on_event: Callable[[SenderEvent], None] = lambda event: None
        self.sender = Sender(
            node.name,
            role,
            headquarters=group.key("hq"),
            receiver=group.key(upstream),
            owns_chains=role == "gateway",
        )

    def step(self) -> None:
        """What a link's thread does again and again."""
        kernel = self._node.kernel
        if self._connection is None:
            if kernel.now < self._retry_at:
                return
            self._connect()
        self._dispatch(self.sender.tick(kernel.now))
        self._send()

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.closed = True
            self._connection = None

    def _connect(self) -> None:
        node, group, upstream = self._node, self._group, self.upstream
        kernel = node.kernel
        peer = kernel.random.randbytes(5)
        receiver = group.receivers[upstream]
        connection = Connection(
            kernel,
            lambda frames: receiver.deliver(peer, connection, node.name, self._role, frames),
            lambda frames: self._arrived(connection, frames),
            lambda: group.is_cut(node.name, upstream) or not receiver.up,
        )
        self._connection = connection
        self._offered = -1
        self.sender.start(kernel.now)

    def _arrived(self, connection: Connection, frames: Frames) -> None:
        def work() -> None:
            if self._connection is connection and self._node.up:
                self._dispatch(self.sender.receive(frames, self._node.kernel.now))
                self._send()

        self._node.guarded(work)

    def _send(self) -> None:
        now = self._node.kernel.now
        for _ in range(64):
            if self._connection is None:
                return
            if self.sender.open and self._offered != self._outbox.generation:
                self._offered = self._outbox.generation
                self._dispatch(self.sender.offer(self._outbox.offers(), now))
            wanted = self.sender.wanted()
            if wanted is not None:
                self._dispatch(self.sender.supply(wanted, self._outbox.read(*wanted), now))
            for frames in self.sender.outgoing():
                if self._connection is not None:
                    self._connection.send("up", frames)
            if wanted is None:
                return

    def _dispatch(self, events: Iterable[SenderEvent]) -> None:
        for event in events:
            if isinstance(event, Disconnected):
                self.close()
                self._retry_at = self._node.kernel.now + self._node.kernel.random.uniform(0.1, 1.0)
            self.on_event(event)


class ReceivingNode(Node):
    """What a hub and headquarters have in common."""

    receiver: Receiver

    def __init__(self, kernel: Kernel, group: Group, name: str) -> None:
        super().__init__(kernel, name)
        self.group = group
        self.key = group.key(name)
        self._peers: dict[bytes, Connection] = {}
        group.receivers[name] = self

    def deliver(self, peer: bytes, connection: Connection, node: str, role: str, frames: Frames) -> None:
        """A message came."""
        if not self.up:
            return
        self._peers[peer] = connection

        def work() -> None:
            self.receiver.receive(peer, node, role, frames, self.kernel.now)
            self.flush()

        self.guarded(work)

    def flush(self) -> None:
        """Send what the receiver has to say."""
        for peer, frames in self.receiver.outgoing():
            self._peers[peer].send("down", frames)

    def lost_memory(self) -> None:
        self._peers.clear()


class Gateway(Node):
    """A gateway that scans a few points each second.

    `made` are the instants whose samples became durable on its disk, ever, on any disk.
    """

    def __init__(
        self, kernel: Kernel, group: Group, name: str, upstreams: list[str], *, trim: Mark, quota: int | None
    ) -> None:
        super().__init__(kernel, name)
        self.group = group
        self.key = group.key(name)
        self.upstreams = upstreams
        self.trim = trim
        self.quota = quota
        self.disk = sqlite3.connect(":memory:", check_same_thread=False)
        self.made: set[int] = set()
        self.poison: set[int] = set()
        self.producing = True
        self.image: bytes | None = None

    # -- the clock, as the buffer sees it -----------------------------------------------------

    def now_us(self) -> int:
        return self.kernel.wall_us

    def stamp(self) -> Clock:
        return Clock(self._boot_id, int((self.kernel.now - self._born) * 1e6), ClockState.SYNCHRONISED, 0)

    # -- life ---------------------------------------------------------------------------------

    def boot(self) -> None:
        self._boot_id = self.kernel.random.randbytes(16)
        self._born = self.kernel.now
        store = BufferStore(self.disk)
        store.prepare()
        self.buffer = Buffer(
            store,
            self.name,
            self.key,
            headquarters=self.group.key("hq"),
            clock=self,
            limits=None if self.quota is None else Limits(self.quota),
            trim=self.trim,
            random=self.kernel.random.randbytes,
        )
        self.buffer.begin()
        self._declare_downtime()
        self._attempted: int | None = None
        self._choose(0)
        self.every(SCAN_S, self._scan)
        self.every(0.25, self._step)
        self.every(7.0, self._state)

    def lost_memory(self) -> None:
        self.uplink.close() if hasattr(self, "uplink") else None
        if self.disk.in_transaction:
            self.disk.execute("rollback")
        attempted: int | None = getattr(self, "_attempted", None)
        if attempted is not None:
            reached = self._reached()
            if reached is not None and attempted <= reached:
                self.made.add(attempted)

    def take_image(self) -> None:
        """Copy the disk; one that never scanned could not know later what it missed."""
        if self.up and self._reached() is not None:
            self.image = self.disk.serialize()

    def restore_image(self) -> None:
        """The disk is replaced by an older copy of itself."""
        if self.image is not None:
            self.die()
            self.disk = sqlite3.connect(":memory:", check_same_thread=False)
            self.disk.deserialize(self.image)

    def _reached(self) -> int | None:
        row = self.disk.execute("select instant from progress where task = 'scan'").fetchone()
        return None if row is None else int(row[0])

    def _declare_downtime(self) -> None:
        reached = self.buffer.progress().get("scan")
        if reached is not None:
            now = self.now_us()
            gap = Gap(GapCause.PROCESS_DOWN, reached.instant_us + 1, now)
            self.buffer.declare([gap], progress={"scan": Progress(now - 1, now - 1)})

    def _scan(self) -> None:
        if not self.producing:
            return
        instant = self.now_us()
        points = range(POINTS)
        block = SampleBlock.make(
            ValueType.F64, points, [instant] * POINTS, [instant % 1e6 + p for p in points]
        )
        poison = self.kernel.happens(0.01)
        payload = b"rubbish" if poison else columns.encode([block])
        self._attempted = instant
        self.buffer.append(
            Stream.DATA, Kind.DATA, payload, POINTS, instant, instant, compressed=True,
            progress={"scan": Progress(instant, instant)},
        )  # fmt: skip
        self._attempted = None
        (self.poison if poison else self.made).add(instant)

    def _state(self) -> None:
        if self.producing:
            self.buffer.state()

    # -- uplink ---------------------------------------------------------------------------------

    def _choose(self, index: int) -> None:
        self._index = index
        self._silent_since = self.kernel.now
        self.uplink = Uplink(self, self.group, "gateway", self.upstreams[index], self.buffer)
        self.uplink.on_event = self._on_event

    def _step(self) -> None:
        if self.uplink.sender.open:
            self._silent_since = self.kernel.now
        elif len(self.upstreams) > 1 and self.kernel.now - self._silent_since > 8.0:
            self.uplink.close()
            self._choose((self._index + 1) % len(self.upstreams))
        self.uplink.step()

    def _on_event(self, event: SenderEvent) -> None:
        buffer = self.buffer
        match event:
            case Ready(receiver):
                buffer.on_ready(receiver, live_first_us=10_000_000)
            case Stored(chain, next_):
                buffer.on_stored(chain, next_)
            case Receipted(receipt, signed):
                buffer.on_receipt(receipt, signed)
            case Refused(refusal, signed):
                buffer.on_refused(refusal, signed)
            case Forked(chain, seq):
                buffer.on_forked(chain, seq)
            case Behind(chain, wanted, oldest):
                buffer.on_behind(chain, wanted, oldest)


class Hub(ReceivingNode):
    """A hub with one upstream."""

    def __init__(self, kernel: Kernel, group: Group, name: str, *, trim: Mark) -> None:
        super().__init__(kernel, group, name)
        self.trim = trim
        self.disk = sqlite3.connect(":memory:", check_same_thread=False)

    def boot(self) -> None:
        self.store = HubStore(self.disk, trim=self.trim)
        self.receiver = Receiver(
            self.name, self.key, self.store, self.group.key_book(), any_start=True, runs=True
        )
        self.ingest = HubIngest(self.store, self.receiver, self.group.key_book().verifier)
        recent = Recent()
        self.store.listen(recent.add)
        outbox = UpstreamOutbox(self.store, "hq", self.disk, recent)
        self.uplink = Uplink(self, self.group, "hub", "hq", outbox)
        self.uplink.on_event = self._on_event
        self._stopped_at: float | None = None
        self.every(0.2, self._store)
        self.every(0.25, self._step)
        self.every(5.0, self._remind)

    def lost_memory(self) -> None:
        super().lost_memory()
        if hasattr(self, "uplink"):
            self.uplink.close()
        if self.disk.in_transaction:
            self.disk.execute("rollback")

    def lose_disk(self) -> None:
        """The disk burns; an empty one is put in."""
        self.die()
        self.disk = sqlite3.connect(":memory:", check_same_thread=False)

    def rot(self) -> None:
        """One stored payload changes on the disk."""
        row = self.disk.execute(
            "select id, payload from batches where length(payload) > 20 limit 1"
        ).fetchone()
        if row is not None:
            self.disk.execute("update batches set payload = ? where id = ?", (b"rotten" + row[1][6:], row[0]))
            self.die()

    def _store(self) -> None:
        self.ingest.commit(self.kernel.now)
        self.receiver.tick(self.kernel.now)
        self.store.trim()
        self.ingest.findings()
        self.flush()

    def _step(self) -> None:
        if self._stopped_at is not None and self.kernel.now - self._stopped_at > RETRY_STOPPED_S:
            self.uplink.close()
            self._stopped_at = None
        self.uplink.step()

    def _remind(self) -> None:
        self.ingest.remind()
        self.flush()

    def _on_event(self, event: SenderEvent) -> None:
        if stops_a_chain([event]) and self._stopped_at is None:
            self._stopped_at = self.kernel.now
        self.ingest.hear([News("hq", event)], self.kernel.now, self.kernel.wall_us)
        self.flush()


class Headquarters(ReceivingNode):
    """Headquarters over tables in memory."""

    def __init__(self, kernel: Kernel, group: Group, *, watermark: bool, hole_wait_s: float) -> None:
        super().__init__(kernel, group, "hq")
        self.tables = MemoryTables(watermark)
        self.archive = MemoryArchive()
        self.hole_wait_s = hole_wait_s
        self.copy: tuple[MemoryTables, MemoryArchive] | None = None
        self.backed_up: dict[Chain, int] = {}

    def boot(self) -> None:
        self.ingest = Ingest(self.tables, self.archive, lambda gateway: "site")
        self.ingest.recover(self.kernel.wall_us)
        self.marks = LakeMarks(self.tables)
        self.receiver = Receiver(
            "hq",
            self.key,
            self.marks,
            self.group.key_book(),
            any_start=False,
            custodian=lambda: self.kernel.wall_us,
        )
        self.every(0.5, self._commit)
        self.every(2.0, self._give_receipts_again)

    def take_copy(self) -> None:
        """A backup is made, and senders are told how far it goes."""
        if not self.up:
            return
        self.copy = copy.deepcopy((self.tables, self.archive))
        self.backed_up = dict(self.tables.samples.marks)
        for chain in self.backed_up:
            self._sign(chain, self.backed_up[chain] + 1, Mark.BACKED_UP)
        self.flush()

    def restore_copy(self) -> None:
        """The machine is lost and comes back from its backup."""
        if self.copy is not None:
            self.die()
            self.tables, self.archive = copy.deepcopy(self.copy)

    def _commit(self) -> None:
        taken = self.receiver.take(256, 1 << 22)
        if taken:
            cycle = self.ingest.prepare(taken, self.kernel.wall_us)
            self.ingest.commit(cycle)
            self.marks.committed(cycle)
            self.receiver.committed(
                [item for item in taken if item.chain not in cycle.forked], self.kernel.now
            )
            for refused in cycle.refused:
                item = refused.accepted
                head = self.marks.header_hash(item.chain, item.header.seq) or b""
                self.receiver.refuse(item.chain, item.header.seq, head, refused.reason, refused.text)
            for chain in {item.chain for item in taken}:
                self._give_receipt(chain)
        self.receiver.tick(self.kernel.now)
        for chain, (_, _, since) in self.receiver.holes().items():
            if self.kernel.now - since > self.hole_wait_s:
                self.receiver.accept_hole(chain)
        self.flush()

    def _give_receipts_again(self) -> None:
        for chain in self.marks.asked():
            self._give_receipt(chain)
            if chain in self.backed_up:
                self._sign(chain, self.backed_up[chain] + 1, Mark.BACKED_UP)
        self.flush()

    def _give_receipt(self, chain: Chain) -> None:
        mark = self.marks.mark(chain)
        if mark is not None:
            self._sign(chain, mark[0], Mark.HEADQUARTERS)

    def _sign(self, chain: Chain, next_: int, mark: Mark) -> None:
        head = self.marks.header_hash(chain, next_ - 1)
        if head is not None:
            receipt = Receipt(chain, next_, head, mark, self.kernel.wall_us)
            self.receiver.custody(receipt, sign_record(receipt, self.key))
