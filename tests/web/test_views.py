"""What views show, and to whom: over a small lake of two plants."""

from __future__ import annotations

import itertools
import json
import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headquarters import trust
from headquarters.desired.store import Logged
from headquarters.ingest.rows import SampleChunk, chunk
from headquarters.lake.schema import TABLES
from headquarters.latest import Directory, LatestServer, LatestValues, answer
from headquarters.rollout.machine import Member, Phase, Rollout
from headquarters.security.registry import Registry, RequestRow, RequestState, TokenRow
from headquarters.services.fleet import rollouts as acts
from headquarters.tenancy.scope import Scope
from headquarters.views import (
    alarms,
    catalogue,
    desired,
    enrolment,
    events,
    gateways,
    hubs,
    latest,
    overview,
    points,
    rollouts,
    samples,
    topology,
    trend,
)
from headquarters.views.fleetboard import GatewayTotals
from headquarters.views.lakepool import BusyError, LakePool
from headquarters.views.paging import Paging
from headquarters.views.sources import Sources
from headquarters.views.standing import Standing
from headquarters.views.thinning import WIDTH_MIN, spans_of, thin
from protocols.desired import Item, ItemKind
from protocols.errors import InputError
from protocols.identity import ALLOW, Identity
from tests.lake_parts import NOW, SECOND, T0, scan
from tests.web.plants import (
    ALL,
    BAD,
    DEFINITIONS,
    NOTHING,
    PLANT_A,
    PLANT_B,
    UNCERTAIN,
    Plants,
    alarm,
    course,
)

MINUTE = 60 * SECOND


def test_the_overview_counts_what_is_seen(plants: Plants) -> None:
    whole, part = overview.overview(plants.sources, ALL), overview.overview(plants.sources, PLANT_B)
    assert (whole.gateways, whole.points, part.gateways, part.points) == (2, 6, 1, 3)
    assert [site.site for site in part.sites] == ["plant-b"]
    assert (whole.alarms.unacknowledged, whole.alarms.acknowledged) == (2, 1)
    assert part.alarms.by_priority == {1: 1, 2: 0, 3: 0, 4: 0}
    assert not whole.is_running and whole.seen_us is None and part.lake is None


def test_how_large_the_lake_is_is_told_to_those_who_see_all_of_it(
    own_plants: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"rows": 123_456_789, "bytes": 1, "files": 1}
    status = {"time": NOW / 1e6, "stopped": False, "tables": {"samples": table}, "failing": ""}
    status["lake_latency_p99_s"] = 1.0
    monkeypatch.setattr(own_plants.sources, "last_status", lambda: status)
    assert "123456789" in repr(overview.overview(own_plants.sources, ALL))
    assert "123456789" not in repr(overview.overview(own_plants.sources, PLANT_B))
    for scope, is_told in ((ALL, True), (PLANT_B, False)):
        for each in catalogue.catalogue(own_plants.sources, scope):
            assert {each.rows is None, each.size_bytes is None, each.files is None} == {not is_told}, (
                each.name
            )


def test_nothing_is_seen_without_a_site(plants: Plants) -> None:
    sources = plants.sources
    assert not gateways.gateways(sources, NOTHING).items
    assert not points.points(sources, NOTHING).items
    assert not alarms.alarms(sources, NOTHING).items
    assert not events.events(sources, NOTHING, from_us=0).items
    assert not trend.trend(sources, NOTHING, [1, 2, 3], T0, NOW, 100).series
    assert not list(samples.samples(sources, NOTHING, [1, 2, 3], T0, NOW))
    assert [node.role for node in topology.topology(sources, NOTHING).nodes] == ["headquarters"]
    for table in TABLES:
        found = catalogue.preview(sources, NOTHING, table.name)
        assert found is not None and not found.rows


