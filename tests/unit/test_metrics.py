"""Metrics as Prometheus reads them, on the listener that monitors ask, and health and readiness."""

from __future__ import annotations

import http.client
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import edge_runtime.metrics as edge
import headquarters.operations.metrics as headquarters
import hub.metrics as hub
from protocols.daemon import EventLog
from protocols.errors import InputError
from protocols.metrics import COUNTER, GAUGE, Metric, at, each, machine, render
from protocols.probe import STALE_S, Probe
from protocols.probeserver import ProbeServer
from protocols.smallserver import CONNECTIONS_MAX

EDGE: dict[str, Any] = {
    "gateway": "unit-1", "site": "works", "state": "running", "points": 20,
    "backlog": {"batches": 3, "unsent": 1, "bytes": 369, "seconds": 0.467},
    "ledger": {
        "collected": 120, "thinned": 2, "sealed": 118, "dropped": {"quota": 7}, "buried": {},
        "unaccounted": 0,
    },
    "uplink": {
        "connected": True, "sessions": 1, "bytes_sent": 3971, "batches_sent": 9,
        "receipt_us": 1795730980139223,
    },
    "store": {"trouble": "", "used_bytes": 45056, "quota_bytes": 2147483648},
    "clock": {"state": "synchronised", "offset_us": -1500},
    "devices": [
        {"device": 'plant "A"\\n1', "state": "connected", "requests": 18, "timeouts": 0, "exceptions": 0,
         "malformed": 0, "writes": 0, "writes_failed": 0},
        {"device": "plc", "state": "waiting", "requests": 5, "timeouts": 5, "exceptions": 0,
         "malformed": 0, "writes": 0, "writes_failed": 0},
    ],
    "tasks": [{"task": "plant/fast", "served": 6, "missed": 0, "late_ms_max": 20.57}],
    "apps": [], "alarms_raised": 4, "memory_bytes": 1, "disk_free_bytes": 2, "disk_bytes": 3,
}  # fmt: skip
HUB: dict[str, Any] = {
    "hub": "hub-1", "started": 1795730955.25, "stopped": False, "no_room": "", "used_bytes": 106496,
    "quota_bytes": 21474836480, "stored": 21, "commits": 14, "duplicates": 0, "refused_keys": 0,
    "mirror": None, "refusals": 0, "quarantined": 0,
    "landings": [{"directory": "/in", "stored": 5, "files_waiting": 2}],
    "gateways": {
        "unit-1": {
            "connected": True, "silent_s": 0.6, "batches": 105, "samples": 1640, "bytes": 40398, "held": 0,
        },
        "unit-2": {"connected": False, "silent_s": None},
    },
    "upstreams": {"hq": {"connected": True, "batches_sent": 25, "bytes_sent": 9961, "backlog": 1}},
    "memory_bytes": 1, "disk_free_bytes": 2, "disk_bytes": 3,
}  # fmt: skip
HQ: dict[str, Any] = {
    "headquarters": "hq", "started": 1.0, "stopped": False, "failing": False, "commits": 14, "batches": 41,
    "rows": 520, "refused": 0, "failures": 0, "lake_latency_p50_s": 2.7453, "lake_latency_p99_s": None,
    "commit_p50_ms": 68.85, "commit_p99_ms": 190.27, "duplicates": 0, "refused_keys": 0,
    "updates": {"failing": "", "alarms": [{"role": "root", "days_left": 2.5}]}, "sessions": {"hub-1": 0.1},
    "holes": [{"waited_s": 3.0}, {"waited_s": 5.5}], "upkeep": {"merges": 3, "dirty_hours": 1},
    "desired": {"open_rollouts": 1}, "web": None,
    "tables": {"samples": {"files": 2, "rows": 1640, "bytes": 4522}},
    "memory_bytes": 1, "disk_free_bytes": 2, "disk_bytes": 3,
}  # fmt: skip


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus' own parser makes of a text."""
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_gateways_metrics_are_what_its_status_says() -> None:
    found = parsed(render(edge.METRICS, EDGE))
    assert found["catchment_edge_samples_collected_total", ()] == 120
    assert found["catchment_edge_samples_dropped_total", (("cause", "quota"),)] == 7
    assert found["catchment_edge_backlog_seconds", ()] == 0.467
    assert found["catchment_edge_clock_offset_seconds", ()] == -0.0015
    assert found["catchment_edge_receipt_timestamp_seconds", ()] == pytest.approx(1795730980.139223)
    assert found["catchment_edge_device_connected", (("device", 'plant "A"\\n1'),)] == 1
    assert found["catchment_edge_device_connected", (("device", "plc"),)] == 0
    assert found["catchment_edge_info", (("gateway", "unit-1"), ("site", "works"))] == 1


def test_a_hubs_metrics_are_what_its_status_says_and_what_is_not_known_is_left_out() -> None:
    found = parsed(render(hub.METRICS, HUB))
    assert found["catchment_hub_gateway_samples_total", (("gateway", "unit-1"),)] == 1640
    assert found["catchment_hub_gateway_connected", (("gateway", "unit-2"),)] == 0
    assert ("catchment_hub_gateway_samples_total", (("gateway", "unit-2"),)) not in found
    assert found["catchment_hub_upstream_backlog_batches", (("upstream", "hq"),)] == 1
    assert found["catchment_hub_landing_waiting_files", (("directory", "/in"),)] == 2
    assert not any(name.startswith("catchment_hub_mirror") for name, _ in found)


