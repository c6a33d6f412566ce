"""Workers: bounds hold, what hangs is ended, and one query's end is no other's. About ten seconds."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from headquarters.db import migrate
from headquarters.db.base import now_us
from headquarters.db.engine import open_database, reading, writing
from headquarters.errors import DeniedError, QuotaError
from headquarters.services.sql.errors import Fault, QueryError
from headquarters.services.sql.execute import Executor
from headquarters.services.sql.limits import PAGE_ROWS
from headquarters.services.sql.results import Results
from headquarters.services.sql.rights import Reach
from headquarters.services.sql.runner import Job, Runner
from headquarters.services.sql.service import QueryService
from headquarters.services.sql.task import Bounds, Task
from headquarters.tenancy.meter import Meter
from headquarters.tenancy.principal import Principal
from headquarters.tenancy.store import Tenants
from headquarters.tenancy.usage import Quotas
from protocols.errors import StoreError
from tests.sql.worlds import REACH, world

SMALL = Bounds(seconds=30, memory_bytes=200 << 20, spill_bytes=50 << 20, threads=1)
ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE hash(a.range + b.range) = 1"


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with Runner(
        world().full, tmp_path_factory.mktemp("runner"), workers=1, tenant_max=3, bounds=SMALL
    ) as runner:
        yield runner


@pytest.fixture
def result(tmp_path: Path) -> str:
    return str(tmp_path / "result.arrow")


def run(runner: Runner, sql: str, result: str, bounds: Bounds = SMALL, reach: Reach = REACH) -> pa.Table:
    runner.submit(Task(sql, reach, result, bounds=bounds), "north").result()
    with pa.OSFile(result) as source:
        return pa.ipc.open_file(source).read_all()


def fault(job: Job) -> Fault:
    with pytest.raises(QueryError) as failed:
        job.result()
    return failed.value.fault


def test_a_result_is_pages_in_a_file(runner: Runner, result: str) -> None:
    outcome = runner.submit(Task("SELECT range AS n FROM range(2500)", REACH, result), "north").result()
    with pa.OSFile(result) as source:
        pages = pa.ipc.open_file(source)
        assert [len(pages.get_batch(at)) for at in range(pages.num_record_batches)] == [
            PAGE_ROWS,
            PAGE_ROWS,
            500,
        ]
    assert (outcome.rows, outcome.truncated, outcome.bytes) == (2500, "", Path(result).stat().st_size)


@pytest.mark.parametrize(
    ("bounds", "why"), [(Bounds(rows=1500, threads=1), "rows"), (Bounds(bytes=30_000, threads=1), "bytes")]
)
def test_a_result_ends_at_its_bounds_and_says_so(
    runner: Runner, result: str, bounds: Bounds, why: str
) -> None:
    sql = "SELECT hash(range) AS n FROM range(100000)"
    outcome = runner.submit(Task(sql, REACH, result, bounds=bounds), "north").result()
    assert outcome.truncated == why
    assert 0 < outcome.rows <= 3000
    assert outcome.bytes < 40_000


def test_each_of_two_tenants_sees_their_own_in_the_same_process(runner: Runner, result: str) -> None:
    sql = "SELECT DISTINCT site FROM series ORDER BY 1"
    theirs = Reach(frozenset({"canary-plant"}))
    assert run(runner, sql, result).column(0).to_pylist() == ["joint", "plant-a"]
    assert run(runner, sql, result, reach=theirs).column(0).to_pylist() == ["canary-plant"]
    assert run(runner, sql, result).column(0).to_pylist() == ["joint", "plant-a"]


def test_a_query_is_stopped_when_its_time_is_over(runner: Runner, result: str) -> None:
    begun = time.monotonic()
    job = runner.submit(Task(ENDLESS, REACH, result, bounds=Bounds(seconds=0.5, threads=1)), "north")
    assert fault(job) is Fault.TIMEOUT
    assert time.monotonic() - begun < 10
    assert not Path(result).exists()


def test_a_query_is_cancelled_while_it_runs_and_while_it_waits(runner: Runner, result: str) -> None:
    first = runner.submit(Task(ENDLESS, REACH, result, bounds=SMALL), "north")
    second = runner.submit(Task("SELECT 1", REACH, result, bounds=SMALL), "north")
    third = runner.submit(Task("SELECT 1", REACH, result, bounds=SMALL), "north")
    with pytest.raises(QueryError, match="at most 3 queries of a tenant") as refused:
        runner.submit(Task("SELECT 1", REACH, result, bounds=SMALL), "north")
    assert refused.value.fault is Fault.BUSY
    runner.cancel(second)
    assert fault(second) is Fault.CANCELLED
    runner.cancel(first)
    assert fault(first) is Fault.CANCELLED
    assert third.result().rows == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT list(a.range) FROM range(200000000) a",
        "SELECT repeat('x', 1000000000) || repeat('y', 2000000000)",
    ],
)
def test_a_query_that_needs_too_much_memory_fails_alone(runner: Runner, result: str, sql: str) -> None:
    assert fault(runner.submit(Task(sql, REACH, result, bounds=SMALL), "north")) is Fault.MEMORY
    assert run(runner, "SELECT 1 AS one", result).to_pylist() == [{"one": 1}]


def test_a_query_that_fails_late_says_why_and_not_that_there_is_no_room(runner: Runner, result: str) -> None:
    """What goes wrong after the first rows comes through Arrow's stream, as an `OSError`."""
    late = "SELECT (CASE WHEN range = 900000 THEN 'x' ELSE '1' END)::INTEGER AS n FROM range(1000000)"
    endless = "WITH RECURSIVE t AS (SELECT 1 AS n UNION SELECT n + 1 FROM t) SELECT * FROM t"
    job = runner.submit(Task(late, REACH, result, bounds=SMALL), "north")
    assert fault(job) is Fault.WRONG
    assert "Could not convert string 'x'" in str(job.error)
    job = runner.submit(Task(endless, REACH, result, bounds=Bounds(seconds=1, threads=1)), "north")
    assert fault(job) is Fault.TIMEOUT
    wide = "SELECT list(range) OVER () AS l FROM range(20000)"
    job = runner.submit(Task(wide, REACH, result, bounds=SMALL), "north")
    assert fault(job) is Fault.MEMORY
    assert not Path(result).exists()