def test_whatever_a_tenant_sees_names_no_site_of_another(plants: Plants) -> None:
    """Every view at once: nothing that it gives holds the other plant, its gateway or its series."""
    theirs = plants.series("unit-1/10LBA10CT001")
    sources = plants.sources
    seen = [
        overview.overview(sources, PLANT_B),
        topology.topology(sources, PLANT_B),
        gateways.gateways(sources, PLANT_B),
        hubs.hubs(sources, PLANT_B),
        points.points(sources, PLANT_B),
        points.point(sources, PLANT_B, theirs),
        alarms.alarms(sources, PLANT_B),
        events.events(sources, PLANT_B, from_us=0),
        rollouts.rollouts(sources, PLANT_B),
        enrolment.enrolment(sources, PLANT_B),
        latest.latest(sources, PLANT_B, [theirs]),
        trend.trend(sources, PLANT_B, [theirs], T0, NOW, 100),
        catalogue.catalogue(sources, PLANT_B),
        [catalogue.preview(sources, PLANT_B, table.name) for table in TABLES],
        gateways.gateway(sources, PLANT_B, "unit-1"),
        desired.desired(sources, PLANT_B, "unit-1"),
        desired.history(sources, PLANT_B, "unit-1"),
        desired.compared(sources, PLANT_B, "unit-1"),
    ]
    text = repr(seen)
    assert "unit-2" in text and "unit-1" not in text and "plant-a" not in text


def test_what_tenants_share_tells_neither_of_the_other(own_plants: Plants) -> None:
    """Hubs, roll-outs, desired states and who asks: each of both plants."""
    plants, sources = own_plants, own_plants.sources
    registry = sources.registry = Registry(plants.hq.home / "registry.db")
    hub = Identity.generate("hub-1", "hub").public
    with registry.change():
        registry.put_node(hub, "")
        registry.set_addresses(
            "hub-1", "hub", dict.fromkeys(("data", "service", "enrolment"), "tcp://10.0.0.9:1")
        )
        for gateway, site in (("unit-1", "plant-a"), ("unit-2", "plant-b")):
            registry.put_node(Identity.generate(gateway, "gateway", site).public, "hub-1")
            node = Identity.generate(f"new-{site}", "gateway", site).public
            registry.file_request(RequestRow(node, bytes(16), site, NOW / 1e6, RequestState.PENDING, ""))
            times = (NOW / 1e6, NOW / 1e6 + 60, None, None)
            registry.add_token(
                TokenRow(gateway.encode(), bytes(32), f"due-{gateway}", "gateway", site, *times)
            )
    ring = '[[ring]]\nname = "all"\ngateways = ["unit-1", "unit-2"]\n'
    acts.plan(sources, f'name = "both"\n[change]\nremove = ["app/old"]\n{ring}')
    with sources.desired() as store:
        for gateway in ("unit-1", "unit-2"):
            for version in ("1", "2"):
                item = Item(ItemKind.POINTS, "p", version, f"config/{gateway}.csv", 3, version * 64)
                store.put(gateway, [item], NOW, f"who-{gateway}", "")
        planned = store.rollout("both")
        assert planned is not None
        members = {name: Member(0, failed=True, why=f"why of {name}") for name in ("unit-1", "unit-2")}
        halted = Rollout(Phase.HALTED, 0, members, "2 failed; unit-1: why of unit-1").to_json()
        said = (
            Logged(NOW, "", "halted", "2 failed; unit-1: why of unit-1"),
            Logged(NOW, "unit-1", "failed", "bad"),
        )
        store.keep_rollout(replace(planned, state=json.dumps(halted)), said)
    sources.forget()

    def told(scope: Scope) -> str:
        return repr(
            [
                hubs.hubs(sources, scope),
                topology.topology(sources, scope),
                overview.overview(sources, scope),
                rollouts.rollouts(sources, scope),
                rollouts.rollout(sources, scope, "both"),
                enrolment.enrolment(sources, scope),
                *(
                    view(sources, scope, gateway)
                    for view in (desired.desired, desired.history, desired.compared)
                    for gateway in ("unit-1", "unit-2")
                ),
            ]
        )

    whole, part, none = told(ALL), told(PLANT_B), told(NOTHING)
    for word in (
        "unit-1",
        "unit-2",
        "due-unit-1",
        "new-plant-a",
        "new-plant-b",
        "10.0.0.9",
        "2 failed",
        "why of unit-2",
    ):
        assert word in whole, word
    for word in (
        "unit-2",
        "due-unit-2",
        "hub-1",
        "new-plant-b",
        "'both'",
        "halted",
        "why of unit-2",
        "who-unit-2",
    ):
        assert word in part, word
    for word in ("unit-1", "plant-a", "10.0.0.9", "2 failed"):
        assert word not in part, word
    for word in ("unit-", "plant-", "hub-1", "'both'"):
        assert word not in none, word


