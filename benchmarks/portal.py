"""The portal under a large lake: the first paint of a month's trend, and its pages with 50 users at once.

A real headquarters runs over a lake of 80 points at one sample a second for 30 days, 207 million rows
(`portal_lake`). A headless Chromium opens the trend of one point over all 30 days; what counts is the time
from the begin of the navigation to the frame behind the one in which the line was drawn. Then 50 users
ask for pages, each when its time has come and not when the answer before is there (an open loop, so that
a slow answer hides no other); a bare FastAPI application with the same server settings is asked likewise.

Run: ``python -m benchmarks.portal [--quick] [--home FOLDER] [--json]``
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI

from benchmarks.frame import Row, table
from benchmarks.portal_lake import DAY_US, GATEWAYS, POINTS, SPIKE, Filled, fill
from headquarters import web
from headquarters.accounts.sessions import Sessions
from headquarters.accounts.store import Users
from headquarters.accounts.terms import Terms
from headquarters.config import CONFIG, load
from headquarters.db.base import now_us
from headquarters.db.engine import writing
from headquarters.metadata import open_metadata
from headquarters.tenancy.principal import GROUP
from tests.peers.browser import Browser
from tests.peers.foreign import free_port

USERS = 50
ROLES = {"operator": 44, "security-administrator": 2, "system-administrator": 2, "audit-administrator": 2}
PAGES = {
    "operator": (
        "/", "/topology", "/gateways", "/gateways/unit-1", "/mimic", "/points", "/points?q=unit-2*",
        "/trend?series=1&span=2592000", "/alarms", "/events", "/sql", "/catalogue", "/catalogue/samples",
        "/rollouts", "/search?q=unit", "/account",
    ),
    "security-administrator": ("/", "/enrolment", "/users"),
    "system-administrator": ("/", "/tenants", "/users"),
    "audit-administrator": ("/audit", "/audit/check"),
}  # fmt: skip
RATES = (10, 20)
"""Pages a second of all users together: each asks for one every five seconds, and every two and a half."""

PAINT_S = 1.0
ANSWER_S = 0.1
DAYS, QUICK_DAYS = 30.0, 1.5
WARM_TURNS, COLD_TURNS = 9, 5
START_S, PAGE_S = 120.0, 60.0
SETTLE_S = 5.0
"""From the process' first answer to the first visitor."""

SEED = 1

MARKS = """
const stroke = CanvasRenderingContext2D.prototype.stroke;
CanvasRenderingContext2D.prototype.stroke = function (...given) {
  if (!window.drawn && given[0] instanceof Path2D && this.canvas.closest('#chart')) {
    window.drawn = performance.now();
    requestAnimationFrame(() => setTimeout(() => { window.painted = performance.now(); }));
  }
  return stroke.apply(this, given);
};
"""
"""Notes when the chart's first line was drawn, and when the frame with it was done."""


