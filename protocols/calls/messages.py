"""A call and its answer as frames.

========  ==================================================
call      number (8 bytes), verb (ASCII), argument (msgpack)
answer    number (8 bytes), status (1 byte), result (msgpack)
========  ==================================================

The status is DONE, or REFUSED with `(code, text)` as its result.

>>> parse_call(call(7, "echo", {"a": 1}))
(7, 'echo', {'a': 1})
>>> parse_answer(done(7, [1, b"x"]))
(7, (1, b'x'))
"""

from __future__ import annotations

import re
from typing import Any

import msgpack

from protocols import limits
from protocols.errors import LimitError, MalformedError, PeerError
from protocols.records import unpack

DONE, REFUSED = b"D", b"N"

NOT_YOURS = "not-yours"
"""The code by which handlers refuse what is another node's, or another level's, to ask."""

VERB = re.compile(rb"[a-z][a-z-]{0,31}")


class CallRefusedError(PeerError):
    """The server will not do what was asked.

    Args:
        code: One word for programs, such as `unknown-token`.
        text: For people: what was expected, and what to do.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def call(number: int, verb: str, argument: object) -> list[bytes]:
    """A call.

    Raises:
        LimitError: The argument is larger than a call may be.
    """
    return [number.to_bytes(8), verb.encode(), _pack(argument, limits.CALL_BYTES_MAX)]


def parse_call(frames: list[bytes]) -> tuple[int, str, Any]:
    """(number, verb, argument) of a call.

    Raises:
        MalformedError, LimitError: Not a call.
    """
    number, verb, argument = _parts(frames, limits.CALL_BYTES_MAX)
    if not VERB.fullmatch(verb):
        raise MalformedError(f"expected a verb in a call, got {verb!r:.40}")
    return number, verb.decode(), unpack(argument)


def done(number: int, result: object) -> list[bytes]:
    """The answer to a call that was carried out.

    Raises:
        LimitError: The result is larger than an answer may be.
    """
    return [number.to_bytes(8), DONE, _pack(result, limits.ANSWER_BYTES_MAX)]


def refused(number: int, error: CallRefusedError) -> list[bytes]:
    """The answer to a call that was not."""
    text = error.text[: limits.EVENT_TEXT_CHARS_MAX]
    return [number.to_bytes(8), REFUSED, _pack((error.code, text), limits.ANSWER_BYTES_MAX)]


def parse_answer(frames: list[bytes]) -> tuple[int, Any]:
    """(number, result) of an answer; a refusal comes as its error, to be raised by who asked.

    Raises:
        MalformedError, LimitError: Not an answer.
    """
    number, status, body = _parts(frames, limits.ANSWER_BYTES_MAX)
    result = unpack(body)
    if status == DONE:
        return number, result
    if status != REFUSED or not isinstance(result, tuple) or len(result) != 2:
        raise MalformedError(f"expected an answer, got status {status!r:.20}")
    code, text = result
    if not isinstance(code, str) or not isinstance(text, str):
        raise MalformedError("expected two texts in a refusal")
    return number, CallRefusedError(code, text)


def _parts(frames: list[bytes], bytes_max: int) -> tuple[int, bytes, bytes]:
    if len(frames) != 3 or len(frames[0]) != 8:
        raise MalformedError(f"expected 3 frames and a number, got {len(frames)} frames")
    if len(frames[2]) > bytes_max:
        raise LimitError(f"expected at most {bytes_max} bytes in a call or answer, got {len(frames[2])}")
    return int.from_bytes(frames[0]), frames[1], frames[2]


def _pack(value: object, bytes_max: int) -> bytes:
    packed = msgpack.packb(value, use_bin_type=True)
    assert isinstance(packed, bytes)
    if len(packed) > bytes_max:
        raise LimitError(f"expected at most {bytes_max} bytes to send, got {len(packed)}")
    return packed