def test_a_grant_of_some_points_shows_these_and_no_gateway(plants: Plants) -> None:
    scope, sources = Scope(frozenset({"plant-b"}), {"plant-a": ("10LBA10CT*",)}), plants.sources
    found = [f"{row.point.gateway}/{row.point.name}" for row in points.points(sources, scope).items]
    assert found.count("unit-1/10LBA10CT001") == 1 and len(found) == 4
    series = [row.point.series for row in points.points(sources, scope, gateway="unit-1").items]
    assert trend.trend(sources, scope, series, T0, NOW, 100).series[0].rows == 40
    assert [row.id for row in gateways.gateways(sources, scope).items] == ["unit-2"]
    assert {event.gateway for event in events.events(sources, scope, from_us=0).items} == {"unit-2"}
    seen = catalogue.preview(sources, scope, "samples")
    assert seen is not None
    numbers = {int(row[0] or 0) for row in seen.rows}
    hidden = {plants.series(f"unit-1/{name}") for name in ("10LBA10CP001", "10LBA10AA001")}
    assert set(series) <= numbers and not numbers & hidden


def test_a_gateway_that_moved_to_another_owner_takes_no_past_along(own_plants: Plants) -> None:
    plants = own_plants
    theirs = plants.series("unit-2/10LBA10CT001")
    listed = plants.hq.home / ALLOW
    listed.write_text(listed.read_text().replace("plant-b", "plant-a"))
    plants.hq.trust = trust.load(plants.hq.home)
    plants.hq.open()
    plants.hq.take(plants.two.meta(DEFINITIONS, T0 + 1))
    sources = Sources(plants.hq.settings, lambda: plants.hq.now_us)
    try:
        assert sources.points().by_series[theirs].site == "plant-a"
        for scope in (PLANT_A, PLANT_B):
            assert trend.trend(sources, scope, [theirs], T0, NOW, 100).series == ()
            found = {row.point.gateway for row in points.points(sources, scope).items}
            assert "unit-2" not in found
            assert "unit-2" not in {event.gateway for event in events.events(sources, scope, from_us=0).items}
            assert "unit-2" not in repr([catalogue.preview(sources, scope, table.name) for table in TABLES])
        assert trend.trend(sources, ALL, [theirs], T0, NOW, 100).series[0].rows == 10
        assert {row.id for row in gateways.gateways(sources, PLANT_A).items} == {"unit-1", "unit-2"}
    finally:
        sources.close()


def test_a_gateway_is_shown_with_its_ledger_clock_gaps_and_alarms(plants: Plants) -> None:
    found = gateways.gateway(plants.sources, ALL, "unit-1")
    assert found is not None
    assert found.row.standing is Standing.LIVE and found.row.site == "plant-a"
    by_stream = {chain.stream: chain for chain in found.chains}
    assert (by_stream["data"].next, by_stream["data"].samples, by_stream["data"].missing) == (3, 50, 0)
    assert found.clock is not None and found.clock.state == "synchronised"
    assert [(gap.cause, gap.samples) for gap in found.gaps] == [("process-down", 20)]
    assert {each.source for each in found.alarms} == {"high", "low"}
    assert gateways.gateway(plants.sources, ALL, "unit-9") is None


