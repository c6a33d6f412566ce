"""The parsers that take bytes from outside, each with good inputs to start from.

To add one: a `Target` in `TARGETS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import numpy as np
import zstandard

from edge_runtime.rules.reading.errors import RuleError
from protocols import columns, container, records
from protocols.batch import ZERO_HASH, Chain, ClockState, Header, Kind, Stream
from protocols.console import calls
from protocols.console import frames as console
from protocols.console.gateway import GatewayEnd
from protocols.errors import PeerError
from protocols.samples import NO_SOURCE_TIME, SampleBlock, ValueType
from protocols.session import messages
from scripts import fuzz_rules

CHAIN = Chain("gw-1", Stream.DATA, 7)
HASH = bytes(range(32))


class Target(NamedTuple):
    """One parser.

    Args:
        name: For people.
        parse: Takes bytes; may raise `refusal` and nothing else.
        seeds: Good inputs.
        refusal: What it raises for bad ones.
        damage: A way to damage good input that knows its form; half of the inputs are made so.
    """

    name: str
    parse: Callable[[bytes], Any]
    seeds: tuple[bytes, ...]
    refusal: type[Exception] = PeerError
    damage: Callable[[bytes, Random], bytes] | None = None


def _payloads() -> tuple[bytes, ...]:
    random = np.random.default_rng(1)
    steps = range(0, 30_000_000, 1_000_000)
    walk = np.round(np.cumsum(random.normal(0, 1, 30)), 1)
    odd = walk.copy()
    odd[::7] = [np.nan, np.inf, -0.0, 5e-324, np.pi]
    source = [time - 5 if time % 3 else NO_SOURCE_TIME for time in steps]
    blocks = [
        SampleBlock.make(ValueType.F64, [1] * 30, steps, walk),
        SampleBlock.make(ValueType.F64, [1, 2] * 15, steps, odd, [0, 0, 1 << 31] * 10, source),
        SampleBlock.make(ValueType.F64, [3] * 30, random.integers(0, 10**9, 30), random.normal(0, 1, 30)),
        SampleBlock.make(ValueType.F32, [4] * 30, steps, walk),
        SampleBlock.make(ValueType.I64, [5] * 30, steps, [(-3) ** k for k in range(30)]),
        SampleBlock.make(ValueType.BOOL, [6] * 30, steps, [0, 0, 1] * 10),
        SampleBlock.make(ValueType.TEXT, [7] * 30, steps, ["RUN", "STOP", "运行"] * 10),
    ]
    return (columns.encode([]), *(columns.encode([block]) for block in blocks), columns.encode(blocks))


def _contents() -> tuple[bytes, ...]:
    return tuple(zstandard.ZstdDecompressor().decompress(payload) for payload in _payloads())


def _decode_content(data: bytes) -> None:
    columns.decode(zstandard.ZstdCompressor().compress(data))


def _header() -> bytes:
    return Header(
        1, 1, "gw-1", Stream.DATA, 7, 3, Kind.DATA, 60_000, 0, 10**16, bytes(16), 5, ClockState.SYNCHRONISED,
        0, HASH, bytes(8), ZERO_HASH, HASH, 40_000,
    ).pack()  # fmt: skip


def _definitions() -> bytes:
    return records.pack_definitions(
        [
            records.PointDefinition(
                1, "10LBA10CP001", ValueType.F32, "MPa", 1000, 0.01, 0.0, 25.0, "live steam"
            ),
            records.PointDefinition(2, "10LBA10CT001", ValueType.TEXT),
        ]
    )


def _events() -> bytes:
    alarm = records.EventRecord(
        1, records.EventType.ALARM, "gas", "hall", "high", "CH4", 1, "raised", value=20.5
    )
    told = records.EventRecord(2, records.EventType.EVENT, "gas", detail={"limit": 20, "unit": "%"})
    return next(records.pack_events([alarm, told])).data


def _gaps() -> bytes:
    return records.pack_gaps(
        [
            records.Gap(records.GapCause.QUOTA, 1, 2, (7, 8), 3, 4, 5, 6, "dropped"),
            records.Gap(records.GapCause.PROCESS_DOWN, 1, 2),
        ]
    )


def _link(name: str, parse: Callable[[messages.Frames], Any], *good: messages.Frames) -> Target:
    """A parser of link messages of two frames; the second is damaged."""
    kind = good[0][0]
    return Target(f"link {name}", lambda data: parse([kind, data]), tuple(frames[1] for frames in good))


def _rehashed(data: bytes) -> bytes:
    """A container whose hash holds: what is damaged is then looked at."""
    body = data[: -container.HASH_BYTES]
    return body + hashlib.sha256(body).digest()


def _container() -> bytes:
    offers = messages.offers([messages.Offer(CHAIN, 0, 1, HASH)])
    batches = [[messages.BATCH, _header(), b"payload", bytes(64)]]
    return container.pack(container.Container("gw-1", 4, 10**15, (*offers, *batches)))


def _read_container(data: bytes) -> None:
    read = container.parse(_rehashed(data))
    list(read.offers())
    list(read.batches())


def _console_frame(payload: bytes) -> bytes:
    return console.pack(console.Frame(console.Kind.DATA, 7, 0, 0, payload))


def _console_stream() -> bytes:
    """What a host sends: it opens a session and makes a call."""
    call = calls.pack_call(calls.Call(1, "info", {}))
    opening = console.pack(console.Frame(console.Kind.OPEN, 7, 0, 0, b"\x01"))
    return opening + _console_frame(len(call).to_bytes(4, "little") + call)


def _receive_stream(data: bytes) -> None:
    """The gateway's end: nothing that comes over a line may raise anything."""
    end = GatewayEnd()
    for at in range(0, len(data), 16):
        end.receive(data[at : at + 16], 0.0)
        for message in end.messages():
            end.send(end.session, message)


