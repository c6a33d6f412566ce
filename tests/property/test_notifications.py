"""Whatever is notified whenever: each once, in order, between the right instants."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocols.field.base import FieldPoint, FieldType
from protocols.field.notifications import NotificationCache
from protocols.samples import BAD_NO_COMMUNICATION, SampleBlock, ValueType

POINTS = [FieldPoint(i, "x", FieldType.F64) for i in (4, 1, 7)]
events = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "put", "down", "serve")),
        st.lists(st.sampled_from((4, 1, 7)), min_size=1, max_size=6),
        st.integers(0, 700_000),
    ),
    max_size=40,
)


@given(events)
def test_nothing_is_lost_doubled_or_out_of_order(story: list[tuple[str, list[int], int]]) -> None:
    cache = NotificationCache(POINTS)
    now_us, instant_us, number = 10_000_000, 10_000_000, 0
    told: dict[int, list[float]] = {point.id: [] for point in POINTS}
    rows: dict[int, list[tuple[int, float]]] = {point.id: [] for point in POINTS}

    def serve(until_us: int) -> None:
        nonlocal instant_us
        while instant_us + 1_000_000 <= until_us:
            before_us, instant_us = instant_us, instant_us + 1_000_000
            served = cache.serve(instant_us)
            assert served.lost == []
            for block in served.extras:
                assert ((block.time > before_us) & (block.time < instant_us)).all()
            for block in [*served.extras, *served.samples]:
                for point, time, value, quality in zip(
                    block.point.tolist(),
                    block.time.tolist(),
                    block.value.tolist(),
                    block.quality.tolist(),
                    strict=True,
                ):
                    if quality == 0:
                        rows[point].append((time, value))

    cache.serve(instant_us)
    for kind, points, step_us in story:
        now_us += step_us
        if kind == "put":
            values = []
            for point in points:
                number += 1
                values.append(float(number))
                told[point].append(float(number))
            cache.put([SampleBlock.make(ValueType.F64, points, [now_us] * len(points), values)])
        elif kind == "down":
            cache.down(now_us, BAD_NO_COMMUNICATION)
        else:
            serve(now_us)
    serve(now_us + 2_000_000)
    for point, seen in rows.items():
        seen.sort()
        times = [time for time, _ in seen]
        assert len(set(times)) == len(times)
        values = [value for _, value in seen]
        without_repeats = [value for k, value in enumerate(values) if k == 0 or value != values[k - 1]]
        assert without_repeats == told[point]
