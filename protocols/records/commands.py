"""Commands of headquarters to one gateway, and its word on what time it is; each signed by itself.

Rules:
1. A command names its gateway, when it was given, until when it may be begun, by whom, and a
   nonce that no other command has. All of it is signed; nobody on the way is believed.
2. There is one encoding: bytes that parse and would pack differently are refused.
3. A verb that a gateway does not know still parses, so that it can be refused by name.
4. A gateway whose clock nobody set asks for the time with a nonce of its own; the answer
   proves that headquarters gave it after the question was asked.

>>> command = Command(7, bytes(16), "unit-1", 5, 9, "li", "read", {"points": ("FT-101",)})
>>> Command.parse(command.pack()) == command
True
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocols import limits
from protocols.batch import is_name
from protocols.errors import LimitError, MalformedError
from protocols.records.fields import is_count, pack_row, parse_row

COMMAND_DOMAIN = b"catchment/command/v1\x00"
TIME_DOMAIN = b"catchment/time/v1\x00"

NONCE_BYTES = 16

Scalar = str | int | float | bool
Argument = Scalar | tuple[Scalar, ...]

_VERB = re.compile(r"[a-z][a-z.-]{0,31}")


@dataclass(frozen=True, slots=True)
class Command:
    """What one gateway is to do once (COMMAND_DOMAIN).

    Args:
        number: How headquarters counts it; for people.
        nonce: 16 random bytes: which command it is.
        target: The gateway.
        issued_us: When it was given, by headquarters' clock.
        expires_us: From then on it must not be begun.
        requester: Who asked for it.
        verb: What to do.
        arguments: With what: texts, numbers, booleans, and lists of them, by name.
    """

    number: int
    nonce: bytes
    target: str
    issued_us: int
    expires_us: int
    requester: str
    verb: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)

    def pack(self) -> bytes:
        """The one encoding that is signed: a msgpack array, names of arguments in their order.

        Raises:
            LimitError: It is larger than a command may be.
        """
        arguments = {name: self.arguments[name] for name in sorted(self.arguments)}
        packed = pack_row(
            (
                *(self.number, self.nonce, self.target, self.issued_us, self.expires_us),
                *(self.requester, self.verb, arguments),
            )
        )
        if len(packed) > limits.COMMAND_BYTES_MAX:
            raise LimitError(
                f"expected at most {limits.COMMAND_BYTES_MAX} bytes in a command, got {len(packed)}; "
                "name fewer things at a time, or use a pattern"
            )
        return packed

    @classmethod
    def parse(cls, data: bytes) -> Command:
        """Read a command from a peer.

        Raises:
            MalformedError, LimitError: Not a command, not in its one encoding, or too large.
        """
        if len(data) > limits.COMMAND_BYTES_MAX:
            raise LimitError(
                f"expected at most {limits.COMMAND_BYTES_MAX} bytes in a command, got {len(data)}"
            )
        number, nonce, target, issued_us, expires_us, requester, verb, arguments = parse_row(data, 8)
        if not is_count(number) or not isinstance(nonce, bytes) or len(nonce) != NONCE_BYTES:
            raise MalformedError(f"expected (number, nonce of {NONCE_BYTES} bytes) in a command")
        if not isinstance(target, str) or not is_name(target):
            raise MalformedError(f"expected a gateway's name in a command, got {target!r:.80}")
        if not is_count(issued_us) or not is_count(expires_us):
            raise MalformedError("expected times (issued, expires) in a command")
        if not 0 < expires_us - issued_us <= limits.COMMAND_LIFE_MAX_S * 1_000_000:
            days = limits.COMMAND_LIFE_MAX_S // 86_400
            raise LimitError(f"expected a command to expire within {days} days of being given")
        if not isinstance(requester, str) or not 0 < len(requester) <= limits.EVENT_NAME_CHARS_MAX:
            raise MalformedError("expected a requester in a command")
        if not isinstance(verb, str) or not _VERB.fullmatch(verb):
            raise MalformedError(f"expected a verb in a command, got {verb!r:.80}")
        _check_arguments(arguments)
        command = cls(number, nonce, target, issued_us, expires_us, requester, verb, arguments)
        if command.pack() != data:
            raise MalformedError("expected the canonical encoding of a command, got another")
        return command


@dataclass(frozen=True, slots=True)
class SignedTime:
    """Headquarters' word on what time it is (TIME_DOMAIN).

    Args:
        nonce: As the gateway drew it for this question.
        time_us: Headquarters' clock when it answered.
    """

    nonce: bytes
    time_us: int

    def pack(self) -> bytes:
        """The one encoding that is signed: a msgpack array."""
        return pack_row((self.nonce, self.time_us))

    @classmethod
    def parse(cls, data: bytes) -> SignedTime:
        """Read such an answer.

        Raises:
            MalformedError, LimitError: Not such an answer.
        """
        nonce, time_us = parse_row(data, 2)
        if not isinstance(nonce, bytes) or len(nonce) != NONCE_BYTES or not is_count(time_us):
            raise MalformedError(f"expected (nonce of {NONCE_BYTES} bytes, time)")
        return cls(nonce, time_us)


def _check_arguments(arguments: object) -> None:
    if not isinstance(arguments, dict) or len(arguments) > limits.COMMAND_ARGUMENTS_MAX:
        raise MalformedError(f"expected a map of at most {limits.COMMAND_ARGUMENTS_MAX} arguments")
    for name, value in arguments.items():
        if not isinstance(name, str) or not 0 < len(name) <= limits.NAME_CHARS_MAX:
            raise MalformedError(f"expected names of arguments as text, got {name!r:.80}")
        for part in value if isinstance(value, tuple) else (value,):
            _check_scalar(name, part)


def _check_scalar(name: str, value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise MalformedError(f"expected a finite number as {name!r}, got {value}")
    if not isinstance(value, str | int | float):
        raise MalformedError(f"expected texts, numbers or booleans as {name!r}, got {value!r:.80}")


def peek(signed: bytes) -> Command:
    """A signed command, read without checking its signature: for those who only pass it on.

    Raises:
        MalformedError, LimitError: Not a command.
    """
    return Command.parse(signed[64:])
