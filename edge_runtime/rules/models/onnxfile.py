"""Looks into an ONNX file before onnxruntime may: what a model of an app must not hold.

Rules:
1. Nothing but the file: no external data, which would name other files of the host.
2. Only operators of the ONNX standard (domains `ai.onnx` and `ai.onnx.ml`), of versions that
   we know; no functions, no training graphs.
3. No subgraphs (`If`, `Loop`, `Scan`), whose time is not bounded by the file's size, and no
   random numbers: a replay must give the same.

Only the fields that matter are read, so that a gateway needs no protobuf library. Whatever
the form is otherwise, onnxruntime judges.

Source: onnx.proto, IR version 10 (field numbers); Protocol Buffers encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MODEL_BYTES_MAX = 16 << 20
"""A model that runs within a scan has some thousands of weights; a package has 32 MB."""

NODES_MAX = 10_000
"""Operators of one graph: the largest of our field have a few hundred."""

OPSETS = {"": (7, 21), "ai.onnx": (7, 21), "ai.onnx.ml": (1, 5)}
"""Domains with the oldest and newest version that onnxruntime 1.20, the oldest we allow, knows."""

RANDOM = frozenset(
    (
        "Bernoulli",
        "Dropout",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    )
)
"""Operators whose results are drawn, or may be."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Value = int | memoryview


class RefusedError(Exception):
    """The file must not be loaded; says what was expected."""


class Found(NamedTuple):
    """What an acceptable file holds.

    Args:
        operators: How many.
        opset: Version of the standard's operators.
    """

    operators: int
    opset: int


def inspect(data: bytes) -> Found:
    """Look through a file.

    Raises:
        RefusedError: With the reason.
    """
    if len(data) > MODEL_BYTES_MAX:
        raise RefusedError(f"expected at most {MODEL_BYTES_MAX} bytes, got {len(data)}")
    opset, operators, graphs = 0, 0, 0
    for number, value in _fields(memoryview(data)):
        if number == 8:
            opset = max(opset, _opset(_message(value)))
        elif number == 7:
            graphs += 1
            operators += _graph(_message(value))
        elif number == 20:
            raise RefusedError("expected a graph for inference, got one for training; export it without")
        elif number == 25:
            raise RefusedError("expected operators of the standard, got functions of its own; inline them")
    if graphs != 1 or not opset:
        raise RefusedError("expected an ONNX model with one graph and the version of its operators")
    return Found(operators, opset)


def _opset(message: memoryview) -> int:
    """Check one imported set; returns its version when it is the standard's own."""
    domain, version = "", 0
    for number, value in _fields(message):
        if number == 1:
            domain = _text(value)
        elif number == 2:
            version = value if isinstance(value, int) else 0
    known = OPSETS.get(domain)
    if known is None:
        raise RefusedError(f"expected operators of ai.onnx or ai.onnx.ml, got those of {domain!r}")
    low, high = known
    if not low <= version <= high:
        named = domain or "ai.onnx"
        raise RefusedError(
            f"expected version {low} to {high} of {named}, got {version}; export it with another opset"
        )
    return version if domain != "ai.onnx.ml" else 1


def _graph(message: memoryview) -> int:
    """Check a graph; returns how many operators it has."""
    operators = 0
    for number, value in _fields(message):
        if number == 1:
            operators += 1
            _node(_message(value))
        elif number == 5:
            _tensor(_message(value))
        elif number == 15:
            raise RefusedError("expected dense weights, got sparse ones")
    if not 1 <= operators <= NODES_MAX:
        raise RefusedError(f"expected 1 to {NODES_MAX} operators, got {operators}")
    return operators


def _node(message: memoryview) -> None:
    operator, domain = "", ""
    for number, value in _fields(message):
        if number == 4:
            operator = _text(value)
        elif number == 7:
            domain = _text(value)
        elif number == 5:
            _attribute(_message(value))
    if domain not in OPSETS:
        raise RefusedError(f"expected operators of ai.onnx or ai.onnx.ml, got {domain!r} {operator!r}")
    if operator in RANDOM:
        raise RefusedError(f"expected operators without chance, got {operator!r}; export it for inference")


def _attribute(message: memoryview) -> None:
    for number, value in _fields(message):
        if number in (5, 10):
            _tensor(_message(value))
        elif number in (6, 11):
            raise RefusedError(
                "expected no operators with graphs of their own (If, Loop, Scan): time must be bounded"
            )
        elif number in (22, 23):
            raise RefusedError("expected dense weights, got sparse ones")


def _tensor(message: memoryview) -> None:
    for number, value in _fields(message):
        if number == 13 or (number == 14 and value != 0):
            raise RefusedError("expected all weights within the file, got external data; save it as one file")


# -- the encoding --------------------------------------------------------------------------------


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Numbers and values of a message's fields, in the order of the file."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise RefusedError("expected an ONNX file, got something else")
        if size > len(data) - at:
            raise RefusedError("expected a whole ONNX file, got one that was cut off")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise RefusedError("expected a whole ONNX file, got one that was cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise RefusedError("expected an ONNX file, got something else")


def _message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise RefusedError("expected an ONNX file, got something else")
    return value


def _text(value: Value) -> str:
    return bytes(_message(value)).decode("utf-8", "replace")