def test_a_gateway_falls_silent_and_is_late(own_plants: Plants) -> None:
    plants = own_plants

    def standing() -> Standing:
        plants.sources.forget()
        return gateways.gateways(plants.sources, ALL).items[0].standing

    assert standing() is Standing.LIVE
    plants.hq.now_us += 120 * SECOND
    assert standing() is Standing.SILENT
    plants.hq.take(plants.one.data(course(range(60, 62))))
    own = Sources(plants.hq.settings, lambda: plants.hq.now_us)
    assert gateways.gateways(own, ALL).items[0].standing is Standing.LATE
    own.close()


def test_rates_are_those_of_the_last_whole_minutes_or_since_a_gateway_came(own_plants: Plants) -> None:
    plants = own_plants
    plants.hq.now_us += MINUTE
    plants.hq.take(plants.one.data(course(range(100, 400))))
    plants.hq.now_us += MINUTE
    own = Sources(plants.hq.settings, lambda: plants.hq.now_us)
    found = gateways.gateway(own, ALL, "unit-1")
    assert found is not None and found.row.rate == pytest.approx(350 / 120, abs=0.001)
    assert max(point.rate for point in found.rates) == pytest.approx(5.0)
    plants.hq.now_us += 4 * MINUTE
    own.forget()
    found = gateways.gateway(own, ALL, "unit-1")
    assert found is not None and found.row.rate == pytest.approx(300 / 300), "the first 50 are too old"
    own.close()
    totals = GatewayTotals(minutes={0: 700}, begun_us=SECOND)
    assert [totals.rate(at * SECOND) for at in (2, 8, 15)] == [0.0, 100.0, 50.0]


def test_boards_brought_forward_are_as_those_read_at_once(own_plants: Plants) -> None:
    plants = own_plants
    fleet, board = plants.sources.fleet(), plants.sources.alarms()
    plants.hq.take(
        plants.two.data(course(range(60, 90))),
        plants.one.events(
            alarm(7, T0 + 9, "returned", "normal"),
            alarm(8, T0 + 10, "raised", "unacknowledged", "new"),
            alarm(9, T0 + 11, "removed", "", "low"),
        ),
    )
    with plants.sources.engine() as engine:
        engine.refresh()
        fleet.refresh(engine, plants.hq.now_us)
        board.refresh(engine)
    fresh = Sources(plants.hq.settings, lambda: plants.hq.now_us)
    assert fleet.gateways == fresh.fleet().gateways
    assert fleet.chains == fresh.fleet().chains
    by_name = [
        sorted(each.alarms(lambda gateway: ""), key=lambda alarm: (alarm.gateway, alarm.name))
        for each in (board, fresh.alarms())
    ]
    assert by_name[0] == by_name[1]
    assert {each.source: each.state for each in by_name[0] if each.gateway == "unit-1"} == {
        "high": "normal",
        "new": "unacknowledged",
        "gone": "normal",
    }
    fresh.close()


def test_an_old_entry_that_comes_late_is_not_the_newest(own_plants: Plants) -> None:
    """A backlog brings a journal's earlier entries after later ones."""
    plants = own_plants
    plants.hq.take(plants.one.events(alarm(9, T0 + 90, "returned", "normal")))
    plants.hq.take(plants.one.events(alarm(8, T0 + 80, "raised", "unacknowledged")))
    assert "high" not in {row.alarm.source for row in alarms.standing_alarms(plants.sources, PLANT_A)}


def test_alarms_come_by_urgency_and_are_found(plants: Plants) -> None:
    rows = alarms.alarms(plants.sources, ALL).items
    assert [(row.alarm.gateway, row.alarm.source) for row in rows] == [
        ("unit-2", "high"),
        ("unit-1", "low"),
        ("unit-1", "high"),
    ]
    only = alarms.alarms(plants.sources, ALL, state="acknowledged").items
    assert [(row.alarm.operator, row.alarm.comment) for row in only] == [("li", "seen")]
    assert len(alarms.alarms(plants.sources, ALL, search="HOT unit-2").items) == 1
    assert not alarms.alarms(plants.sources, ALL, state="silenced").items


