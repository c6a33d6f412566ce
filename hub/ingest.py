"""What the hub does with what comes in, from below and from above; no sockets, no clocks.

The thread that owns the receiver and the store calls, in turn, `commit`, `hear` and `tidy`.
A batch is acknowledged when its group is durable; a receipt from above is kept before it is
passed down; a store without room takes away credit and loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from hub import limits, quarantine
from hub.statement import OwnChain
from hub.store import Custody, Store
from protocols.batch import Chain, Verifier
from protocols.errors import StoreDamagedError, StoreError
from protocols.records import HubReport, OpenReason, Receipt, RefusalReason
from protocols.session import Receiver, SenderEvent
from protocols.session.events import Behind, Forked, Receipted, Refused, Stored
from protocols.session.findings import SUSPICIOUS, Noticed

ROTTEN = frozenset((RefusalReason.HEADER, RefusalReason.SIGNATURE, RefusalReason.CHAIN, RefusalReason.HASH))
"""Refusals that our own checks would have made: our copy must have changed since."""

PASSED_DOWN = frozenset((RefusalReason.PAYLOAD, RefusalReason.FORK))
"""Refusals that are the gateway's matter. The others an operator must see to."""


class News(NamedTuple):
    """One event of a sender, and the upstream it came from."""

    upstream: str
    event: SenderEvent


class Finding(NamedTuple):
    """Something for the log: an event's stable name and its fields."""

    event: str
    fields: dict[str, object]


