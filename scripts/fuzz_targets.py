"""The parsers that take bytes from outside, each with good inputs to start from.

To add one: a `Target` in `TARGETS`.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgpack
import numpy as np
import zstandard

from edge_runtime.rules.reading.errors import RuleError
from edge_runtime.slots import firmware
from headquarters.security import authority
from protocols import certificates, columns, commandcalls, container, desired, records
from protocols.batch import ZERO_HASH, Chain, ClockState, Header, Kind, Stream
from protocols.console import calls
from protocols.console import frames as console
from protocols.console.gateway import GatewayEnd
from protocols.directory import Directory, Entry, NodeState, Part, Trusted, open_sealed, seal
from protocols.enrolment import Grant, Request, Token, Upstream, unpack_link
from protocols.errors import PeerError
from protocols.identity import Identity
from protocols.samples import NO_SOURCE_TIME, SampleBlock, ValueType
from protocols.session import messages
from protocols.updates import Wanted, hash_named, parse_piece, parse_wanted
from scripts import fuzz_firmware, fuzz_rules

CHAIN = Chain("gw-1", Stream.DATA, 7)
HASH = bytes(range(32))
WANTED = Wanted(hash_named("apps/acme/pump-1.0.0.capp", HASH), 0, 100)


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


def _command() -> records.Command:
    arguments: dict[str, Any] = {"alarms": ("gas/*",), "comment": "通风", "for_s": 60.0}
    return records.Command(7, bytes(16), "gw-1", 10**15, 10**15 + 10**9, "li@hq", "alarms.shelve", arguments)


def _ask() -> commandcalls.Ask:
    told = ((bytes(16), commandcalls.Stage.DELIVERED),)
    return commandcalls.Ask(2.0, told, commandcalls.Serve(bytes(16), 1, ("gw-1",), ("gw-2",)))


def _piece() -> commandcalls.Piece:
    return commandcalls.Piece("gw-1", HASH, 100, 40, b"piece")


def _parse_ask(data: bytes) -> None:
    commandcalls.Ask.parse(records.unpack(data))


def _parse_answer(data: bytes) -> None:
    commandcalls.Answer.parse(records.unpack(data))


def _parse_piece(data: bytes) -> None:
    commandcalls.Piece.parse(records.unpack(data))


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


def _desired() -> bytes:
    settings = desired.AppSettings(
        "fast",
        {"hall": desired.InstanceSettings({"ch4": "QT-101"}, {"limit": 20.5, "on": True}, {"trip": "甲烷"})},
        {"hall": {"trip": desired.Grant("XV-104", 0, 1.5)}},
    )
    app = desired.Item(
        desired.ItemKind.APP,
        "gas",
        "1.2.0",
        "apps/acme/gas-1.2.0.capp",
        5,
        "ab" * 32,
        ("points",),
        app=settings,
    )
    points = desired.Item(desired.ItemKind.POINTS, "p", "3", "config/p-3.csv", 5, "cd" * 32)
    return desired.Document("gw-1", 7, (app, points)).pack()


def _report() -> bytes:
    item = desired.ItemReport("app/gas", "1.2.0", desired.ItemState.FAILED, "crashed", "1.1.0", "ab" * 32)
    return desired.Report(
        5,
        "gw-1",
        7,
        "cd" * 32,
        (item,),
        "0.1.0",
        desired.SlotReport("a", "1.0"),
        desired.Health(60, 600, 600),
    ).pack()


def _container() -> bytes:
    offers = messages.offers([messages.Offer(CHAIN, 0, 1, HASH)])
    batches = [[messages.BATCH, _header(), b"payload", bytes(64)]]
    return container.pack(container.Container("gw-1", 4, 10**15, (*offers, *batches)))


def _read_container(data: bytes) -> None:
    read = container.parse(_rehashed(data))
    list(read.offers())
    list(read.batches())


SIGNER = Identity.generate("headquarters", "headquarters")
NODE = Identity.generate("gw-1", "gateway", "plant-a").public


def _certificates() -> tuple[bytes, ...]:
    now = time.time()
    with tempfile.TemporaryDirectory() as home:
        made = authority.create(Path(home), Path(home) / "root.key", "headquarters", now, None, None)
    binding = certificates.Binding("gateway", 3, "plant-a", "gw-1", unpack_link(NODE.link))
    return made.issue(binding, NODE.signing, now, 365).der, made.certificate.der, made.root.der


CERTIFICATES = _certificates()


def _token() -> Token:
    return Token("tcp://hub:7502", HASH, HASH, bytes(16), "gw-1", "plant-a", "gateway")


def _request() -> bytes:
    return Request(NODE, 1.0, bytes(16), bytes(8), 7, True).pack()


def _grant() -> bytes:
    upstream = Upstream(SIGNER.public, "tcp://hub:7500", "tcp://hub:7501")
    node, online, root = CERTIFICATES
    return Grant(HASH, 1.0, (node, online), root, SIGNER.public, (upstream,)).sign(SIGNER.signing)


def _directory() -> Directory:
    entry = Entry(NODE, 7, 1, 2, NodeState.QUARANTINED, (HASH,))
    return Directory(Part.GATEWAYS, 3, 1.0, 2.0, 3.0, (entry,), ((HASH, HASH),), ("gw-1",))


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
        "question for a file",
        lambda data: parse_wanted(records.unpack(data)),
        (msgpack.packb(("metadata/1.root.json", 0, 4096)), msgpack.packb((WANTED.path, 1, 2))),
    ),
    Target(
        "piece of a file",
        lambda data: parse_piece(records.unpack(data), WANTED),
        (msgpack.packb((bytes(10), 10, HASH)), msgpack.packb((bytes(100), 1000, HASH))),
    ),
    Target("command", records.Command.parse, (_command().pack(),)),
    Target("signed time", records.SignedTime.parse, (records.SignedTime(bytes(16), 10**15).pack(),)),
    Target("question for commands", _parse_ask, (msgpack.packb(_ask().fields()),)),
    Target("answer with commands", _parse_answer, (msgpack.packb(commandcalls.Answer((b"c",)).fields()),)),
    Target("piece of a file", _parse_piece, (msgpack.packb(_piece().fields()),)),
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
    Target("desired document", desired.parse_document, (_desired(),)),
    Target("report", desired.Report.parse, (_report(),)),
    Target("container", _read_container, (_container(),)),
    Target("certificate", certificates.parse, CERTIFICATES),
    Target("token", lambda data: Token.parse(data.decode("latin-1")), (_token().text().encode(),)),
    Target("enrolment request", Request.parse, (_request(),)),
    Target("grant", Grant.parse, (_grant(),)),
    Target("directory", Directory.parse, (_directory().pack(),)),
    Target(
        "sealed directory",
        lambda data: open_sealed(data, Trusted(SIGNER.signing.public, 1, b""), 1.0),
        (seal(_directory(), b"", SIGNER.signing),),
    ),
    Target("console frame", console.parse, (_console_frame(b"payload")[1:-1],)),
    Target("console stream", _receive_stream, (_console_stream(),)),
    Target(
        "console call",
        calls.parse_call,
        (calls.pack_call(calls.Call(1, "begin", {"sha256": HASH, "size": 9})),),
    ),
    Target("console answer", calls.parse_answer, (calls.pack_answer(calls.Answer(1, True, {"held": 3})),)),
    Target("firmware manifest", firmware.parse, (fuzz_firmware.SEED_MANIFEST,)),
    Target("firmware image", fuzz_firmware.read_image, (fuzz_firmware.SEED_IMAGE,)),
    Target("wheel", fuzz_firmware.unpack_wheel, (fuzz_firmware.SEED_WHEEL,)),
    Target(
        "rules",
        fuzz_rules.compile_and_run,
        tuple(seed.encode() for seed in fuzz_rules.SEEDS),
        RuleError,
        fuzz_rules.damaged_bytes,
    ),
)
