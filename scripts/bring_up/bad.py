"""What is wrong with the bad firmware: a module of its program, beside the gateway's own.

It belongs to no release: `ring` puts it into a firmware's wheel as `edge_runtime/bad.py` and lets
`edge_runtime/main.py` call it before the gateway begins. As with many a bad release, what goes wrong
differs from machine to machine: here the number at the end of a gateway's name says what.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
import time
from collections.abc import Callable

from edge_runtime.collect import CollectTask
from edge_runtime.scan import Turn

KINDS = {
    "crashes": "ended by itself: SIGABRT",
    "hangs": "says nothing new of itself",
    "collects nothing": "collects 0.0/s",
    "eats memory": "MB of memory, more than",
}
"""Faults, and what a supervisor says of each."""

INSTANTS = 4
"""A program that crashes or hangs has collected before: some of it is durable then, the last is lost."""

BITE_BYTES, BITE_S = 8 << 20, 0.05


def kind_of(gateway: str) -> str:
    """The fault that a gateway meets.

    >>> [kind_of(f"ring-{number}") for number in (1, 2, 3, 4, 10)]
    ['hangs', 'collects nothing', 'eats memory', 'crashes', 'collects nothing']
    """
    return list(KINDS)[int(gateway.rpartition("-")[2]) % len(KINDS)]


def begin(gateway: str) -> None:
    """Be a bad firmware from now on."""
    kind = kind_of(gateway)
    if kind == "collects nothing":
        CollectTask.run = _run_idle  # type: ignore[method-assign]
    elif kind == "eats memory":
        threading.Thread(target=_eat, name="bad", daemon=True).start()
    else:
        _end_collection(_crash if kind == "crashes" else _hang)


async def _run_idle(self: CollectTask) -> None:
    await asyncio.Event().wait()


def _eat() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * BITE_BYTES))
        time.sleep(BITE_S)


def _end_collection(fault: Callable[[], None]) -> None:
    serve = CollectTask.serve

    async def serve_some(self: CollectTask, turn: Turn) -> None:
        await serve(self, turn)
        if self.schedule.counters.served >= INSTANTS:
            fault()

    CollectTask.serve = serve_some  # type: ignore[method-assign]


def _crash() -> None:
    os.abort()


def _hang() -> None:
    """Hold the interpreter's lock for ever: no thread goes on, and no signal is acted on."""
    while True:
        ctypes.PyDLL(None).sleep(86_400)
