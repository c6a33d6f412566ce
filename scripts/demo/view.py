"""The live view: a table that redraws itself, or a line now and then where there is no terminal.

>>> found = readings({"gw-a": GATEWAY_EXAMPLE, "hub": {}})
>>> print(*table(12.0, found), sep="\\n")  # doctest: +NORMALIZE_WHITESPACE
   12.0 s    values/s  backlog  lag s  B/sample  ledger
  gw-a          500.0        2    1.5      2.20  collected 6,000 = in batches 5,500 + journalled 500
  hub               -        -      -         -  down
"""

from __future__ import annotations

import shutil
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

LINE_EVERY_S = 5.0
_CLEAR_LINE = "\x1b[2K"
_UP = "\x1b[{}A"

Statuses = Mapping[str, Mapping[str, Any]]

GATEWAY_EXAMPLE: Mapping[str, Any] = {
    "gateway": "gw-a",
    "rates": {"samples_per_s": 500.0, "bytes_sent_per_s": 1100.0},
    "backlog": {"batches": 2, "seconds": 1.5},
    "ledger": {"collected": 6000, "sealed": 5500, "journalled": 500, "thinned": 0, "dropped": {}},
}


class Reading(NamedTuple):
    """What is shown of one node; `None` for what it does not know.

    Args:
        node: Its name.
        values_per_s: Samples collected, stored or committed a second.
        backlog: Batches that are not known to be at headquarters, or at the next tier.
        lag_s: Age of the oldest of them; at headquarters, from sample to durable lake (p99).
        bytes_per_sample: What crosses the link.
        ledger: Its account, in words.
        rows: Rows committed to the lake, for headquarters: its rate is ours to find.
    """

    node: str
    values_per_s: float | None = None
    backlog: int | None = None
    lag_s: float | None = None
    bytes_per_sample: float | None = None
    ledger: str = "down"
    rows: int | None = None


class Rate:
    """The mean rate of a counter over the last few seconds.

    >>> rate = Rate()
    >>> [rate.update(count, now) for now, count in ((0.0, 0), (1.0, 500), (2.0, 1500))]
    [None, 500.0, 750.0]
    """

    def __init__(self, over: int = 10) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=over + 1)

    def update(self, count: int, now_s: float) -> float | None:
        """Count at `now_s`; a counter that went back began anew."""
        if self._seen and count < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now_s, count))
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else None


class View:
    """Shows what the nodes say of themselves.

    Args:
        output: Where to; redrawn in place when it is a terminal.
    """

    def __init__(self, output: TextIO = sys.stdout) -> None:
        self._output = output
        self._live = output.isatty()
        self._drawn = 0
        self._next_line_s = 0.0
        self._rows = Rate()

    def show(self, elapsed_s: float, statuses: Statuses, news: str = "") -> None:
        """Draw the state after `elapsed_s` seconds; `news` is said at once, once."""
        found = [self._with_rate(each, elapsed_s) for each in readings(statuses)]
        if self._live:
            self._redraw(table(elapsed_s, found), news)
        elif news or elapsed_s >= self._next_line_s:
            self._next_line_s = (elapsed_s // LINE_EVERY_S + 1) * LINE_EVERY_S
            self._write([line(elapsed_s, found) + (f"  {news}" if news else "")])

    def say(self, text: str) -> None:
        """Write lines below what was drawn."""
        self._drawn = 0
        self._write([text])

    def _with_rate(self, reading: Reading, elapsed_s: float) -> Reading:
        if reading.rows is None:
            return reading
        return reading._replace(values_per_s=self._rows.update(reading.rows, elapsed_s))

    def _redraw(self, lines: Sequence[str], news: str) -> None:
        up = _UP.format(self._drawn) if self._drawn else ""
        width = shutil.get_terminal_size().columns - 1  # a line that wraps would be two to go up
        said = [news, *lines] if news else lines
        self._write([up + "\n".join(f"{_CLEAR_LINE}{each:.{width}}" for each in said)])
        self._drawn = len(lines)

    def _write(self, lines: Sequence[str]) -> None:
        self._output.write("\n".join(lines) + "\n")
        self._output.flush()


def readings(statuses: Statuses) -> Iterator[Reading]:
    """What the nodes' status files say, in the view's own words."""
    for node, status in statuses.items():
        if not status:
            yield Reading(node)
        elif "gateway" in status:
            yield _gateway(node, status)
        elif "hub" in status:
            yield _hub(node, status)
        else:
            yield _headquarters(node, status)


def table(elapsed_s: float, found: Iterable[Reading]) -> list[str]:
    """The live table: a heading, and a line for each node."""
    lines = [f"{elapsed_s:7.1f} s    values/s  backlog  lag s  B/sample  ledger"]
    for each in found:
        numbers = (
            _number(each.values_per_s, 10, ",.1f"),
            _number(each.backlog, 7, ",d"),
            _number(each.lag_s, 5, ".1f"),
            _number(each.bytes_per_sample, 8, ".2f"),
        )
        lines.append(f"  {each.node:13.13}{numbers[0]}  {'  '.join(numbers[1:])}  {each.ledger}")
    return lines


def line(elapsed_s: float, found: Iterable[Reading]) -> str:
    """The same in one line, for logs."""
    parts = []
    for each in found:
        rate, backlog = _number(each.values_per_s, 0, ",.0f"), _number(each.backlog, 0, ",d")
        parts.append(f"{each.node} {rate}/s backlog {backlog} lag {_number(each.lag_s, 0, '.1f')} s")
    return f"{elapsed_s:7.1f} s  " + " | ".join(parts)


def _gateway(node: str, status: Mapping[str, Any]) -> Reading:
    rates, backlog, ledger = status["rates"], status["backlog"], status["ledger"]
    samples = rates["samples_per_s"]
    words = f"collected {ledger['collected']:,} = in batches {ledger['sealed']:,}"
    words += f" + journalled {ledger['journalled']:,}"
    for name, count in (("thinned", ledger["thinned"]), ("dropped", sum(ledger["dropped"].values()))):
        words += f" + {name} {count:,}" if count else ""
    size = rates["bytes_sent_per_s"] / samples if samples else None
    return Reading(node, samples, backlog["batches"], backlog["seconds"], size, words)


def _hub(node: str, status: Mapping[str, Any]) -> Reading:
    gateways, upstreams = status["gateways"].values(), status["upstreams"].values()
    samples = sum(gateway["samples_per_s"] for gateway in gateways)
    size = sum(gateway["bytes_per_s"] for gateway in gateways)
    words = f"stored {sum(gateway.get('samples', 0) for gateway in gateways):,}"
    backlog = sum(upstream["backlog"] for upstream in upstreams)
    return Reading(node, samples, backlog, None, size / samples if samples else None, words)


def _headquarters(node: str, status: Mapping[str, Any]) -> Reading:
    rows = status["tables"]["samples"]["rows"]
    words = f"in the lake {rows:,} in {status['commits']:,} commits"
    return Reading(node, lag_s=status["lake_latency_p99_s"], ledger=words, rows=rows)


def _number(value: float | None, width: int, style: str) -> str:
    return ("-" if value is None else format(value, style)).rjust(width)