def measure(quick: bool, home: Path | None = None) -> Iterator[Row]:
    """Everything.

    Args:
        quick: A lake of a day and a half, and fewer requests.
        home: Keep the lake here, and take the one that is there; `None`: a new one, deleted afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="catchment-bench-") as temporary:
        folder = Path(temporary) / "hq" if home is None else home
        filled = _lake(folder, QUICK_DAYS if quick else DAYS)
        address = _bound(folder)
        cookies = _users(folder)
        title = f"of {filled.rows / 1e6:,.0f} M rows"
        with _running(folder, address):
            time.sleep(SETTLE_S)
            yield from _trends(address, cookies["operator"][0], filled, title, quick)
            yield from _pages(folder, address, cookies, title, quick)


def _trends(address: str, cookie: str, filled: Filled, title: str, quick: bool) -> Iterator[Row]:
    cold, warm = (2, 3) if quick else (COLD_TURNS, WARM_TURNS)
    numbers = list(range(filled.series + 1, filled.series + 1 + cold + warm))
    with Browser() as browser:
        browser.size(1280, 900)
        browser.before_pages(MARKS)
        browser.open(f"{address}/static/LICENCES.txt")
        browser.cookie("catchment", cookie)
        first = _paint(browser, address, filled.series, DAYS)
        assert first["high"] == SPIKE or quick, f"the spike is not in the chart: {first['high']}"
        yield _paint_row(f"first paint of 30 days, the process' first, lake {title}", [first["painted"]])
        taken: dict[str, list[float]] = {"cold": [], "warm": [], "data": []}
        for number in numbers[:cold]:
            browser.forget_cache()
            taken["cold"].append(_paint(browser, address, number, DAYS)["painted"])
        for number in numbers[cold:]:
            found = _paint(browser, address, number, DAYS)
            taken["warm"].append(found["painted"])
            taken["data"].append(found["data"])
    yield _paint_row(f"first paint of 30 days, nothing in the browser's cache, lake {title}", taken["cold"])
    yield _paint_row(f"first paint of 30 days, scripts in its cache, lake {title}", taken["warm"])
    median = statistics.median(taken["data"])
    against = 1000 * PAINT_S
    yield Row.of("of these the answer with the data, median", median, "ms", "the whole promise", against)


def _paint(browser: Browser, address: str, series: int, days: float) -> dict[str, float]:
    """Open a trend; milliseconds from the begin of the navigation."""
    browser.open(f"{address}/trend?series={series}&span={days * 86_400:.0f}")
    browser.wait("the chart", lambda: browser.script("return window.painted ?? null"), PAGE_S)
    found: dict[str, float] = browser.script(
        "const data = performance.getEntriesByType('resource').find(e => e.name.includes('/trend/data'));"
        "return {painted: window.painted, drawn: window.drawn, data: data.duration, begun: data.startTime,"
        " high: Number(document.querySelector('[data-high]').textContent.replace(/[^0-9.-]/g, ''))}"
    )
    return found


def _paint_row(name: str, took_ms: Sequence[float]) -> Row:
    value = statistics.median(took_ms)
    spread = "" if len(took_ms) == 1 else f", median of {len(took_ms)}, slowest {max(took_ms):.0f} ms"
    return Row.of(name + spread, value, "ms", "promised below", 1000 * PAINT_S, "<= 1")


def _pages(home: Path, address: str, cookies: dict[str, list[str]], title: str, quick: bool) -> Iterator[Row]:
    seconds = 5.0 if quick else 30.0
    visits = [(role, cookie) for role, own in cookies.items() for cookie in own]
    bare = f"http://127.0.0.1:{free_port()}"
    with _bare(home, bare):
        plain = [(f"{bare}/", "")]
        asyncio.run(_load([(f"{address}{p}", v[1]) for v in visits for p in PAGES[v[0]]], 20, 3.0, 0))  # warm
        for rate in RATES:
            random = np.random.default_rng(SEED)
            asked = []
            for turn in range(int(rate * seconds)):
                role, cookie = visits[turn % len(visits)]
                asked.append((address + str(random.choice(PAGES[role])), cookie))
            ours = asyncio.run(_load(asked, rate, seconds, SEED))
            theirs = asyncio.run(_load(plain * len(asked), rate, seconds, SEED))
            what = f"{USERS} users at once, {rate} pages/s, lake {title}"
            base = "bare FastAPI"
            for name, point in (("median", 50), ("p99", 99)):
                mine, bares = (1000 * float(np.percentile(took, point)) for took in (ours, theirs))
                yield Row.of(f"portal page, {name}, {what}", mine, "ms", base, bares)
                if name == "median":
                    goal = 1000 * ANSWER_S
                    yield Row.of(f"portal page, {name}, {what}", mine, "ms", "promised below", goal, "<= 1")


async def _load(asked: Sequence[tuple[str, str]], rate: float, seconds: float, seed: int) -> list[float]:
    """Ask for pages at random times; seconds from when each was due to the end of its answer."""
    random = np.random.default_rng(seed)
    due = np.sort(random.uniform(0.0, seconds, min(len(asked), int(rate * seconds))))
    limits = httpx.Limits(max_connections=USERS, keepalive_expiry=2.0)  # before the server closes idle ones
    async with httpx.AsyncClient(timeout=PAGE_S, limits=limits) as client:
        begun = time.perf_counter() + 0.2

        async def one(at: float, address: str, cookie: str) -> float:
            await asyncio.sleep(begun + at - time.perf_counter())
            headers = {"Cookie": f"catchment={cookie}"} if cookie else {}
            answer = await client.get(address, headers=headers)
            took = time.perf_counter() - begun - at
            assert answer.status_code == 200, f"{address}: {answer.status_code} {answer.text[:500]}"
            return took

        turns = [one(at, *each) for at, each in zip(due.tolist(), asked, strict=False)]
        return list(await asyncio.gather(*turns))


def _lake(home: Path, days: float) -> Filled:
    kept = home / "filled.json"
    if kept.exists():
        filled = Filled(**json.loads(kept.read_text()))
        if now_us() - filled.end_us < DAY_US:
            return filled
        raise click.UsageError(f"expected a lake that ends today in {home}; delete it")
    begun = time.perf_counter()
    command = [sys.executable, "-m", "headquarters.cli", "init", "--home", str(home), "--id", "headquarters"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    config = home / CONFIG
    text = config.read_text().replace("tcp://0.0.0.0:7600", f"tcp://127.0.0.1:{free_port()}")
    config.write_text(text + '\n[web]\nbind = "127.0.0.1:1"\nrequests_per_minute = 1000000\n')
    filled = fill(home, now_us(), days)
    kept.write_text(json.dumps(asdict(filled)))
    shown = f"{filled.rows:,} rows of {GATEWAYS * POINTS} points in {filled.files} files"
    click.echo(f"filled in {time.perf_counter() - begun:.0f} s: {shown}", err=True)
    return filled


def _bound(home: Path) -> str:
    """Set a free port for the web process; its address."""
    config, bound = home / CONFIG, f"127.0.0.1:{free_port()}"
    lines = config.read_text().splitlines()
    at = lines.index("[web]") + 1
    lines[at] = f'bind = "{bound}"'
    config.write_text("\n".join(lines) + "\n")
    return f"http://{bound}"


def _users(home: Path) -> dict[str, list[str]]:
    """Fifty users, signed in: cookies by role."""
    config = load(home)
    metadata = open_metadata(config.data, config.metadata_url)
    sessions = Sessions(metadata, Terms(**config.accounts))
    cookies: dict[str, list[str]] = {}
    for role, count in ROLES.items():
        for number in range(count):
            login = f"{role}-{number}"
            with writing(metadata) as session:
                users = Users(session)
                known = users.by_login(login)
                user = users.add(GROUP, login, login, "", now_us()) if known is None else known.id
                if known is None:
                    users.give_role(user, role)
            cookies.setdefault(role, []).append(sessions.begin(user, "bench", "127.0.0.1", "bench"))
    metadata.dispose()
    return cookies


@contextmanager
def _running(home: Path, address: str) -> Iterator[None]:
    """Headquarters with its web process."""
    command = [sys.executable, "-m", "headquarters.cli", "run", "--home", str(home)]
    with (home / "run.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _answering(f"{address}/static/LICENCES.txt", process)
            yield
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def _bare(home: Path, address: str) -> Iterator[None]:
    """An application that answers a few bytes, in a process of its own."""
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "benchmarks.portal", "--home", str(home), "--bare", port]
    process = subprocess.Popen(command)
    try:
        _answering(address, process)
        yield
    finally:
        process.terminate()
        process.wait(20)


def _serve_bare(home: Path, port: int) -> None:
    app = FastAPI()

    @app.get("/")
    def answer() -> dict[str, Any]:
        return {"answer": 42}

    settings = web.server_settings(load(home), app)
    settings.port = port
    uvicorn.Server(settings).run()


def _answering(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while True:
        assert process.poll() is None and time.monotonic() < end, f"{address} does not answer"
        try:
            if httpx.get(address).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)


@click.command(help="Measure the portal over a lake of 200 million rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of rows as the last line.")
@click.option("--quick", is_flag=True, help="A lake of ten million rows, and fewer requests.")
@click.option("--home", type=click.Path(path_type=Path), help="Keep the lake here, for further runs today.")
@click.option("--bare", type=int, hidden=True)
def main(as_json: bool, quick: bool, home: Path | None, bare: int | None) -> None:
    """Run it."""
    if bare is not None:
        assert home is not None, "whose settings are those of the server"
        _serve_bare(home, bare)
        return
    load_before = os.getloadavg()[0]
    rows = []
    for row in measure(quick, home):
        rows.append(row)
        click.echo(table([row]), err=True, nl=False)
    click.echo(f"load of the machine: {load_before:.1f} before, {os.getloadavg()[0]:.1f} after", err=True)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
