"""Whatever an app computes, what is sent to a device means a value within the grant."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.apps.installed import Grant
from edge_runtime.apps.outputs import raw_value
from protocols.field.base import FieldType
from protocols.field.writing import INTEGER_RANGES, fault
from protocols.points import Point

numbers = st.floats(-1e9, 1e9)
scales = st.floats(1e-6, 1e6).flatmap(lambda scale: st.sampled_from((1.0, scale, -scale)))


@given(
    st.sampled_from((*INTEGER_RANGES, FieldType.F32, FieldType.F64)),
    scales,
    st.one_of(st.just(0.0), numbers),
    st.tuples(numbers, numbers, numbers).map(sorted),
)
def test_what_is_sent_means_a_value_within_the_grant(
    type: FieldType, scale: float, offset: float, ordered: list[float]
) -> None:
    low, value, high = ordered
    point = Point(1, "P", "plc", "holding:1", type, "fast", scale=scale, offset=offset)
    raw = raw_value(Grant("one", "out", point, low, high), value)
    if raw is None:
        return
    assert fault(type, raw) is None
    means = raw * scale + offset
    # What double precision loses on the way there and back, and single precision on the wire.
    lost = 4e-9 * (abs(means) + abs(offset) + max(map(abs, ordered))) + math.ulp(1.0)
    assert low - lost <= means <= high + lost
    step = abs(scale) if type in INTEGER_RANGES else 0.0
    assert abs(means - value) <= step + lost