def test_headquarters_metrics_are_what_its_status_says() -> None:
    found = parsed(render(headquarters.METRICS, HQ))
    assert found["catchment_hq_ingest_latency_p50_seconds", ()] == 2.7453
    assert ("catchment_hq_ingest_latency_p99_seconds", ()) not in found
    assert found["catchment_hq_commit_p99_seconds", ()] == pytest.approx(0.19027)
    assert found["catchment_hq_updates_expire_seconds", (("role", "root"),)] == 216_000
    assert (found["catchment_hq_holes", ()], found["catchment_hq_hole_waited_max_seconds", ()]) == (2, 5.5)
    assert found["catchment_hq_table_rows", (("table", "samples"),)] == 1640


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.1, 1e300, 2.0**60, -3])
def test_any_number_and_any_label_come_through(value: float) -> None:
    text = 'a"b\\c\nd\\n温度'
    metric = Metric("m", GAUGE, "", "Back\\slash\nand line.", each(["x"], []), ("name",))
    found = parsed(render([metric, Metric("n_total", COUNTER, "", "Other.", at("no"))], {"x": {text: value}}))
    assert list(found) == [("m", (("name", text),))]
    assert found["m", (("name", text),)] == pytest.approx(value, nan_ok=True)


def test_a_process_tells_of_its_memory_and_its_disk(tmp_path: Path) -> None:
    told = machine(tmp_path)
    assert told["memory_bytes"] > 1 << 20
    assert 0 < told["disk_free_bytes"] < told["disk_bytes"]
    assert machine(tmp_path / "none")["disk_bytes"] == 0


def test_health_is_a_process_that_speaks_and_readiness_is_that_it_works() -> None:
    now = [0.0]
    probe = Probe(edge.METRICS, edge.why_not_ready, monotonic=lambda: now[0])
    assert [asked(probe, path) for path in ("/healthz", "/readyz", "/metrics")] == [
        (503, "it is starting\n")
    ] * 3
    probe.tell(EDGE)
    assert [asked(probe, path) for path in ("/healthz", "/readyz")] == [(200, "ok\n")] * 2
    probe.tell({**EDGE, "state": "stopping", "store": {"trouble": "no room"}})
    assert asked(probe, "/healthz") == (200, "ok\n")
    assert asked(probe, "/readyz") == (503, "it is stopping\nthe store: no room\n")
    now[0] = STALE_S + 1
    assert asked(probe, "/healthz") == (503, "it has said nothing of itself for 31 s\n")
    assert probe.answer("/") is None
    closed = Probe(edge.METRICS, edge.why_not_ready, metrics_shown=False)
    closed.tell(EDGE)
    assert closed.answer("/metrics") is None
    assert asked(closed, "/readyz") == (200, "ok\n")


def test_hub_and_headquarters_say_why_they_take_nothing() -> None:
    assert hub.why_not_ready(HUB) == [] == headquarters.why_not_ready(HQ)
    assert hub.why_not_ready({**HUB, "no_room": "quota"}) == ["no room: quota"]
    assert headquarters.why_not_ready({**HQ, "failing": True, "stopped": True}) == [
        "it has stopped",
        "the lake fails; see the log",
    ]


def asked(probe: Probe, path: str) -> tuple[int, str]:
    answer = probe.answer(path)
    assert answer is not None
    return answer.status, answer.body.decode()


@pytest.fixture
def server() -> Iterator[tuple[ProbeServer, Probe, io.StringIO]]:
    probe = Probe(hub.METRICS, hub.why_not_ready)
    stream = io.StringIO()
    server = ProbeServer("127.0.0.1:0", probe, "hub.toml", EventLog(stream=stream))
    server.start()
    yield server, probe, stream
    server.close()


def test_monitors_are_answered_over_http(server: tuple[ProbeServer, Probe, io.StringIO]) -> None:
    listener, probe, log = server
    probe.tell(HUB)
    assert get(listener, "/readyz") == (200, "text/plain; charset=utf-8", b"ok\n")
    status, media_type, body = get(listener, "/metrics?x=1")
    assert (status, media_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert parsed(body.decode())["catchment_hub_stored_batches_total", ()] == 21
    assert get(listener, "/")[0] == 404
    assert get(listener, "/metrics", "POST")[0] == 501
    assert get(listener, "/metrics", "HEAD")[2] == b""
    assert [json.loads(line)["event"] for line in log.getvalue().splitlines()] == ["metrics-open"]


def test_who_holds_all_connections_keeps_nobody_out_for_long(
    server: tuple[ProbeServer, Probe, io.StringIO],
) -> None:
    listener, probe, _ = server
    probe.tell(HUB)
    host, port = listener.address.removeprefix("http://").split(":")
    held = [http.client.HTTPConnection(host, int(port)) for _ in range(CONNECTIONS_MAX)]
    for connection in held:
        connection.connect()
    with pytest.raises((http.client.HTTPException, OSError)):
        get(listener, "/healthz")
    for connection in held:
        connection.close()
    for _ in range(50):
        try:
            assert get(listener, "/healthz")[0] == 200
            return
        except (http.client.HTTPException, OSError):
            continue
    pytest.fail("nobody was let in again")


def test_an_address_that_is_taken_is_said_so(server: tuple[ProbeServer, Probe, io.StringIO]) -> None:
    listener, probe, _ = server
    bind = listener.address.removeprefix("http://")
    with pytest.raises(
        InputError, match=r"hub.toml: \[metrics\] bind: got '127.0.0.1:\d+'; expected an address"
    ):
        ProbeServer(bind, probe, "hub.toml", EventLog(stream=None))


def get(listener: ProbeServer, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(listener.address.removeprefix("http://"), timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read()
    finally:
        connection.close()