@pytest.mark.parametrize("sql", ["SELECT max(value), max(text) FROM samples", "SELECT * FROM samples"])
def test_a_damaged_file_of_the_lake_is_not_the_askers_fault(tmp_path: Path, sql: str) -> None:
    lake = Path(shutil.copytree(world().full, tmp_path / "lake"))
    for file in (lake / "samples").glob("date=*/bucket=0/*.parquet"):
        content = bytearray(file.read_bytes())
        content[4:-1000] = bytes(len(content) - 1004)  # all but the foot, which says where columns begin
        file.write_bytes(content)
    executor = Executor(lake, tmp_path / "spill")
    with pytest.raises(StoreError, match="a file of the lake cannot be read") as failed:
        executor.run(Task(sql, Reach(None), str(tmp_path / "result.arrow"), bounds=SMALL))
    assert str(tmp_path) not in str(failed.value)


def test_spellings_of_a_time_zone_do_not_fill_a_worker(tmp_path: Path) -> None:
    """Each zone that is kept takes memory, and one zone has many spellings."""
    workers = set()
    with Runner(world().full, tmp_path / "runner", workers=1) as runner:
        for number in range(24):
            zone = "Asia/" + "".join(c.upper() if number >> at & 1 else c for at, c in enumerate("tokyo"))
            task = Task("SELECT 1 AS one", REACH, str(tmp_path / "result.arrow"), timezone=zone)
            assert runner.submit(task, "north").result().rows == 1
            workers.update(runner.processes())
    assert len(workers) == 1


def test_a_database_that_was_made_ahead_has_the_bounds_of_the_query_that_gets_it(tmp_path: Path) -> None:
    sql = "SELECT len(list(range)) AS n FROM range(20000000)"
    with Runner(world().full, tmp_path / "runner", workers=1) as runner:
        for bounds in (Bounds(), SMALL, Bounds()):
            job = runner.submit(Task(sql, REACH, str(tmp_path / "result.arrow"), bounds=bounds), "north")
            if bounds is SMALL:
                assert fault(job) is Fault.MEMORY
            else:
                assert job.result().rows == 1


def test_a_worker_in_which_a_query_left_too_little_room_is_replaced(runner: Runner, result: str) -> None:
    assert run(runner, "SELECT 1 AS one", result).to_pylist() == [{"one": 1}]
    [worker] = runner.processes()
    lists = ", ".join(["range(10000000)"] * 4)
    job = runner.submit(Task(f"SELECT list_zip({lists})", REACH, result, bounds=SMALL), "north")
    assert fault(job) is Fault.MEMORY
    assert run(runner, "SELECT 1 AS one", result).to_pylist() == [{"one": 1}]
    assert runner.processes() != [worker]


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_is_replaced(runner: Runner, result: str, blow: signal.Signals) -> None:
    [worker] = runner.processes()
    job = runner.submit(Task(ENDLESS, REACH, result, bounds=Bounds(seconds=1, threads=1)), "north")
    threading.Timer(0.3, os.kill, (worker, blow)).start()
    assert fault(job) is (Fault.MEMORY if blow is signal.SIGKILL else Fault.TIMEOUT)
    assert run(runner, "SELECT 1 AS one", result).to_pylist() == [{"one": 1}]
    assert runner.processes() != [worker]