@pytest.mark.parametrize("limit", (1, 2, 3, 100))
def test_pages_together_are_the_whole_list(plants: Plants, limit: int) -> None:
    def page(view: Any, cursor: str | None, limit: int) -> Any:
        more = {"from_us": 0} if view is events.events else {}
        return view(plants.sources, ALL, paging=Paging(limit, cursor), **more)

    for view in (points.points, gateways.gateways, alarms.alarms, events.events):
        found: list[Any] = []
        cursor: str | None = None
        while cursor is not None or not found:
            part = page(view, cursor, limit)
            assert 0 < len(part.items) <= limit
            found += part.items
            cursor = part.next
            if cursor is None:
                break
        assert found == list(page(view, None, 1000).items)


@pytest.mark.parametrize("cursor", ("", "x", "W10", "e30", "WyJhIiwgW11d", "!" * 5000, "WzFd", "é"))
def test_a_cursor_that_is_none_is_the_askers_fault(plants: Plants, cursor: str) -> None:
    for view in (points.points, events.events):
        with pytest.raises(InputError, match="cursor"):
            view(plants.sources, ALL, paging=Paging(1, cursor))


def test_points_are_found_by_words_and_patterns(plants: Plants) -> None:
    def names(search: str) -> list[str]:
        found = points.points(plants.sources, ALL, search).items
        return [f"{row.point.gateway}/{row.point.name}" for row in found]

    assert names("steam temp unit-1") == ["unit-1/10LBA10CT001"]
    assert names("10lba*cp*") == ["unit-1/10LBA10CP001", "unit-2/10LBA10CP001"]
    assert names("plant-b bar") == ["unit-2/10LBA10CP001"]
    assert not names("nothing")


def test_events_are_found_by_type_time_and_words(plants: Plants) -> None:
    def texts(**asked: object) -> list[tuple[str, int]]:
        found = events.events(plants.sources, ALL, **asked).items  # type: ignore[arg-type]
        return [(event.gateway, event.number) for event in found]

    assert texts(from_us=T0 + 5) == [("unit-1", 6)]
    assert texts(from_us=0, to_us=T0 + 1) == [("unit-1", 1), ("unit-2", 1)] or texts(
        from_us=0, to_us=T0 + 1
    ) == [("unit-2", 1), ("unit-1", 1)]
    assert texts(from_us=0, search="LI steam") == [("unit-1", 2)]
    assert not texts(from_us=0, type="write")
    assert len(texts()) == 7


def test_a_query_in_a_search_finds_nothing(plants: Plants) -> None:
    for text in ("' OR 1=1 --", "'); DROP TABLE samples; --", "\\", "%", "''"):
        assert not events.events(plants.sources, ALL, from_us=0, search=text).items
        assert not events.events(plants.sources, ALL, from_us=0, gateway=text).items


# -- trends ------------------------------------------------------------------------------------


def test_a_trend_breaks_at_gaps_and_says_why(plants: Plants) -> None:
    series = plants.series("unit-1/10LBA10CT001")
    [found] = trend.trend(plants.sources, ALL, [series], T0, T0 + MINUTE, 600).series
    assert (found.made_of, found.rows) == ("raw", 40)
    at = found.value.index(None)
    assert found.time_us[at] == T0 + 20 * SECOND
    assert [(gap.cause, gap.from_us) for gap in found.gaps] == [("process-down", T0 + 20 * SECOND)]
    assert list(found.time_us) == sorted(found.time_us)


