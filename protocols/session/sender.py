"""The sending side of a link: what to offer, what to send next, what to believe.

The owner (a link on a socket, or a simulation) calls, in any order:

* `start(now)` for each new connection, `tick(now)` now and then,
* `receive(frames, now)` for each message that came,
* `offer(...)` whenever its outbox holds something new,
* `wanted()` to learn what to read from the outbox, and `supply(...)` with what it read,
* `outgoing()` for the messages to send.

Order of sending: events before point tables before data; the newest epoch of a stream
before those that drain behind it; gateways in turn.

A fork is found here: the receiver names the hash of its last header, and when ours at
that place differs we search for the first sequence that differs. Because headers are
hash-linked, equality at a sequence means equality at all before it, so a bisection does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import ClassVar

from protocols import limits
from protocols.batch import Batch, Chain, Header, Verifier, header_hash
from protocols.errors import PeerError
from protocols.records import Receipt, Refusal, RefusalReason, open_record
from protocols.session import messages
from protocols.session.course import STALLED_S, Course
from protocols.session.events import (
    Behind,
    Disconnected,
    Forked,
    Ready,
    Receipted,
    Refused,
    SenderEvent,
    Stored,
    Wanted,
)
from protocols.session.messages import Frames, Offer
from protocols.session.turns import Pace, Turns, Window

KEEPALIVE_S = 5.0
"""A session that sends nothing says so this often, so that receipts keep coming."""

ANSWER_TIMEOUT_S = 15.0
"""Without any answer for this long the connection is given up: three keepalives."""

READ_BATCHES_MAX = 32
"""Batches read from the outbox at a time: enough to keep the window full."""

READ_BYTES_MAX = 4 << 20
"""The same in bytes: bounds what is read ahead of the socket."""


class _State(Enum):
    CLOSED = 0
    GREETING = 1
    OPEN = 2


class Sender:
    """One session's sending side; see the module's docstring.

    Args:
        node: Our name.
        role: `gateway` or `hub`.
        headquarters: Checks receipts, and refusals of headquarters passed down.
        receiver: Checks refusals of the direct peer.
        owns_chains: True at a gateway, which alone extends its chains: a receiver that is
            ahead of us then means that we were restored from an old image. A hub may
            well find a receiver ahead, because another hub delivered.
        answer_timeout_s: Without any answer for this long the connection is given up.
        life: Drawn once in each life of the process.
        backlog_bytes_per_s: Most that chains which are no longer the newest of their
            stream may send; `None` for no bound.
    """

    def __init__(
        self,
        node: str,
        role: str,
        *,
        headquarters: Verifier,
        receiver: Verifier,
        owns_chains: bool,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        backlog_bytes_per_s: int | None = None,
        life: bytes = messages.NO_LIFE,
    ) -> None:
        self._node = node
        self._role = role
        self._life = life
        self._headquarters = headquarters
        self._receiver = receiver
        self._owns_chains = owns_chains
        self._answer_timeout_s = answer_timeout_s
        self._keepalive_s = min(KEEPALIVE_S, answer_timeout_s / 3)
        self._pace = Pace(backlog_bytes_per_s)
        self._state = _State.CLOSED
        self._chains: dict[Chain, Course] = {}
        self._turns = Turns()
        self._window = Window()
        self._out: list[Frames] = []
        self._heard = 0.0
        self._spoke = 0.0
        self._looked = 0.0
        self.malformed = 0
        """Messages from the receiver that were not understood or not truly signed."""

    @property
    def open(self) -> bool:
        """Whether the session is open."""
        return self._state is _State.OPEN

    # -- called by the owner -----------------------------------------------------------

    def start(self, now: float) -> None:
        """Greet over a new connection; what was known of the old one is forgotten."""
        self._state = _State.GREETING
        self._chains.clear()
        self._turns = Turns()
        self._window = Window()
        self._out = [messages.hello(self._node, self._role, self._life)]
        self._heard = self._spoke = self._looked = now

    def tick(self, now: float) -> list[SenderEvent]:
        """Keep the session alive, or give it up when the receiver has been silent for too long."""
        if self._state is _State.CLOSED:
            return []
        if now - self._heard > self._answer_timeout_s:
            return self._give_up(f"no answer for {self._answer_timeout_s:.0f} s")
        self._pace.refill(now)
        if self.open and now - self._looked >= STALLED_S:
            self._looked = now
            self._offer_stalled(now)
        if self.open and now - self._spoke >= self._keepalive_s:
            self._out.append(messages.alive())
            self._spoke = now
        return []

    def offer(self, offers: Iterable[Offer], now: float) -> list[SenderEvent]:
        """Tell what the outbox holds; only what is new or changed is sent on."""
        if not self.open:
            return []
        events: list[SenderEvent] = []
        news = []
        for offer in offers:
            state = self._chains.get(offer.chain)
            if state is not None and offer.next < state.offer.next:
                self._stop(offer.chain, state)  # its owner cut it back: ask the receiver anew
                state = None
            if state is None:
                self._chains[offer.chain] = Course(offer, since=now)
                self._turns.meet(offer.chain)
                news.append(offer)
            elif state.offer != offer:
                if offer.oldest > state.offer.oldest:
                    state.since = now
                grown, state.offer = offer.next > state.offer.next, offer
                if grown and state.answered and offer.next <= state.sent and not state.searching:
                    events += self._suspect(offer.chain, state, offer.next)
                self._schedule(offer.chain, state)
        if news:
            self._out.extend(messages.offers(news))
            self._spoke = now
        return events

    def wanted(self) -> Wanted | None:
        """What to read next, or `None` when there is nothing to send or no credit for it."""
        if not self.open:
            return None
        room = self._window.room()
        if room is None:
            return None
        for chain in self._turns:
            state = self._chains[chain]
            if not state.pending:
                self._turns.skip(chain)
            elif state.searching:
                return Wanted(chain, state.question(), 1, 1)
            else:
                return self._wanted_of(chain, state, *room)
        return None

    def _wanted_of(self, chain: Chain, state: Course, room_batches: int, room_bytes: int) -> Wanted | None:
        count = min(room_batches, READ_BATCHES_MAX, state.offer.next - state.sent)
        most = min(room_bytes, READ_BYTES_MAX)
        if self._turns.drains(chain):
            if self._pace.spent:
                return None
            most = self._pace.at_most(most)
        return Wanted(chain, state.sent, count, max(2, most))  # 1 would ask for a header only

    def supply(self, wanted: Wanted, batches: Sequence[Batch], now: float) -> list[SenderEvent]:
        """Take what the outbox gave for `wanted`; an empty answer pauses the chain until a new offer."""
        state = self._chains.get(wanted.chain)
        if state is None or not state.pending:
            return []
        if not batches:
            self._turns.skip(wanted.chain)
            return []
        if state.searching:
            state.asked, state.probe = wanted.seq, -1
            self._out.append(messages.query(wanted.chain, wanted.seq, header_hash(batches[0].header)))
            return []
        if wanted.seq != state.sent:
            return []
        head, state.head = state.head, b""
        if head and Header.parse(batches[0].header).previous != head:
            return self._suspect(wanted.chain, state, state.sent)
        if not state.flight:
            state.since = now
        for batch in batches:
            self._out.append(messages.batch(batch))
            self._window.sent(state, batch.size)
        if self._turns.drains(wanted.chain):
            self._pace.spend(sum(batch.size for batch in batches))
        self._spoke = now
        self._turns.served(wanted.chain)
        return []

    def outgoing(self) -> list[Frames]:
        """The messages to send now, in order; each is given once."""
        out, self._out = self._out, []
        return out

    def receive(self, frames: Frames, now: float) -> list[SenderEvent]:
        """Take one message from the receiver; what is malformed or not truly signed is counted."""
        if self._state is _State.CLOSED or not frames:
            return []
        self._heard = now
        handler = self._HANDLERS.get(frames[0])
        if handler is None:
            self.malformed += 1
            return []
        try:
            return handler(self, frames, now)
        except PeerError:
            self.malformed += 1
            return []

    # -- one method a message ------------------------------------------------------------

    def _on_welcome(self, frames: Frames, now: float) -> list[SenderEvent]:
        version, receiver, credit_batches, credit_bytes = messages.parse_welcome(frames)
        if version not in messages.VERSIONS:
            return self._give_up(f"{receiver} speaks no version of the link that we do: {messages.VERSIONS}")
        if self._state is not _State.GREETING:
            return []
        self._state = _State.OPEN
        self._window.grant(credit_batches, credit_bytes)
        return [Ready(receiver)]

    def _on_marks(self, frames: Frames, now: float) -> list[SenderEvent]:
        events: list[SenderEvent] = []
        for mark in messages.parse_marks(frames):
            state = self._chains.get(mark.chain)
            if state is not None:
                self._window.lost(state, mark.next)
                state.since = now
                state.answered, state.stopped, state.waiting = True, False, False
                state.end_search()
                if mark.next < state.offer.oldest and mark.oldest != state.offer.oldest:
                    self._ask(state, now)  # it answered an offer that receipts have overtaken
                else:
                    events += self._go_on(mark.chain, state, mark.next, mark.head)
        return events

    def _on_ack(self, frames: Frames, now: float) -> list[SenderEvent]:
        marks, *credit = messages.parse_ack(frames)
        self._window.grant(*credit)
        events: list[SenderEvent] = []
        for chain, next_ in marks:
            state = self._chains.get(chain)
            if state is None or not state.answered or next_ <= state.acked:
                continue
            if next_ > state.offer.next and self._owns_chains:
                continue  # only MARKS may tell us that we fell behind; it carries the head to prove it
            state.acked, state.since = next_, now
            self._window.landed(state, next_)
            if next_ > state.sent:
                state.sent, state.head = next_, b""
            events.append(Stored(chain, min(next_, state.offer.next)))
            self._schedule(chain, state)
        return events

    def _on_rewind(self, frames: Frames, now: float) -> list[SenderEvent]:
        chain, next_ = messages.parse_rewind(frames)
        state = self._chains.get(chain)
        if state is None or not state.answered or state.searching or state.stopped:
            return []
        self._window.lost(state, next_)
        state.since, state.waiting = now, False
        if next_ < state.offer.oldest:
            self._ask(state, now)  # receipts may have overtaken it; only an answer to an offer is sure
            return []
        return self._go_on(chain, state, next_, b"")

    def _on_answer(self, frames: Frames, now: float) -> list[SenderEvent]:
        chain, seq, verdict = messages.parse_answer(frames)
        state = self._chains.get(chain)
        if state is None or not state.searching or seq != state.asked:
            return []
        state.asked, state.since = -1, now
        if verdict == messages.BEYOND:
            state.end_search()
            self._ask(state, now)  # the receiver has lost something since it answered our offer
            return []
        state.narrow(seq, verdict == messages.EQUAL)
        return self._search_on(chain, state)

    def _on_receipt(self, frames: Frames, now: float) -> list[SenderEvent]:
        signed = messages.signed_part(frames)
        return [Receipted(open_record(Receipt, signed, self._headquarters), signed)]

    def _on_refusal(self, frames: Frames, now: float) -> list[SenderEvent]:
        signed = messages.signed_part(frames)
        try:
            refusal = open_record(Refusal, signed, self._receiver)
        except PeerError:
            refusal = open_record(Refusal, signed, self._headquarters)
        state = self._chains.get(refusal.chain)
        if refusal.reason is RefusalReason.CHAIN and state is not None and not state.stopped:
            return self._suspect(refusal.chain, state, refusal.seq)
        if refusal.reason is not RefusalReason.PAYLOAD and state is not None:
            self._stop(refusal.chain, state)
        return [Refused(refusal, signed)]

    def _on_unknown(self, frames: Frames, now: float) -> list[SenderEvent]:
        return self._give_up("the receiver knows no session with us") if self.open else []

    _HANDLERS: ClassVar = {
        messages.WELCOME: _on_welcome,
        messages.MARKS: _on_marks,
        messages.ACK: _on_ack,
        messages.REWIND: _on_rewind,
        messages.ANSWER: _on_answer,
        messages.RECEIPT: _on_receipt,
        messages.REFUSAL: _on_refusal,
        messages.UNKNOWN: _on_unknown,
    }

    # -- where to go on --------------------------------------------------------------------

    def _go_on(self, chain: Chain, state: Course, next_: int, head: bytes) -> list[SenderEvent]:
        """The receiver wants `next_`, after a header with hash `head` (empty: not known)."""
        offer = state.offer
        if next_ > offer.next:
            return self._overtaken(chain, state, next_, head)
        if next_ < offer.oldest:
            state.waiting = True
            return [Behind(chain, next_, offer.oldest)]
        if next_ == offer.next and next_ > 0 and head and offer.head and head != offer.head:
            return self._suspect(chain, state, next_)
        state.acked = 0
        state.sent = next_
        state.head = head if 0 < next_ < offer.next else b""
        self._schedule(chain, state)
        return []

    def _overtaken(self, chain: Chain, state: Course, next_: int, head: bytes) -> list[SenderEvent]:
        """The receiver is ahead of us: fine at a hub if another one delivered the same, else a fork."""
        state.sent, state.head = next_, head
        if not self._owns_chains and state.offer.oldest == state.offer.next:
            return []
        return self._suspect(chain, state, state.offer.next)

    def _ask(self, state: Course, now: float) -> None:
        """Offer a chain again, because what the receiver said of it does not hold any more."""
        state.answered, state.since = False, now
        self._out.extend(messages.offers([state.offer]))

    def _offer_stalled(self, now: float) -> None:
        """Offer again what has waited too long for its answer; the receiver says where it stands."""
        stalled = [state for state in self._chains.values() if state.stalled(now)]
        for state in stalled:
            state.since = now
        self._out.extend(messages.offers(state.offer for state in stalled))

    def _suspect(self, chain: Chain, state: Course, end: int) -> list[SenderEvent]:
        """Headers differ somewhere below `end`, or the receiver has more than we: find out where."""
        self._window.lost(state, 0)
        state.search(end)
        return self._search_on(chain, state)

    def _search_on(self, chain: Chain, state: Course) -> list[SenderEvent]:
        seq = state.found()
        if seq is None:
            self._schedule(chain, state)
            return []
        if seq == state.end and not self._owns_chains:
            return self._equal_so_far(chain, state)
        self._stop(chain, state)
        return [Forked(chain, seq)]

    def _equal_so_far(self, chain: Chain, state: Course) -> list[SenderEvent]:
        """All that was held when the search began is equal: another hub delivered that, and perhaps more."""
        if state.end < min(state.offer.next, state.sent):
            return self._suspect(chain, state, min(state.offer.next, state.sent))  # more has come since
        self._schedule(chain, state)
        return []

    def _stop(self, chain: Chain, state: Course) -> None:
        """Send no more of this chain in this session; the owner decides what becomes of it."""
        self._window.lost(state, 0)
        state.stopped = True
        self._turns.skip(chain)

    def _give_up(self, why: str) -> list[SenderEvent]:
        self._state = _State.CLOSED
        self._out = []
        return [Disconnected(why)]

    def _schedule(self, chain: Chain, state: Course) -> None:
        if state.pending:
            self._turns.add(chain)


assert READ_BATCHES_MAX <= limits.CREDIT_BATCHES_MAX