class Ingest:
    """The deciding half of a hub.

    Args:
        store: The hub's store; only this object writes to it.
        receiver: The receiving side of the gateways' links.
        verifier: From a key id to an allowed signing key.
        own: The hub's own chain; `None` for a hub that makes no statements.
        suspect: Told what looks like two of a node.
    """

    def __init__(
        self,
        store: Store,
        receiver: Receiver,
        verifier: Callable[[bytes], Verifier | None],
        own: OwnChain | None = None,
        suspect: Callable[[Noticed], None] = lambda noticed: None,
    ) -> None:
        self.store = store
        self.receiver = receiver
        self._verifier = verifier
        self._own = own
        self._suspect = suspect
        self._findings: list[Finding] = []
        self._news: list[News] = []
        self._forks: dict[Chain, bytes] = {}
        self.stored = 0
        """Batches stored since the start."""
        self.commits = 0
        """Transactions that stored batches."""
        for receipt, signed in store.receipts():
            receiver.custody(receipt, signed)

    def commit(self, now: float) -> int:
        """Make one group of what the receiver verified durable, and acknowledge it.

        Returns:
            How many batches were stored; 0 when there was nothing, or when it failed.

        Raises:
            StoreDamagedError: The store cannot be used any more.
        """
        accepted = self.receiver.take(limits.GROUP_BATCHES_MAX, limits.GROUP_BYTES_MAX)
        if not accepted:
            return 0
        try:
            self.store.append(accepted)
        except StoreDamagedError:
            raise
        except StoreError as error:
            self.receiver.pause(True)
            self.receiver.abandoned(now)
            self._note("store-failed", error=str(error), batches=len(accepted))
            return 0
        self.receiver.committed(accepted, now)
        self.stored += len(accepted)
        self.commits += 1
        return len(accepted)

    def hear(self, news: Iterable[News], now: float, now_us: int) -> None:
        """Act on what upstreams said. What the store cannot take now is tried again next time.

        Args:
            news: Events of senders.
            now: Seconds on the monotonic clock.
            now_us: Time of day.

        Raises:
            StoreDamagedError: The store cannot be used any more.
        """
        self._news.extend(news)
        if not self._news:
            return
        waiting, self._news = self._news, []
        try:
            self._keep_receipts([item.event for item in waiting if isinstance(item.event, Receipted)])
            for upstream, event in waiting:
                if isinstance(event, Stored):
                    self.store.reached(upstream, event.chain, event.next)
                elif isinstance(event, Refused):
                    self._refused(upstream, event, now, now_us)
                elif isinstance(event, Forked):
                    self._forked(upstream, event)
                elif isinstance(event, Behind):
                    self._note("behind", upstream=upstream, chain=event.chain, wanted=event.wanted)
        except StoreDamagedError:
            raise
        except StoreError as error:
            self._news = waiting[-limits.NEWS_MAX :]
            self._note("store-failed", error=str(error), news=len(waiting))

    def state(
        self, now: float, now_us: int, everything: bool = False, report: HubReport | None = None
    ) -> int:
        """Store the hub's own statement, with a report where there is one; returns how many batches it took.

        Raises:
            StoreError: It was not stored; the next one says all that it would have said.
        """
        if self._own is None:
            return 0
        batches = self._own.state(now_us, int(now * 1e6), everything, report)
        if batches:
            self.store.append(batches)
            self._own.stored()
        return len(batches)

    def remind(self) -> None:
        """Tell gateways of forked chains again: they may have been away the last time.

        Once the gateway has opened a newer epoch it knows.
        """
        for chain in [chain for chain in self._forks if not self.store.chains.is_current(chain)]:
            del self._forks[chain]
        for chain, signed in self._forks.items():
            self.receiver.pass_refusal(chain, signed)

    def findings(self) -> list[Finding]:
        """What is worth a line in the log since the last call."""
        for noticed in self.receiver.noticed():
            self._note(noticed.finding.value, node=noticed.node, chain=noticed.chain, detail=noticed.detail)
            if noticed.finding in SUSPICIOUS and noticed.proven:
                self._suspect(noticed)
        found, self._findings = self._findings, []
        return found

    # -- one method a kind of news -----------------------------------------------------------

    def _keep_receipts(self, events: Sequence[Receipted]) -> None:
        newest: dict[tuple[Chain, int, int], tuple[Receipt, bytes]] = {}
        for receipt, signed in events:
            newest[(receipt.chain, receipt.mark, receipt.next)] = (receipt, signed)
        if not newest:
            return
        for (receipt, signed), custody in zip(
            newest.values(), self.store.receipted(list(newest.values())), strict=True
        ):
            if custody is Custody.CONFLICT:
                self._note("receipt-conflict", chain=receipt.chain, next=receipt.next)
            self.receiver.custody(receipt, signed)

    def _refused(self, upstream: str, event: Refused, now: float, now_us: int) -> None:
        refusal, signed = event
        chain, seq = refusal.chain, refusal.seq
        quarantine.remember(self.store, refusal, signed, now_us)
        self._note("refused-above", upstream=upstream, chain=chain, seq=seq, reason=refusal.reason.name)
        if refusal.reason in ROTTEN:
            fault = quarantine.fault(self.store, chain, seq, self._verifier)
            if fault is not None:
                self._ask_again(chain, seq, fault, now, now_us)
        elif refusal.reason is RefusalReason.KEY and self._own is not None and chain == self._own.chain:
            self._own.reopen(OpenReason.KEYS)  # what our former keys signed is out of force
        elif refusal.reason in PASSED_DOWN:
            self.receiver.pass_refusal(chain, signed)

    def _ask_again(self, chain: Chain, seq: int, fault: str, now: float, now_us: int) -> None:
        """Our copy rotted: set it aside and have the gateway send from there again."""
        while self.receiver.staged:  # what is staged builds on the mark that is about to fall
            self.commit(now)
        count = quarantine.set_aside(self.store, chain, seq, fault, now_us)
        self.receiver.doubt(chain)
        self.receiver.reload(chain)
        self._note("copy-damaged", chain=chain, seq=seq, fault=fault, set_aside=count)

    def _forked(self, upstream: str, event: Forked) -> None:
        """Headquarters holds another history of a chain: its gateway must open a new epoch."""
        chain, seq = event
        self._note("fork-above", upstream=upstream, chain=chain, seq=seq)
        if self._own is not None and self._own.owns(chain):
            self._own.reopen(OpenReason.FORK)
        elif chain not in self._forks:
            head = self.store.header_hash(chain, seq) or bytes(32)
            text = f"{upstream} holds another history from {seq} on"
            self._forks[chain] = self.receiver.refuse(chain, seq, head, RefusalReason.FORK, text)

    def _note(self, event: str, **fields: object) -> None:
        self._findings.append(Finding(event, fields))
