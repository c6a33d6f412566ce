"""Report modes: held against a scalar definition, and against the bound they promise."""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.process import Processor
from protocols.field.base import FieldType
from protocols.points import Point, Report
from protocols.samples import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN, SampleBlock, ValueType

S = 1_000_000
BAND = 0.5


class Sample(NamedTuple):
    time: int
    value: float
    quality: int


def point(report: Report, *, id: int = 1, silence_s: float | None = None, band: float = BAND) -> Point:
    return Point(
        id, f"P{id}", "plc", str(id), FieldType.F64, "fast",
        report=report, deadband=band, max_silence_s=silence_s,
    )  # fmt: skip


def run(processor: Processor, samples: list[Sample], rows_at_once: int = 1, id: int = 1) -> list[Sample]:
    """Process samples of one point in blocks and flush; what was kept, in order."""
    blocks: list[SampleBlock] = []
    thinned = 0
    for first in range(0, len(samples), rows_at_once):
        part = samples[first : first + rows_at_once]
        processed = processor.process([block_of(part, id)])
        blocks += processed.blocks
        thinned += processed.thinned
    blocks += processor.flush()
    kept = [
        Sample(int(t), float(v), int(q))
        for block in blocks
        for t, v, q in zip(block.time, block.value, block.quality, strict=True)
    ]
    assert len(kept) + thinned == len(samples), "every sample is kept or counted as thinned"
    return kept


def block_of(samples: list[Sample], id: int) -> SampleBlock:
    return (
        SampleBlock.make(ValueType.F64, [id] * len(samples), *zip(*samples, strict=True))
        if samples
        else SampleBlock.make(ValueType.F64, [], [], [])
    )


# -- the scalar definition ----------------------------------------------------------------------


@dataclass
class Scalar:
    """One point, one sample after the other, as the module's rules say."""

    report: Report
    band: float
    silence_us: float
    kept: list[Sample] = field(default_factory=list)
    left_out: list[Sample] = field(default_factory=list)

    def take(self, new: Sample) -> None:
        last = self.kept[-1] if self.kept else None
        if last is None or last.quality != new.quality:
            self._end_segment()
            self._keep(new)
        elif new.quality >> 31 or not math.isfinite(new.value) or not math.isfinite(last.value):
            changed = not new.quality >> 31 and not _same_bits_or_nan(last.value, new.value)
            if changed:
                self._end_segment()
            if changed or new.time - self.kept[-1].time >= self.silence_us:
                self._keep(new)
        elif self.report is Report.SWINGING_DOOR:
            self._swing(new)
        else:
            band = 0.0 if self.report is Report.CHANGE else self.band
            if abs(new.value - last.value) > band or new.time - last.time >= self.silence_us:
                self._keep(new)

    def finish(self) -> list[Sample]:
        self._end_segment()
        return self.kept

    def _swing(self, new: Sample) -> None:
        if not self._line_respects_all(new):
            self._end_segment()
        if new.time - self.kept[-1].time >= self.silence_us:
            self._keep(new)
        else:
            self.left_out.append(new)

    def _line_respects_all(self, end: Sample) -> bool:
        begin = self.kept[-1]
        slope = (end.value - begin.value) / (end.time - begin.time)
        return all(
            (s.value - self.band - begin.value) / (s.time - begin.time)
            <= slope
            <= (s.value + self.band - begin.value) / (s.time - begin.time)
            for s in self.left_out
        )

    def _end_segment(self) -> None:
        if self.left_out:
            self._keep(self.left_out[-1])

    def _keep(self, sample: Sample) -> None:
        self.kept.append(sample)
        self.left_out = []


def _same_bits_or_nan(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


# -- data ------------------------------------------------------------------------------------------

values = st.one_of(
    st.floats(-10, 10),
    st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.0, float("nan"), float("inf"), float("-inf")]),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)
qualities = st.sampled_from([GOOD] * 8 + [UNCERTAIN, BAD_NO_COMMUNICATION])
steps = st.integers(1, 5).map(lambda seconds: seconds * S)