def test_bad_values_are_not_drawn_and_uncertain_ones_are(own_plants: Plants) -> None:
    plants = own_plants
    block = course(range(60, 70))
    quality = np.zeros(10, np.uint32)
    quality[3:5], quality[7] = BAD, UNCERTAIN
    plants.hq.take(plants.one.data(type(block)(block.type, block.point, block.time, block.value, quality)))
    series = plants.series("unit-1/10LBA10CT001")
    [found] = trend.trend(plants.sources, ALL, [series], T0 + MINUTE, T0 + 70 * SECOND, 600).series
    assert [(span.from_us - T0, span.to_us - T0, span.severity) for span in found.spans] == [
        (63 * SECOND, 65 * SECOND, 2),
        (67 * SECOND, 68 * SECOND, 1),
    ]
    drawn = dict(zip(found.time_us, found.value, strict=True))
    assert drawn[T0 + 63 * SECOND] is None and T0 + 64 * SECOND not in drawn
    assert drawn[T0 + 67 * SECOND] == 67.0


def test_roll_ups_show_the_extremes_of_the_raw_rows_and_what_came_since(
    own_plants: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    plants = own_plants
    for start in range(60, 7260, 1200):
        plants.hq.take(plants.one.data(course(range(start, start + 1200))))
    plants.roll_up()
    plants.hq.take(plants.one.data(course(range(7260, 7300))))
    series = plants.series("unit-1/10LBA10CT001")
    end = T0 + 7300 * SECOND
    [raw] = trend.trend(plants.sources, ALL, [series], T0, end, 50).series
    monkeypatch.setattr(trend, "RAW_ROWS_MAX", 0)
    [rolled] = trend.trend(plants.sources, ALL, [series], T0, end, 50).series
    assert (raw.made_of, rolled.made_of) == ("raw", "minute")
    assert rolled.rows < raw.rows / 20
    assert (rolled.low, rolled.high) == (raw.low, raw.high) == (0.0, 999.0)
    assert max(value for value in rolled.value if value is not None) == 999.0
    assert rolled.time_us[-1] == T0 + 7299 * SECOND


def test_hours_with_late_rows_are_read_raw(own_plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    plants = own_plants
    plants.hq.take(plants.one.data(course(range(60, 7260))))
    plants.roll_up()
    late = course(range(7260, 7261))
    late.time[:], late.value[:] = T0 + 3000 * SECOND + 500, -5.0
    plants.hq.take(plants.one.data(late))
    state = plants.hq.settings.lake / "rollup.json"
    text = state.read_text()
    hour = (T0 + 3000 * SECOND) // 3_600_000_000 % 24
    state.write_text(text.replace('"dirty": []', f'"dirty": [["2026-09-21", {hour}]]'))
    monkeypatch.setattr(trend, "RAW_ROWS_MAX", 0)
    series = plants.series("unit-1/10LBA10CT001")
    [found] = trend.trend(plants.sources, ALL, [series], T0, T0 + 7260 * SECOND, 50).series
    assert (found.made_of, found.low) == ("minute", -5.0)


def test_texts_are_shown_where_they_change(own_plants: Plants) -> None:
    from protocols.samples import SampleBlock, ValueType

    plants = own_plants
    texts = ["open", "open", "shut", "shut", "open"]
    times = [T0 + (60 + at) * SECOND for at in range(5)]
    plants.hq.take(plants.one.data(SampleBlock.make(ValueType.TEXT, [3] * 5, times, texts)))
    series = plants.series("unit-1/10LBA10AA001")
    [found] = trend.trend(plants.sources, ALL, [series], T0, NOW + MINUTE, 100).series
    assert [(each.time_us, each.text) for each in found.texts] == [
        (times[0], "open"),
        (times[2], "shut"),
        (times[4], "open"),
    ]
    assert found.rows == 5 and not found.time_us


@pytest.mark.parametrize(
    ("series", "from_us", "to_us", "width"),
    (([1] * 21, T0, NOW, 10), ([1], NOW, T0, 10), ([1], T0, NOW, 0), ([1], 0, 2**63, 10)),
)
def test_a_chart_that_cannot_be_is_refused(
    plants: Plants, series: list[int], from_us: int, to_us: int, width: int
) -> None:
    with pytest.raises(InputError):
        trend.trend(plants.sources, ALL, series, from_us, to_us, width)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(-1e6, 1e6)), min_size=1, max_size=3000),
    st.integers(1, 40),
)
def test_every_pixel_column_keeps_its_extremes(steps: list[tuple[int, float]], width: int) -> None:
    time = np.cumsum([step for step, _ in steps]).astype(np.int64)
    value = np.array([value for _, value in steps])
    kept = thin(time, value, width)
    assert (np.diff(kept) > 0).all() and len(kept) <= 4 * max(width, WIDTH_MIN) + 2
    assert {0, len(time) - 1} <= set(kept.tolist())
    assert value[kept].min() == value.min() and value[kept].max() == value.max()


