"""A budget for what drains behind fresh data, and how long a silent receiver is borne."""

from __future__ import annotations

from protocols.batch import Batch, Chain, Header, Stream
from protocols.identity import VerifyKey
from protocols.session import Sender, messages
from protocols.session.events import Disconnected
from protocols.session.messages import Mark
from tests.unit.edge_buffers import HEADQUARTERS, World

RATE = 5_000


class Line:
    """A sender of a real buffer, with a receiver that only says what it must."""

    def __init__(self, world: World, **settings: float | int | None) -> None:
        key = VerifyKey(HEADQUARTERS.public)
        self.world = world
        self.sender = Sender(
            "gw1",
            "gateway",
            headquarters=key,
            receiver=key,
            owns_chains=True,
            **settings,  # type: ignore[arg-type]
        )
        self.now = 0.0
        self.sender.start(self.now)
        self.sender.outgoing()
        self.sender.receive(messages.welcome(1, "hub", 4096, 64 << 20), self.now)
        self.sender.offer(world.buffer.offers(), self.now)
        nothing = [Mark(o.chain, o.oldest, b"", o.oldest) for o in world.buffer.offers()]
        for frames in messages.marks(nothing):
            self.sender.receive(frames, self.now)

    def pump(self, seconds: float = 0.0) -> list[Batch]:
        """Let time pass, then send all that may be sent."""
        self.now += seconds
        self.sender.tick(self.now)
        while (wanted := self.sender.wanted()) is not None:
            self.sender.supply(wanted, self.world.buffer.read(*wanted), self.now)
        return [Batch(*frames[1:]) for frames in self.sender.outgoing() if len(frames) == 4]


def two_epochs() -> tuple[World, Chain, Chain]:
    """A world with a backlog of fifty batches of about 1,300 bytes, and a newer epoch."""
    world = World()
    world.buffer.on_ready("hub", live_first_us=0)
    world.append(50, size=1000)
    old = world.chain()
    world.buffer.on_ready("hub", live_first_us=0)
    return world, old, world.chain()


def of(chain: Chain, batches: list[Batch]) -> list[Batch]:
    return [batch for batch in batches if Header.parse(batch.header).chain == chain]


def test_without_a_budget_the_backlog_goes_as_fast_as_credit_allows() -> None:
    world, old, _ = two_epochs()
    line = Line(world)
    assert len(of(old, line.pump())) == 51


def test_the_backlog_keeps_to_its_budget_and_fresh_data_does_not_wait_for_it() -> None:
    world, old, new = two_epochs()
    line = Line(world, backlog_bytes_per_s=RATE)
    sent = 0
    for second in range(8):
        world.append(1, size=20_000)
        line.sender.offer(world.buffer.offers(), line.now)
        batches = line.pump(1.0)
        sent += sum(batch.size for batch in of(old, batches))
        assert sent <= RATE * (second + 1) + 1400, "no more than the budget, and the batch that reached it"
        assert sent >= RATE * (second + 1) - 1400
        assert of(new, batches), "fresh data goes each second"


def test_the_only_epoch_of_a_stream_is_never_held_back() -> None:
    world = World()
    world.append(50, size=1000)
    line = Line(world, backlog_bytes_per_s=1)
    assert len(of(world.chain(Stream.DATA), line.pump())) == 51


def test_a_receiver_that_is_silent_for_the_configured_time_is_given_up() -> None:
    line = Line(World(), answer_timeout_s=3.0)
    line.pump()
    assert line.sender.tick(2.9) == []
    assert line.sender.outgoing(), "it was asked whether it is still there"
    [event] = line.sender.tick(3.1)
    assert isinstance(event, Disconnected)