@st.composite
def histories(draw: st.DrawFn, value: st.SearchStrategy[float] = values) -> list[Sample]:
    drawn = draw(st.lists(st.tuples(steps, value, qualities), max_size=60))
    time = 1_700_000_000 * S
    samples = []
    for step, number, quality in drawn:
        time += step
        samples.append(Sample(time, number, quality))
    return samples


silences = st.sampled_from([None, 3.0, 10.0])
modes = st.sampled_from([Report.CHANGE, Report.DEADBAND, Report.SWINGING_DOOR])


def bits(samples: list[Sample]) -> list[tuple[int, bytes, int]]:
    return [(s.time, struct.pack("<d", s.value), s.quality) for s in samples]


@settings(max_examples=400)
@given(histories(), modes, silences, st.integers(1, 7))
def test_columns_decide_exactly_as_the_scalar_definition(
    samples: list[Sample], mode: Report, silence_s: float | None, rows_at_once: int
) -> None:
    scalar = Scalar(mode, BAND, math.inf if silence_s is None else silence_s * S)
    for sample in samples:
        scalar.take(sample)
    kept = run(Processor([point(mode, silence_s=silence_s)]), samples, rows_at_once)
    assert bits(kept) == bits(scalar.finish())


@settings(max_examples=300)
@given(histories(st.floats(-1e6, 1e6)), silences)
def test_a_line_between_kept_samples_stays_within_the_deadband_of_all_left_out(
    samples: list[Sample], silence_s: float | None
) -> None:
    kept = run(Processor([point(Report.SWINGING_DOOR, silence_s=silence_s)]), samples)
    times = [s.time for s in kept]
    rounding = 1e-9 * max([1.0, *(abs(s.value) for s in samples)])
    for sample in samples:
        if sample.quality >> 31:
            continue
        at = int(np.searchsorted(times, sample.time, side="right")) - 1
        before = kept[at]
        if before.time == sample.time:
            assert before == sample
            continue
        after = kept[at + 1]
        assert before.quality == after.quality == sample.quality
        share = (sample.time - before.time) / (after.time - before.time)
        line = before.value + share * (after.value - before.value)
        assert abs(line - sample.value) <= BAND + rounding


@given(histories(st.floats(-1e6, 1e6)))
def test_a_value_left_out_by_a_deadband_is_near_the_one_kept_before(samples: list[Sample]) -> None:
    kept = run(Processor([point(Report.DEADBAND)]), samples)
    times = [s.time for s in kept]
    for sample in samples:
        before = kept[int(np.searchsorted(times, sample.time, side="right")) - 1]
        assert before.quality == sample.quality
        if not sample.quality >> 31:
            assert abs(before.value - sample.value) <= BAND


@given(histories(), modes)
def test_no_point_is_silent_for_longer_than_its_bound(samples: list[Sample], mode: Report) -> None:
    kept = {s.time for s in run(Processor([point(mode, silence_s=3.0)]), samples)}
    last = None
    for sample in samples:
        if sample.time in kept or last is None:
            last = sample.time
        assert sample.time - last < 3 * S


@given(histories(), modes)
def test_every_change_of_quality_is_kept(samples: list[Sample], mode: Report) -> None:
    kept = {s.time for s in run(Processor([point(mode)]), samples)}
    for before, after in itertools.pairwise(samples):
        if before.quality != after.quality:
            assert after.time in kept


@given(st.lists(histories(), min_size=2, max_size=5), modes)
def test_points_of_one_block_do_not_influence_each_other(series: list[list[Sample]], mode: Report) -> None:
    length = min(len(samples) for samples in series)
    points = [point(mode, id=id) for id in range(1, len(series) + 1)]
    together = Processor(points)
    blocks: list[SampleBlock] = []
    for turn in range(length):
        rows = [(id, *samples[turn]) for id, samples in enumerate(series, 1)]
        blocks += together.process([SampleBlock.make(ValueType.F64, *zip(*rows, strict=True))]).blocks
    blocks += together.flush()
    for id, samples in enumerate(series, 1):
        alone = run(Processor([point(mode, id=id)]), samples[:length], id=id)
        mixed = [
            Sample(int(t), float(v), int(q))
            for block in blocks
            for p, t, v, q in zip(block.point, block.time, block.value, block.quality, strict=True)
            if p == id
        ]
        assert bits(mixed) == bits(alone)
