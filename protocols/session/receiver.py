"""The receiving side of a link: verify, stage, acknowledge, refuse.

The owner (a hub, headquarters, or a simulation) calls:

* `receive(peer, node, frames, now)` for each message; `node` is what the link's key proved,
* `take(...)` for what was verified and staged, and after storing it `committed(...)`,
  or `abandoned(...)` when storing failed,
* `custody(...)` with receipts for the gateways, `outgoing()` for the messages to send.

A batch passes these gates in order: its header parses; the session may speak for its
gateway; its sequence is the next of its chain; it carries the hash of the header before;
the key it names belongs to that gateway; signature and payload hash hold. Only what
passed is handed to the owner, and only what is committed is acknowledged.

At a hub the signature's gate is at `take`, where one proves a whole run: see `runs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar, NamedTuple

from protocols import limits
from protocols.batch import (
    Batch,
    Chain,
    Header,
    Signer,
    Verifier,
    check_payload,
    check_signature,
    header_hash,
)
from protocols.errors import IntegrityError, PeerError
from protocols.records import Mark as Custody
from protocols.records import Receipt, Refusal, RefusalReason, sign_record
from protocols.session import messages
from protocols.session.findings import Finding, Noticed
from protocols.session.messages import Accepted, Frames, Mark, Marks, Offer
from protocols.session.peers import Peers, Session
from protocols.session.runs import Fault, first_faults
from protocols.session.staging import Position, Staging

REWIND_EVERY_S = 0.3
"""A rewind is asked for at most this often a chain: the window may hold many late batches."""

RECEIPTS_KEPT = 3
"""Receipts kept for a chain and mark: one for all we hold, and those of another branch or beyond it."""


class KeyBook(NamedTuple):
    """How a receiver finds keys.

    Args:
        verifier: From a key id to the key that checks signatures, or `None`.
        owner: From a key id to the gateway's name that this key may sign for, or `None`.
    """

    verifier: Callable[[bytes], Verifier | None]
    owner: Callable[[bytes], str | None]


class Receiver:
    """All sessions of one receiving node; see the module's docstring.

    Args:
        node: Our name.
        signer: Signs refusals.
        marks: What is durable here.
        keys: Whom signatures may belong to.
        any_start: True at a hub, which takes a chain it never saw from where it is
            offered; headquarters must have every chain from its first batch.
        runs: True at a hub: the signature of the last of a run of batches is looked at, not each.
        custodian: At headquarters the wall clock in microseconds: a sender that offers less
            of a chain than is durable here gets a receipt for just that, if the heads agree.
        credit_batches: Unacknowledged batches granted to a session.
        budget_bytes: Unacknowledged bytes granted to all sessions together.
    """

    def __init__(
        self,
        node: str,
        signer: Signer,
        marks: Marks,
        keys: KeyBook,
        *,
        any_start: bool,
        runs: bool = False,
        custodian: Callable[[], int] | None = None,
        credit_batches: int = 512,
        budget_bytes: int = 256 << 20,
    ) -> None:
        assert 0 < credit_batches <= limits.CREDIT_BATCHES_MAX
        self._node = node
        self._signer = signer
        self._marks = marks
        self._keys = keys
        self._any_start = any_start
        self._runs = runs
        self._doubted: set[Chain] = set()
        self._custodian = custodian
        self._peers = Peers(credit_batches, budget_bytes)
        self._staging = Staging(marks)
        self._rewound: dict[Chain, tuple[int, float]] = {}
        self._receipts: dict[tuple[Chain, Custody], dict[int, bytes]] = {}
        self._holes: dict[Chain, tuple[int, int, float]] = {}
        self._out: list[tuple[bytes, Frames]] = []
        self._noticed: list[Noticed] = []
        self.duplicates = 0
        """Batches that were below the mark and equal to what is held."""

    # -- called by the owner ---------------------------------------------------------------

    def receive(self, peer: bytes, node: str, role: str, frames: Frames, now: float) -> None:
        """Take one message.

        Args:
            peer: Which connection it came over.
            node: The node whose link key that connection proved.
            role: That node's role by the allow-list.
            frames: The message.
            now: Seconds on the monotonic clock.
        """
        if not frames or len(frames) > limits.FRAMES_MAX:
            return
        try:
            if frames[0] == messages.HELLO:
                self._on_hello(peer, node, role, frames, now)
                return
            session = self._peers.get(peer)
            if session is None:
                self._out.append((peer, messages.unknown()))
                return
            session.heard = now
            handler = self._HANDLERS.get(frames[0])
            if handler is not None:
                handler(self, session, frames, now)
        except PeerError as error:
            self._noticed.append(Noticed(Finding.MALFORMED, node, None, str(error)))

    def take(self, batches_max: int, bytes_max: int) -> list[Accepted]:
        """What is staged and not yet taken, verified and in order.

        At least one if anything is staged, but for what `runs` finds wrong here.
        """
        taken = self._staging.take(batches_max, bytes_max)
        if not self._runs:
            return taken
        ends: dict[Chain, int] = {}
        for fault in first_faults(taken, self._keys.verifier, self._doubted):
            ends[fault.item.chain] = fault.item.header.seq
            self._take_back(fault)
        return [item for item in taken if item.chain not in ends or item.header.seq < ends[item.chain]]

    @property
    def staged(self) -> int:
        """Batches staged and not yet taken."""
        return len(self._staging)

    def committed(self, accepted: Iterable[Accepted], now: float) -> None:
        """What was taken is durable: acknowledge it to everyone who has those chains open."""
        marks: dict[Chain, int] = {}
        for item in accepted:
            marks[item.chain] = max(marks.get(item.chain, 0), item.header.seq + 1)
            self._peers.release(self._staging.committed(item), item.batch.size)
        self._acknowledge(marks)

    def abandoned(self, now: float) -> None:
        """A commit failed: forget all that is staged and have it sent again."""
        for session in self._peers:
            session.staged_bytes = 0
        for chain in self._staging.abandon():
            self._rewind_all(chain)

    def reload(self, chain: Chain) -> None:
        """The owner changed what is durable of a chain: read the mark anew and ask for what follows it."""
        self._staging.forget(chain)
        if self._staging.position(chain) is not None:
            self._rewind_all(chain)
            return
        for session in self._peers.having(chain):  # nothing is left of it: let them offer it anew
            self._out.append((session.peer, messages.unknown()))
            self._peers.end(session.peer)

    def doubt(self, chain: Chain) -> None:
        """Look at each signature of a chain from now on: one in a run turned out wrong."""
        self._doubted.add(chain)

    def custody(self, receipt: Receipt, signed: bytes) -> None:
        """Pass a receipt down, now and to sessions that open the chain later."""
        kept = self._receipts.setdefault((receipt.chain, receipt.mark), {})
        kept.pop(receipt.next, None)
        kept[receipt.next] = signed
        if len(kept) > RECEIPTS_KEPT:
            del kept[next(iter(kept))]
        self._tell(receipt.chain, messages.receipt(signed))

    def refuse(self, chain: Chain, seq: int, head: bytes, reason: RefusalReason, text: str) -> bytes:
        """Refuse one batch with our signature; returns the signed refusal, as it went down."""
        signed = sign_record(Refusal(chain, seq, head, reason, text[:200], self._node), self._signer)
        self.pass_refusal(chain, signed)
        self._noticed.append(
            Noticed(Finding.REFUSED, chain.gateway, chain, f"{seq}: {reason.name}: {text[:200]}")
        )
        return signed

    def pass_refusal(self, chain: Chain, signed: bytes) -> None:
        """Pass a refusal that someone above us signed."""
        self._tell(chain, messages.refusal(signed))

    def holes(self) -> dict[Chain, tuple[int, int, float]]:
        """Chains that are offered only beyond our mark: (our next, oldest offered, since when)."""
        return dict(self._holes)

    def accept_hole(self, chain: Chain) -> None:
        """Give up what is missing of a chain and go on at the oldest batch that is offered."""
        missing_from, oldest, _ = self._holes.pop(chain)
        position = self._staging.position(chain)
        if position is not None and position.hole_from is not None:
            missing_from = position.hole_from  # it grew before anything came behind it
        self._staging.move(chain, Position(oldest, b"", missing_from, tentative=True))
        self._rewind_all(chain)

    def pause(self, paused: bool) -> None:
        """Grant no credit while the store has no room; what is under way is still taken."""
        if paused != self._peers.paused:
            self._peers.paused = paused
            for session in self._peers:
                self._out.append((session.peer, messages.ack([], *self._peers.credit())))

    def tick(self, now: float) -> None:
        """Forget sessions whose peers have been silent for too long, and what only they needed."""
        self._peers.end_idle(now)
        self._staging.prune(self._peers.is_open)
        if len(self._rewound) > limits.POSITIONS_MAX:
            self._rewound.clear()
        if len(self._doubted) > limits.POSITIONS_MAX:
            self._doubted = {chain for chain in self._doubted if self._peers.is_open(chain)}

    def outgoing(self) -> list[tuple[bytes, Frames]]:
        """The (peer, message) pairs to send now, in order; each is given once."""
        out, self._out = self._out, []
        return out

    def noticed(self) -> list[Noticed]:
        """Findings since the last call."""
        noticed, self._noticed = self._noticed, []
        return noticed

    def sessions(self) -> dict[str, float]:
        """Every node with a session and when it was last heard (monotonic seconds)."""
        return {session.node: session.heard for session in self._peers}

    # -- one method a message ------------------------------------------------------------------

    def _on_hello(self, peer: bytes, node: str, role: str, frames: Frames, now: float) -> None:
        versions, *claimed, life = messages.parse_hello(frames)
        if claimed != [node, role]:
            raise IntegrityError(f"the link key is that of {role} {node!r}, the hello says {claimed!r}")
        common = max(set(versions) & set(messages.VERSIONS), default=0)
        if not common:
            self._out.append((peer, messages.welcome(0, self._node, 0, 0)))
            return
        if self._runs:  # whoever had a session as this node before may have left what is not its own
            for fault in first_faults(self._staging.of(node), self._keys.verifier, self._doubted):
                self._take_back(fault)
        _, suspicion = self._peers.begin(peer, node, role, life, now)
        if suspicion is not None:
            self._noticed.append(Noticed(Finding.CLONE, node, None, suspicion, proven=True))
        self._out.append((peer, messages.welcome(common, self._node, *self._peers.credit())))

    def _on_offers(self, session: Session, frames: Frames, now: float) -> None:
        answers = []
        offers = messages.parse_offers(frames)
        for offer in offers:
            self._peers.open(session, offer.chain)
            answers.append(self._answer_offer(session, offer, now))
        for frames_ in messages.marks(answers):
            self._out.append((session.peer, frames_))
        durable = [
            (mark.chain, held[0]) for mark in answers if (held := self._marks.mark(mark.chain)) is not None
        ]
        if durable:
            self._out.append((session.peer, messages.ack(durable, *self._peers.credit())))
        for mark in answers:
            for custody in (Custody.HEADQUARTERS, Custody.BACKED_UP):
                for signed in self._receipts.get((mark.chain, custody), {}).values():
                    self._out.append((session.peer, messages.receipt(signed)))
        for offer in offers:
            self._confirm(session, offer)

    def _confirm(self, session: Session, offer: Offer) -> None:
        """Sign for exactly what a sender holds, when a receipt for all we hold would tell it nothing."""
        durable = self._marks.mark(offer.chain)
        if self._custodian is None or durable is None or not offer.oldest < offer.next < durable[0]:
            return
        if self._marks.header_hash(offer.chain, offer.next - 1) == offer.head:
            receipt = Receipt(offer.chain, offer.next, offer.head, Custody.HEADQUARTERS, self._custodian())
            self._out.append((session.peer, messages.receipt(sign_record(receipt, self._signer))))

    def _answer_offer(self, session: Session, offer: Offer, now: float) -> Mark:
        position = self._staging.position(offer.chain)
        if self._any_start:
            position = self._staging.move(offer.chain, self._start(session, offer, position))
        elif position is None:
            position = Position(0, b"")
        elif self._grows(session, offer, position):
            position = self._staging.move(offer.chain, replace(position, next=offer.oldest))
        if offer.oldest > position.next and session.node != offer.chain.gateway:
            since = self._holes.get(offer.chain, (0, 0, now))[2]
            self._holes[offer.chain] = (position.next, offer.oldest, since)
            detail = f"expected {position.next}, oldest offered {offer.oldest}"
            self._noticed.append(Noticed(Finding.HOLE, session.node, offer.chain, detail))
        elif offer.chain in self._holes:
            del self._holes[offer.chain]
        return Mark(offer.chain, position.next, position.head, offer.oldest)

    def _grows(self, session: Session, offer: Offer, position: Position) -> bool:
        """Whether a hole that was accepted has grown before anything came behind it.

        Its sender lets go of batches all the while, because somebody else has them: who waits again
        each time never catches up. Where another sender may have them still, it is waited for.
        """
        others = (other for other in self._peers.having(offer.chain) if other is not session)
        return (
            position.tentative
            and position.hole_from is not None
            and position.next < offer.oldest
            and not any(others)
        )

    def _start(self, session: Session, offer: Offer, position: Position | None) -> Position:
        """Where a hub goes on: what the chain's own gateway no longer holds, it will not get.

        The gateway let go of it because headquarters signed for it, so the hole is one in
        this hub's copy only.
        """
        if position is None:
            return Position(offer.oldest, b"", None, tentative=True)
        if position.tentative:
            return Position(offer.oldest, b"", position.hole_from, tentative=True)
        if offer.oldest > position.next and session.node == offer.chain.gateway:
            return Position(offer.oldest, b"", position.next, tentative=True)
        return position

    def _on_batch(self, session: Session, frames: Frames, now: float) -> None:
        batch = messages.parse_batch(frames)
        header = Header.parse(batch.header)
        chain, seq = header.chain, header.seq
        session.check_right(chain)
        if chain not in session.chains:
            raise IntegrityError(f"expected an offer of {chain} before its batches")
        position = self._staging.position(chain)
        if position is None:
            position = self._staging.move(chain, Position(0, b""))
        if seq > position.next:
            self._rewind(session, chain, position.next, now)
        elif seq < position.next:
            self._on_old_batch(session, chain, seq, batch, now)
        elif session.staged_bytes + batch.size > 2 * limits.CREDIT_BYTES_MAX:
            raise IntegrityError(f"{session.node} sends far beyond its credit")
        else:
            self._stage(session, header, batch, position)

    def _stage(self, session: Session, header: Header, batch: Batch, position: Position) -> None:
        chain, seq = header.chain, header.seq
        if (position.head and header.previous != position.head) or (
            seq == 0 and header.previous != bytes(32)
        ):
            self._refuse_to(
                session, chain, seq, batch, RefusalReason.CHAIN, "not linked to the header before it"
            )
            return
        verifier = self._keys.verifier(header.key_id)
        if verifier is None or self._keys.owner(header.key_id) != chain.gateway:
            text = f"key {header.key_id.hex()} is not allowed for {chain.gateway}"
            self._refuse_to(session, chain, seq, batch, RefusalReason.KEY, text)
            return
        try:
            check_payload(header, batch)
        except IntegrityError as error:
            self._refuse_to(session, chain, seq, batch, RefusalReason.HASH, str(error))
            return
        if not self._runs or session.node != chain.gateway:
            try:
                check_signature(batch, verifier)
            except IntegrityError as error:
                self._refuse_to(session, chain, seq, batch, RefusalReason.SIGNATURE, str(error))
                return
        self._staging.stage(Accepted(chain, header, batch, position.hole_from), session.peer)
        session.staged_bytes += batch.size

    def _take_back(self, fault: Fault) -> None:
        """Refuse a batch whose signature turned out wrong, and have its chain sent from there again."""
        item = fault.item
        dropped = self._staging.drop(item)
        for accepted, peer in dropped:
            self._peers.release(peer, accepted.batch.size)
        session = self._peers.get(dropped[0][1])
        if session is not None:
            seq = item.header.seq
            self._refuse_to(session, item.chain, seq, item.batch, fault.reason, fault.text)
        self._rewind_all(item.chain)

    def _on_old_batch(self, session: Session, chain: Chain, seq: int, batch: Batch, now: float) -> None:
        if self._staging.verdict(chain, seq, header_hash(batch.header)) == messages.DIFFERENT:
            detail = f"sequence {seq} is held with another header"
            proven = self._is_proven(session, chain, batch)
            self._noticed.append(Noticed(Finding.FORK, chain.gateway, chain, detail, proven))
            self._refuse_to(session, chain, seq, batch, RefusalReason.CHAIN, detail)
            return
        self.duplicates += 1
        durable = self._marks.mark(chain)
        if durable is not None and durable[0] > seq:
            self._out.append((session.peer, messages.ack([(chain, durable[0])], *self._peers.credit())))

    def _is_proven(self, session: Session, chain: Chain, batch: Batch) -> bool:
        """Whether a header that differs is the gateway's own word, and not that of whoever relays."""
        if session.node == chain.gateway:
            return True
        try:
            key_id = Header.parse(batch.header).key_id
            verifier = self._keys.verifier(key_id)
            if verifier is None or self._keys.owner(key_id) != chain.gateway:
                return False
            check_signature(batch, verifier)
        except PeerError:
            return False
        return True

    def _on_query(self, session: Session, frames: Frames, now: float) -> None:
        chain, seq, head = messages.parse_query(frames)
        session.check_right(chain)
        verdict = self._staging.verdict(chain, seq, head)
        if verdict == messages.DIFFERENT:
            proven = session.node == chain.gateway
            detail = f"sequence {seq} differs"
            self._noticed.append(Noticed(Finding.FORK, chain.gateway, chain, detail, proven))
        self._out.append((session.peer, messages.answer(chain, seq, verdict)))

    def _on_alive(self, session: Session, frames: Frames, now: float) -> None:
        self._out.append((session.peer, messages.ack([], *self._peers.credit())))

    _HANDLERS: ClassVar = {
        messages.OFFER: _on_offers,
        messages.BATCH: _on_batch,
        messages.QUERY: _on_query,
        messages.ALIVE: _on_alive,
    }

    # -- leaves ----------------------------------------------------------------------------------

    def _tell(self, chain: Chain, frames: Frames) -> None:
        for session in self._peers.having(chain):
            self._out.append((session.peer, frames))

    def _refuse_to(
        self, session: Session, chain: Chain, seq: int, batch: Batch, reason: RefusalReason, text: str
    ) -> None:
        refusal = Refusal(chain, seq, header_hash(batch.header), reason, text[:200], self._node)
        self._out.append((session.peer, messages.refusal(sign_record(refusal, self._signer))))
        self._noticed.append(
            Noticed(Finding.REFUSED, session.node, chain, f"{seq}: {reason.name}: {text[:200]}")
        )

    def _rewind(self, session: Session, chain: Chain, next_: int, now: float) -> None:
        last_next, last_time = self._rewound.get(chain, (-1, 0.0))
        if last_next == next_ and now - last_time < REWIND_EVERY_S:
            return
        self._rewound[chain] = (next_, now)
        self._out.append((session.peer, messages.rewind(chain, next_)))

    def _rewind_all(self, chain: Chain) -> None:
        position = self._staging.position(chain)
        assert position is not None
        self._tell(chain, messages.rewind(chain, position.next))

    def _acknowledge(self, marks: dict[Chain, int]) -> None:
        by_peer: dict[bytes, list[tuple[Chain, int]]] = {}
        for chain, next_ in marks.items():
            for session in self._peers.having(chain):
                by_peer.setdefault(session.peer, []).append((chain, next_))
        for peer, items in by_peer.items():
            self._out.append((peer, messages.ack(items, *self._peers.credit())))
