"""Who has a session at a receiver, with which chains open, and how much each may send."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from protocols import limits
from protocols.batch import Chain
from protocols.errors import IntegrityError

SESSION_IDLE_S = 60.0
"""A peer silent for this long has no session any more: twelve keepalives."""

SESSION_CREDIT_BYTES_MIN = 1 << 20
"""However many peers there are, each may have this much under way."""

RETURNS_MAX = 3
"""So many returns of lives that another one had replaced, within `RETURN_S`, mean two live processes. One
process that is restarted has a new life each time. A greeting of a dead one that is late, on a satellite
link, returns once and makes the living one return once."""

RETURN_S = 600.0
"""The window for `RETURNS_MAX`: two senders that take a session from each other do so within seconds."""

LIVES_KEPT = 32
"""Lives of one node that are remembered."""


@dataclass(slots=True)
class Session:
    """One peer's session.

    Args:
        peer: The connection.
        node: The node that its link key proved.
        role: That node's role.
        heard: When it last said something.
        chains: What it has open.
        staged_bytes: What it sent and is not committed.
    """

    peer: bytes
    node: str
    role: str
    heard: float
    chains: dict[Chain, None] = field(default_factory=dict)
    staged_bytes: int = 0

    def check_right(self, chain: Chain) -> None:
        """A gateway speaks for itself; a hub relays for anyone, whose own signature is checked.

        Raises:
            IntegrityError: It may not speak for this chain.
        """
        if self.role == "gateway" and chain.gateway != self.node:
            raise IntegrityError(f"gateway {self.node!r} speaks for {chain.gateway!r}")


class Peers:
    """All sessions of a receiver.

    Args:
        credit_batches: Unacknowledged batches granted to a session.
        budget_bytes: Unacknowledged bytes granted to all sessions together.
    """

    def __init__(self, credit_batches: int, budget_bytes: int) -> None:
        self._credit_batches = credit_batches
        self._budget_bytes = budget_bytes
        self._sessions: dict[bytes, Session] = {}
        self._peer_of: dict[str, bytes] = {}
        self._open: dict[Chain, dict[bytes, None]] = {}
        self._lives: dict[str, deque[bytes]] = {}
        self._returns: dict[str, deque[float]] = {}
        self.paused = False
        """Whether no credit is granted."""

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def get(self, peer: bytes) -> Session | None:
        """The session over a connection."""
        return self._sessions.get(peer)

    def having(self, chain: Chain) -> list[Session]:
        """The sessions that have a chain open."""
        return [self._sessions[peer] for peer in self._open.get(chain, ())]

    def is_open(self, chain: Chain) -> bool:
        """Whether any session has a chain open."""
        return chain in self._open

    def begin(self, peer: bytes, node: str, role: str, life: bytes, now: float) -> tuple[Session, str | None]:
        """Begin a session; an earlier one of the same node ends.

        Args:
            peer: The connection.
            node: The node that its link key proved.
            role: That node's role.
            life: Of the process that greets.
            now: Seconds on the monotonic clock.

        Returns:
            The session, and what looks like a clone of the node, if anything does.
        """
        suspicion = self._note_life(node, life, now)
        before = self._peer_of.get(node)
        if before is not None and before != peer:
            self.end(before)
        self.end(peer)
        session = self._sessions[peer] = Session(peer, node, role, now)
        self._peer_of[node] = peer
        return session, suspicion

    def open(self, session: Session, chain: Chain) -> None:
        """A session offers a chain.

        Raises:
            IntegrityError: It may not, or it offers too many.
        """
        session.check_right(chain)
        if len(session.chains) >= limits.CHAINS_PER_SESSION_MAX:
            raise IntegrityError(f"{session.node} offers more than {limits.CHAINS_PER_SESSION_MAX} chains")
        session.chains[chain] = None
        self._open.setdefault(chain, {})[session.peer] = None

    def end(self, peer: bytes) -> None:
        """A session is over, if there is one."""
        session = self._sessions.pop(peer, None)
        if session is None:
            return
        if self._peer_of.get(session.node) == peer:
            del self._peer_of[session.node]
        for chain in session.chains:
            peers = self._open[chain]
            peers.pop(peer, None)
            if not peers:
                del self._open[chain]

    def end_idle(self, now: float) -> None:
        """End the sessions whose peers have been silent for too long."""
        for session in self:
            if now - session.heard > SESSION_IDLE_S:
                self.end(session.peer)

    def credit(self) -> tuple[int, int]:
        """(batches, bytes) that each session is granted now."""
        if self.paused:
            return 0, 0
        share = self._budget_bytes // max(1, len(self._sessions))
        return self._credit_batches, min(limits.CREDIT_BYTES_MAX, max(SESSION_CREDIT_BYTES_MIN, share))

    def release(self, peer: bytes, size: int) -> None:
        """Something that a peer sent is committed."""
        session = self._sessions.get(peer)
        if session is not None:
            session.staged_bytes = max(0, session.staged_bytes - size)

    def _note_life(self, node: str, life: bytes, now: float) -> str | None:
        lives = self._lives.setdefault(node, deque(maxlen=LIVES_KEPT))
        if lives and lives[-1] == life:
            return None
        returned = life in lives
        if returned:
            lives.remove(life)
        lives.append(life)
        if not returned:
            return None
        times = self._returns.setdefault(node, deque(maxlen=RETURNS_MAX))
        times.append(now)
        if len(times) < RETURNS_MAX or now - times[0] > RETURN_S:
            return None
        times.clear()
        return f"two live processes take the session from each other: {RETURNS_MAX} times in {RETURN_S:.0f} s"
