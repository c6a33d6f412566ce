"""The vectors printed in docs/wire-columns.md are what the codec makes and reads."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import zstandard

from protocols.columns import decode, encode
from protocols.samples import NO_SOURCE_TIME, SampleBlock, ValueType

DOCUMENT = Path(__file__).parents[2] / "docs" / "wire-columns.md"
NAN = float("nan")
SECONDS = [1_000_000, 2_000_000, 3_000_000, 4_000_000]


def _f64(*bits: int) -> np.ndarray:
    return np.array(bits, np.uint64).view(np.float64)


SAMPLES: dict[str, list[SampleBlock]] = {
    "nothing": [],
    "one f64": [SampleBlock.make(ValueType.F64, [7], [1_000_000], [20.5])],
    "two points, two scans": [
        SampleBlock.make(ValueType.F64, [3, 5, 3, 5], [10**6, 10**6, 2 * 10**6, 2 * 10**6], [0.1, 7, 0.2, 7])
    ],
    "decimals with a negative zero and a NaN": [
        SampleBlock.make(ValueType.F64, [1] * 9, range(9), [0.5, 0.6, 0.7, -0.0, 0.9, 1.1, NAN, 1.3, 1.4])
    ],
    "f64 of no rule": [
        SampleBlock.make(ValueType.F64, [1] * 2, [5, 9], _f64(0x3FF0000000000001, 0x3FF0000000000003))
    ],
    "multiplied, and f32 decimals": [
        SampleBlock.make(ValueType.F64, [1] * 4, SECONDS, [x * 0.1 for x in (3, 6, 7, 12)]),
        SampleBlock.make(ValueType.F32, [2] * 4, SECONDS, np.array([20.1, 20.2, 20.4, 20.3], np.float32)),
    ],
    "int64 from end to end": [SampleBlock.make(ValueType.I64, [1] * 2, [5, 9], [-(2**63), 2**63 - 1])],
    "noise with raw bits": [
        SampleBlock.make(ValueType.I64, [1] * 8, range(8), [500, -321, 77, -460, 255, 90, -12, 333])
    ],
    "booleans and texts": [
        SampleBlock.make(ValueType.BOOL, [1] * 4, SECONDS, [0, 0, 0, 1]),
        SampleBlock.make(ValueType.TEXT, [2] * 4, SECONDS, ["运行", "运行", "", "运行"]),
    ],
    "quality and source time": [
        SampleBlock.make(
            ValueType.I64, [1] * 4, SECONDS, [1, 2, 3, 4], [0, 0x80310000, 0x80310000, 0],
            [999_000, 1_999_000, NO_SOURCE_TIME, 3_998_000],
        )
    ],
    "two sequences of times": [
        SampleBlock.make(ValueType.BOOL, [1, 2, 3, 1, 3], [5, 5, 5, 3_000_005, 3_000_005], [1, 1, 1, 1, 1])
    ],
}  # fmt: skip


def printed() -> dict[str, bytes]:
    """The vectors in the document, by name."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(r"^### (.+)\n(?:.*\n)*?```hex\n([0-9a-f\s]+)```", text, re.MULTILINE)
    return {name: bytes.fromhex(digits) for name, digits in found}


def described(blocks: list[SampleBlock]) -> list[str]:
    """Samples as the document prints them."""
    lines = []
    for block in blocks:
        for row in range(len(block)):
            value = block.value[row]
            shown = repr(value) if block.type is ValueType.TEXT else f"{value.item()!r}"
            if block.type in (ValueType.F64, ValueType.F32):
                shown += f" = {block.value[row : row + 1].view(f'u{block.value.itemsize}')[0]:#x}"
            line = f"{block.type.name} {block.point[row]} {block.time[row]} {shown} {block.quality[row]:#x}"
            if block.source_time is not None:
                source = block.source_time[row]
                line += " no source time" if source == NO_SOURCE_TIME else f" {source}"
            lines.append(line)
    return lines


def test_the_document_has_every_vector() -> None:
    assert list(printed()) == list(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_writer_makes_the_printed_content(name: str) -> None:
    content = zstandard.ZstdDecompressor().decompress(encode(SAMPLES[name]))
    assert content.hex() == printed()[name].hex()


@pytest.mark.parametrize("name", SAMPLES)
def test_the_reader_makes_the_printed_samples(name: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text.split(f"### {name}\n")[1].split("\n### ")[0]
    blocks = decode(zstandard.ZstdCompressor().compress(printed()[name]))
    assert [line for line in section.split("```text\n")[1].split("```")[0].splitlines() if line] == described(
        blocks
    )