TARGETS: tuple[Target, ...] = (
    Target("columns frame", columns.decode, _payloads()),
    Target("columns content", _decode_content, _contents()),
    Target("header", Header.parse, (_header(),)),
    Target("opening", records.Opening.parse, (records.Opening(records.OpenReason.FAILOVER, 7, 9).pack(),)),
    Target("gaps", records.parse_gaps, (_gaps(),)),
    Target("events", records.parse_events, (_events(),)),
    Target("point definitions", records.parse_definitions, (_definitions(),)),
    Target(
        "statement",
        records.parse_statement,
        (records.Statement(1, 2, 3, 4, 5, {"overrun": 1}, {"quota": 2}, ((2, 7, 9, 100),)).pack(),),
    ),
    Target("correction", records.Correction.parse, (records.Correction(bytes(16), 1, 2, -3).pack(),)),
    Target(
        "receipt",
        records.Receipt.parse,
        (records.Receipt(CHAIN, 9, HASH, records.Mark.HEADQUARTERS, 1).pack(),),
    ),
    Target(
        "refusal",
        records.Refusal.parse,
        (records.Refusal(CHAIN, 1, HASH, records.RefusalReason.HASH, "differs", "hub-1").pack(),),
    ),
    Target(
        "compressed record",
        lambda data: records.parse_gaps(records.inflate(data, True)),
        (zstandard.ZstdCompressor().compress(_gaps()),),
    ),
    _link("hello", messages.parse_hello, messages.hello("gw-1", "gateway")),
    _link("offers", messages.parse_offers, *messages.offers([messages.Offer(CHAIN, 0, 9, HASH)])),
    _link("query", messages.parse_query, messages.query(CHAIN, 3, HASH)),
    _link("answer", messages.parse_answer, messages.answer(CHAIN, 3, messages.EQUAL)),
    _link("welcome", messages.parse_welcome, messages.welcome(1, "hub-1", 64, 1 << 20)),
    _link("marks", messages.parse_marks, *messages.marks([messages.Mark(CHAIN, 9, HASH, 1)])),
    _link("ack", messages.parse_ack, messages.ack([(CHAIN, 9)], 64, 1 << 20)),
    _link("rewind", messages.parse_rewind, messages.rewind(CHAIN, 3)),
    Target("container", _read_container, (_container(),)),
    Target("console frame", console.parse, (_console_frame(b"payload")[1:-1],)),
    Target("console stream", _receive_stream, (_console_stream(),)),
    Target(
        "console call",
        calls.parse_call,
        (calls.pack_call(calls.Call(1, "begin", {"sha256": HASH, "size": 9})),),
    ),
    Target("console answer", calls.parse_answer, (calls.pack_answer(calls.Answer(1, True, {"held": 3})),)),
    Target(
        "rules",
        fuzz_rules.compile_and_run,
        tuple(seed.encode() for seed in fuzz_rules.SEEDS),
        RuleError,
        fuzz_rules.damaged_bytes,
    ),
)