def test_results_expire_and_make_room(tmp_path: Path) -> None:
    now = [0.0]
    page = pa.record_batch({"n": range(70)})

    def write(results: Results, id: str) -> int:
        with pa.OSFile(str(results.path(id)), "wb") as sink, pa.ipc.new_file(sink, page.schema) as out:
            out.write_batch(page)
        return results.path(id).stat().st_size

    def there(results: Results) -> set[str]:
        return {id for id in "abcd" if results.page(id, 0) is not None}

    size = write(Results(tmp_path, lambda: 0.0, 1, 1, 1), "size")
    results = Results(tmp_path, lambda: now[0], bytes_max=3 * size, tenant_bytes_max=2 * size, keep_s=10)
    assert not list(tmp_path.iterdir())
    for id, tenant in (("a", "north"), ("b", "south"), ("c", "south"), ("d", "south")):
        write(results, id)
        results.keep(id, tenant)
        now[0] += 1
    assert there(results) == {"a", "c", "d"}, "south lost its own oldest"
    write(results, "e")
    results.keep("e", "east")
    assert there(results) == {"c", "d"}, "the oldest of all made room"
    assert (results.used("north"), results.used("south")) == (0, 2 * size)
    now[0] = 12.5
    assert there(results) == {"d"}
    assert not results.path("c").exists()
    assert results.page("d", 0) == page
    assert results.page("d", 1) is None


def test_the_service_knows_who_may_ask_what_they_see_and_what_they_asked(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'metadata.db'}")
    migrate.upgrade(engine)
    with writing(engine) as session:
        Tenants(session).add("north", "North", 1)
        Tenants(session).own("plant-a", "north", 1)
        Quotas(session).set("north", "queries", 2)
        Quotas(session).set("north", "jobs", 1)

    def used() -> dict[str, int]:
        with reading(engine) as session:
            return Quotas(session).usage("north", now_us())

    anna = Principal("1", "anna", "user", "north", frozenset({"operator"}))
    vera = Principal("2", "vera", "user", "north", frozenset({"viewer"}))
    service = QueryService(
        engine, world().full, tmp_path / "queries", workers=1, bounds=SMALL, meter=Meter(engine)
    )
    try:
        asked = service.ask(anna, "SELECT DISTINCT site FROM series")
        assert service.wait(asked.id, 30)
        page = service.page(anna, asked.id, 0)
        assert page is not None
        assert page.to_pylist() == [{"site": "plant-a"}]
        wrong = service.ask(anna, "SELECT * FROM read_csv('x')")
        assert service.wait(wrong.id, 30)
        newest, first = service.history(anna)
        assert (newest.state, newest.fault) == ("failed", "refused")
        assert (first.state, first.rows) == ("done", 1)
        with pytest.raises(QuotaError, match="2 queries"):
            service.ask(anna, "SELECT 1")
        assert used() == {"storage": 0, "queries": 2, "jobs": 0, "apps": 0}, "what was refused was not begun"
        with writing(engine) as session:
            Quotas(session).set("north", "queries", None)
        running = service.ask(anna, ENDLESS)
        assert used()["jobs"] == 1
        with pytest.raises(QuotaError, match="1 jobs"):
            service.ask(anna, "SELECT 1")
        service.cancel(anna, running.id)
        assert service.wait(running.id, 30)
        assert used() == {"storage": 0, "queries": 3, "jobs": 0, "apps": 0}, "what has ended makes room"
        with pytest.raises(DeniedError):
            service.ask(vera, "SELECT 1")
        with pytest.raises(DeniedError):
            service.save(anna, "mine", "SELECT 1", shared=True)
        other = Principal("3", "olga", "user", "north", frozenset({"operator"}))
        assert service.page(other, asked.id, 0) is None
        assert not service.cancel(other, asked.id)
        assert service.explain(anna, "SELECT * FROM gaps").files > 0
        service.save(anna, "mine", "SELECT 1")
        with writing(engine) as session:
            Quotas(session).set("north", "storage", 1000)
            Quotas(session).measure("north", "storage", 1000)
        with pytest.raises(QuotaError, match="1,000 storage"):
            service.save(anna, "another", "SELECT 1")
        assert [saved.name for saved in service.saved(anna)] == ["mine"]
    finally:
        service.close()
        engine.dispose()
