"""The messages of the provisioning console: a call of the host, and its answer.

A call is `[number, name, arguments]`, an answer `[number, state, result]` in msgpack: `ok` with
what the call gives, or `refused` with a text that says what was expected. Numbers are the
host's, so that the answer to a call it has given up is known for one.

>>> parse_call(pack_call(Call(1, "info", {})))
Call(number=1, name='info', arguments={})
>>> parse_answer(pack_answer(Answer(1, True, {"id": "unit-1"})))
Answer(number=1, ok=True, result={'id': 'unit-1'})
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack

from protocols import limits
from protocols.errors import MalformedError
from protocols.records.fields import pack_row

_STATES = {"ok": True, "refused": False}


class Call(NamedTuple):
    """What a host asks for.

    Args:
        number: Drawn by the host.
        name: The call's name.
        arguments: By name.
    """

    number: int
    name: str
    arguments: dict[str, Any]


class Answer(NamedTuple):
    """What a gateway answers.

    Args:
        number: That of the call.
        ok: Whether it was done.
        result: What it gives, or why it was refused.
    """

    number: int
    ok: bool
    result: Any


def pack_call(call: Call) -> bytes:
    """The bytes of a call."""
    return pack_row(call)


def pack_answer(answer: Answer) -> bytes:
    """The bytes of an answer; of one too long, those of a refusal."""
    packed = pack_row((answer.number, "ok" if answer.ok else "refused", answer.result))
    if len(packed) <= limits.CONSOLE_MESSAGE_BYTES_MAX:
        return packed
    return pack_row((answer.number, "refused", f"the answer has {len(packed)} bytes; ask for less"))


def parse_call(data: bytes) -> Call:
    """Read a call.

    Raises:
        MalformedError: It is none.
    """
    number, name, arguments = _row(data)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise MalformedError("expected number, name and arguments")
    if not all(isinstance(key, str) for key in arguments):
        raise MalformedError("expected arguments by name")
    return Call(number, name, arguments)


def parse_answer(data: bytes) -> Answer:
    """Read an answer.

    Raises:
        MalformedError: It is none.
    """
    number, state, result = _row(data)
    if not isinstance(state, str) or state not in _STATES:
        raise MalformedError(f"expected one of {', '.join(_STATES)}, got {state!r:.40}")
    ok = _STATES[state]
    if not ok and not isinstance(result, str):
        raise MalformedError("expected a refusal's reason as text")
    return Answer(number, ok, result)


def _row(data: bytes) -> tuple[int, Any, Any]:
    if len(data) > limits.CONSOLE_MESSAGE_BYTES_MAX:
        raise MalformedError(f"expected at most {limits.CONSOLE_MESSAGE_BYTES_MAX} bytes, got {len(data)}")
    try:
        row = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except Exception as error:  # msgpack raises many kinds for bad bytes, none of them ours
        raise MalformedError(f"expected msgpack: {error!s:.120}") from error
    if not isinstance(row, list) or len(row) != 3:
        raise MalformedError("expected an array of 3")
    number, middle, last = row
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 32:
        raise MalformedError(f"expected a number of 32 bits, got {number!r:.40}")
    return number, middle, last