@given(st.lists(st.integers(0, 2), min_size=1, max_size=200), st.integers(1, 30))
def test_spans_hide_no_bad_quality(severity: list[int], merge: int) -> None:
    time = np.arange(len(severity), dtype=np.int64)
    spans = spans_of(time, np.array(severity), len(severity), merge)
    assert all(a.to_us <= b.from_us for a, b in itertools.pairwise(spans))
    for at, each in enumerate(severity):
        covering = [span.severity for span in spans if span.from_us <= at < span.to_us]
        assert each <= max(covering, default=0)


# -- the rest ----------------------------------------------------------------------------------


def test_bulk_reads_give_every_row_in_order(plants: Plants) -> None:
    series = [plants.series("unit-1/10LBA10CT001"), plants.series("unit-2/10LBA10CP001")]
    table = pa.Table.from_batches(samples.samples(plants.sources, ALL, series, T0, NOW), samples.SCHEMA)
    assert table.schema == samples.SCHEMA and len(table) == 50
    rows = list(zip(table["series"].to_pylist(), table["time"].cast(pa.int64()).to_pylist(), strict=True))
    assert rows == sorted(rows, key=lambda row: (series.index(row[0]), row[1]))


def test_a_bulk_read_that_is_given_up_frees_its_engine(plants: Plants) -> None:
    series = [plants.series("unit-1/10LBA10CT001")]
    for _ in range(5):
        reading = samples.samples(plants.sources, ALL, series, T0, NOW)
        next(reading)
        reading.close()  # type: ignore[attr-defined]


def test_a_pool_that_is_empty_says_so(plants: Plants) -> None:
    pool = LakePool(plants.hq.settings.lake, engines_max=1, wait_s=0.01)
    with pool.engine(), pytest.raises(BusyError), pool.engine():
        pass
    with pool.engine() as engine:
        assert list(engine.rows("SELECT 1")[1]) == [(1,)]
    pool.close()


def test_the_catalogue_describes_every_table_and_column_in_both_languages(plants: Plants) -> None:
    tables = {table.name: table for table in catalogue.catalogue(plants.sources, ALL)}
    assert list(tables) == [table.name for table in TABLES]
    for schema in TABLES:
        found = tables[schema.name]
        assert [column.name for column in found.columns] == schema.schema.names
        assert all(len(column.description.en) > 3 and column.description.zh for column in found.columns)
    path = Path(catalogue.__file__).parents[1] / "lake" / "descriptions.toml"
    described = tomllib.loads(path.read_text(encoding="utf-8"))
    for name, table in described.items():
        known = set(next(schema for schema in TABLES if schema.name == name).schema.names)
        assert set(table.get("columns", known)) == known
    assert tables["samples"].rows == 70
    assert catalogue.table(plants.sources, ALL, "nothing") is None


def test_a_limited_scope_counts_no_rows_of_others(plants: Plants) -> None:
    found = catalogue.table(plants.sources, PLANT_B, "samples")
    assert found is not None and found.rows is None and found.size_bytes is None


