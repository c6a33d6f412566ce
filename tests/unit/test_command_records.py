"""Commands and signed times as bytes: one encoding, bounded, and worth nothing without the signature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import limits
from protocols.commandcalls import Answer, Ask, Piece, Serve, Stage
from protocols.errors import IntegrityError, LimitError, MalformedError, PeerError
from protocols.identity import SigningKey, VerifyKey
from protocols.records import Command, Receipt, SignedTime, open_record, peek, sign_record

KEY = SigningKey(b"q" * 32)
HQ = VerifyKey(KEY.public)
HOUR_US = 3_600_000_000
READ = Command(7, bytes(16), "unit-1", 5, 5 + HOUR_US, "li@hq", "read", {"points": ("FT-101", "流量")})

scalars = st.text(max_size=8) | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False)


@given(
    arguments=st.dictionaries(
        st.text(min_size=1, max_size=8),
        scalars.filter(lambda v: v not in (float("inf"), float("-inf")))
        | st.lists(st.text(max_size=5), max_size=4).map(tuple),
        max_size=6,
    )
)
def test_a_command_comes_back_as_it_was(arguments: dict[str, Any]) -> None:
    command = replace(READ, arguments=arguments)
    signed = sign_record(command, KEY)
    assert open_record(Command, signed, HQ) == peek(signed) == command


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": -1},
        {"nonce": bytes(15)},
        {"target": "Unit 1"},
        {"expires_us": 5},
        {"expires_us": 6 + limits.COMMAND_LIFE_MAX_S * 1_000_000},
        {"issued_us": -1},
        {"requester": ""},
        {"requester": "x" * 129},
        {"verb": "Read"},
        {"verb": ""},
        {"arguments": {"x": None}},
        {"arguments": {"x": float("nan")}},
        {"arguments": {"x": ({},)}},
        {"arguments": {"": 1}},
        {"arguments": {str(n): n for n in range(17)}},
    ],
)
def test_what_is_no_command_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PeerError):
        Command.parse(replace(READ, **wrong).pack())


def test_a_verb_that_nobody_knows_parses_so_that_it_can_be_refused_by_name() -> None:
    assert Command.parse(replace(READ, verb="self-destruct").pack()).verb == "self-destruct"


def test_there_is_one_encoding() -> None:
    row = list(msgpack.unpackb(READ.pack()))
    assert Command.parse(msgpack.packb(row)) == READ
    row[-1] = {"points": row[-1]["points"], "a": 1}  # names out of their order
    with pytest.raises(MalformedError, match="canonical"):
        Command.parse(msgpack.packb(row))
    with pytest.raises(MalformedError):
        Command.parse(READ.pack() + b"\x00")


def test_a_command_has_a_bound() -> None:
    with pytest.raises(LimitError, match="fewer"):
        replace(READ, arguments={"points": ("x" * 100,) * 200}).pack()
    with pytest.raises(LimitError):
        Command.parse(bytes(limits.COMMAND_BYTES_MAX + 1))


def test_a_signature_holds_for_one_kind_of_record_and_every_bit_of_it() -> None:
    signed = sign_record(READ, KEY)
    for at in (0, 63, 64, len(signed) - 1):
        damaged = bytearray(signed)
        damaged[at] ^= 1
        with pytest.raises(IntegrityError):
            open_record(Command, bytes(damaged), HQ)
    told = sign_record(SignedTime(bytes(16), 9), KEY)
    assert open_record(SignedTime, told, HQ).time_us == 9
    with pytest.raises(IntegrityError):
        open_record(Command, told, HQ)
    with pytest.raises(IntegrityError):
        open_record(Receipt, told, HQ)


@pytest.mark.parametrize(
    "row", [(bytes(15), 1), (bytes(16), -1), (bytes(16), True), (bytes(16),), ("x" * 16, 1)]
)
def test_what_is_no_time_is_refused(row: tuple[Any, ...]) -> None:
    with pytest.raises(MalformedError):
        SignedTime.parse(msgpack.packb(row))


class TestCalls:
    def test_questions_answers_and_pieces_come_back_as_they_were(self) -> None:
        told = ((bytes(16), Stage.AT_HUB), (b"1" * 16, Stage.ENDED))
        ask = Ask(2.0, told, Serve(bytes(16), 3, ("unit-1",), ("unit-2",)))
        piece = Piece("unit-1", bytes(32), 100, 40, b"x" * 60)
        assert Ask.parse(ask.fields()) == ask
        assert Answer.parse(Answer((b"signed",), True).fields()) == Answer((b"signed",), True)
        assert Piece.parse(piece.fields()) == piece

    @pytest.mark.parametrize(
        "wrong",
        [
            {"wait": -1.0},
            {"wait": 26.0},
            {"wait": 1},
            {"told": ((bytes(16), "lost"),)},
            {"told": ((bytes(15), "ended"),)},
            {"told": ((bytes(16), "ended"),) * (limits.COMMANDS_TOLD_MAX + 1)},
            {"serve": (bytes(16), 0, ("unit 1",), ())},
            {"serve": (bytes(16), -1, (), ())},
            {"serve": (bytes(16), 0, ("a",) * (limits.COMMANDS_SERVED_MAX + 1), ())},
            {"serve": "all"},
        ],
    )
    def test_a_wrong_question_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(PeerError):
            Ask.parse({**Ask().fields(), **wrong})

    @pytest.mark.parametrize(
        "wrong",
        [
            {"gateway": "../unit"},
            {"size": 0},
            {"size": limits.BLOB_BYTES_MAX + 1},
            {"offset": -1},
            {"offset": 99},
            {"data": "text"},
            {"data": bytes(limits.BLOB_PIECE_BYTES + 1)},
            {"sha256": bytes(31)},
        ],
    )
    def test_a_wrong_piece_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(PeerError):
            Piece.parse({**Piece("unit-1", bytes(32), 100, 40, b"x" * 60).fields(), **wrong})

    @pytest.mark.parametrize(
        "wrong",
        [
            {"commands": ("text",)},
            {"commands": (b"",) * (limits.COMMANDS_PER_ANSWER_MAX + 1)},
            {"again": 1},
        ],
    )
    def test_a_wrong_answer_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(PeerError):
            Answer.parse({**Answer().fields(), **wrong})
