"""What all records share: msgpack from a peer, read field by field; every misfit is the peer's error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import msgpack

from protocols import limits
from protocols.batch import Chain, Stream, is_name
from protocols.compressed import inflate as inflate_frame
from protocols.errors import LimitError, MalformedError


def parse_chain(row: Sequence[Any]) -> Chain:
    """Read (gateway, stream, epoch).

    Raises:
        MalformedError: Anything else.
    """
    if len(row) != 3:
        raise MalformedError("expected (gateway, stream, epoch)")
    gateway, stream, epoch = row
    if not isinstance(gateway, str) or not is_name(gateway) or not is_count(epoch):
        raise MalformedError(f"expected (gateway, stream, epoch), got {row!r:.120}")
    if stream not in list(Stream):
        raise MalformedError(f"unknown stream {stream!r:.40}")
    return Chain(gateway, Stream(stream), epoch)


def unpack(data: bytes) -> Any:
    """msgpack from a peer, bounded; sequences come back as tuples.

    Raises:
        MalformedError, LimitError: Not msgpack, or larger than a record may be.
    """
    if len(data) > limits.RECORD_BYTES_MAX:
        raise LimitError(f"expected at most {limits.RECORD_BYTES_MAX} bytes, got {len(data)}")
    try:
        return msgpack.unpackb(
            data,
            use_list=False,
            raw=False,
            max_array_len=limits.RECORD_ITEMS_MAX,
            max_map_len=limits.RECORD_ITEMS_MAX,
        )
    except Exception as error:  # msgpack raises many kinds for bad bytes, none of them ours
        raise MalformedError(f"expected msgpack: {error!s:.120}") from error


def inflate(payload: bytes, compressed: bool) -> bytes:
    """Undo the header's compression flag for a record payload, in bounded memory.

    Raises:
        MalformedError, LimitError: Not one zstd frame, or larger than a record may be.
    """
    return inflate_frame(payload, limits.RECORD_BYTES_MAX) if compressed else payload


def pack_map(fields: dict[str, Any]) -> bytes:
    """A record as a msgpack map."""
    packed = msgpack.packb(fields, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def pack_row(row: Sequence[Any]) -> bytes:
    """A record as a msgpack array."""
    packed = msgpack.packb(tuple(row), use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def chain_fields(chain: Chain) -> tuple[str, int, int]:
    """A chain as the first three fields of an array."""
    return chain.gateway, int(chain.stream), chain.epoch


def parse_row(data: bytes, length: int) -> tuple[Any, ...]:
    """Read a msgpack array of so many fields.

    Raises:
        MalformedError, LimitError: Anything else.
    """
    row = unpack(data)
    if not isinstance(row, tuple) or len(row) != length:
        raise MalformedError(f"expected an array of {length}")
    return row


def is_count(value: object) -> bool:
    """Whether it is a whole number from 0 to 2^63 - 1."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limits.INT63_MAX


Choice = TypeVar("Choice", bound=StrEnum)


class Fields:
    """A msgpack map from a peer, read field by field; every misfit is a `MalformedError`."""

    def __init__(self, data: bytes) -> None:
        self._map = self._checked(unpack(data))

    @classmethod
    def of(cls, entry: object) -> Fields:
        """The fields of a map inside a record."""
        fields = cls.__new__(cls)
        fields._map = cls._checked(entry)
        return fields

    @staticmethod
    def _checked(entry: object) -> dict[str, Any]:
        if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
            raise MalformedError("expected a msgpack map with text keys")
        return entry

    def __contains__(self, name: str) -> bool:
        return name in self._map

    def value(self, name: str) -> Any:
        """A field of any type; it must be there."""
        if name not in self._map:
            raise MalformedError(f"expected field {name!r}")
        return self._map[name]

    def _typed(self, name: str, fits: Callable[[Any], bool], what: str) -> Any:
        value = self.value(name)
        if not fits(value):
            raise MalformedError(f"expected {what} as {name!r}, got {value!r:.80}")
        return value

    def whole(self, name: str) -> int:
        """A whole number of 64 bits."""
        value: int = self._typed(name, _is_int63, "a whole number")
        return value

    def optional(self, name: str) -> int | None:
        """A whole number or nil."""
        return None if self.value(name) is None else self.whole(name)

    def text(self, name: str) -> str:
        """A text."""
        value: str = self._typed(name, lambda v: isinstance(v, str), "text")
        return value

    def octets(self, name: str, length: int) -> bytes:
        """So many bytes."""
        value: bytes = self._typed(
            name, lambda v: isinstance(v, bytes) and len(v) == length, f"{length} bytes"
        )
        return value

    def array(self, name: str) -> tuple[Any, ...]:
        """An array, whatever is in it."""
        value: tuple[Any, ...] = self._typed(name, lambda v: isinstance(v, tuple), "an array")
        return value

    def counts(self, name: str) -> dict[str, int]:
        """A map from texts to counts."""
        value: dict[str, int] = self._typed(
            name,
            lambda v: isinstance(v, dict) and all(isinstance(k, str) and is_count(n) for k, n in v.items()),
            "a map of counts",
        )
        return value

    def choice(self, name: str, kind: type[Choice]) -> Choice:
        """One of the texts of an enumeration."""
        text = self.text(name)
        try:
            return kind(text)
        except ValueError as error:
            raise MalformedError(f"unknown {name} {text!r:.40}") from error


def _is_int63(value: object) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and -limits.INT63_MAX - 1 <= value <= limits.INT63_MAX
    )