def test_desired_states_are_shown_with_their_history(own_plants: Plants) -> None:
    sources = own_plants.sources
    with sources.desired() as store:
        for version in ("1", "2"):
            item = Item(ItemKind.POINTS, "p", version, f"config/p-{version}.csv", 3, version * 64)
            store.put("unit-1", [item], NOW, "li", f"no. {version}")
    found = desired.desired(sources, PLANT_A, "unit-1")
    assert found is not None and (found.version, found.state) == (2, "never reported")
    versions = desired.history(sources, PLANT_A, "unit-1")
    assert versions is not None and [each.comment for each in versions] == ["no. 2", "no. 1"]
    changes = desired.compared(sources, PLANT_A, "unit-1")
    assert changes is not None and {change.item for change in changes} == {"points"}
    assert desired.compared(sources, PLANT_A, "unit-1", 0, 1) is not None
    for old, new in ((0, 0), (7, 8), (1, 0), (-1, 1)):
        with pytest.raises(InputError):
            desired.compared(sources, PLANT_A, "unit-1", old, new)
    assert gateways.gateways(sources, PLANT_A).items[0].desired == 2


def test_a_home_without_a_lake_is_shown_empty(tmp_path: Path, plants: Plants) -> None:
    home = tmp_path / "new"
    home.mkdir()
    (home / "headquarters.toml").write_text((plants.hq.home / "headquarters.toml").read_text())
    from headquarters.config import load

    sources = Sources(load(home))
    found = overview.overview(sources, ALL)
    assert (found.gateways, found.points, found.lake) == (0, 0, None)
    assert not points.points(sources, ALL).items and not catalogue.catalogue(sources, ALL)
    assert not events.events(sources, ALL).items
    sources.close()


def test_live_values_are_those_that_changed(own_plants: Plants) -> None:
    plants, values = own_plants, LatestValues()
    server = LatestServer(plants.hq.settings.data, Directory(), values)
    server.start()
    try:
        series = [plants.series("unit-1/10LBA10CT001"), plants.series("unit-2/10LBA10CT001")]
        values.update([_chunk(series[0], 1.5), _chunk(series[1], 2.5)])
        first = latest.latest(plants.sources, ALL, series)
        assert first.is_live and [value.value for value in first.values] == [1.5, 2.5]
        assert [value.value for value in latest.latest(plants.sources, PLANT_B, series).values] == [2.5]
        assert not latest.changed(plants.sources, ALL, series, first.version).values
    finally:
        server.close()


def test_a_mark_gives_what_came_after_it_and_one_of_another_run_everything() -> None:
    values = LatestValues()
    values.update([_chunk(1, 1.0), _chunk(2, 2.0)])
    mark, both = values.since(None)
    values.update([_chunk(2, 3.0)])
    assert [latest.series for latest in both] == [1, 2]
    assert [(latest.series, latest.value) for latest in values.since(mark)[1]] == [(2, 3.0)]
    assert len(values.since("another.7")[1]) == 2
    assert b'"mark"' in answer(b'{"since": null}', Directory(), values)
    assert b'"error"' in answer(b'{"since": 3}', Directory(), values)


def _chunk(series: int, value: float) -> SampleChunk:
    return chunk(scan(0, (1,), value - 1), np.array([series]), np.array([1]), 1, 0)


def test_views_give_values_that_nobody_can_change(plants: Plants) -> None:
    def frozen(value: object) -> None:
        if is_dataclass(value):
            parameters: Any = type(value)
            assert parameters.__dataclass_params__.frozen, type(value)
            for field in fields(value):
                frozen(getattr(value, field.name))
        elif isinstance(value, tuple):
            for each in value:
                frozen(each)
        else:
            assert not isinstance(value, list), value

    frozen(overview.overview(plants.sources, ALL))
    frozen(gateways.gateway(plants.sources, ALL, "unit-1"))
    frozen(topology.topology(plants.sources, ALL))
