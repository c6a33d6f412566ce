"""A process that runs queries, one after the other, for the service that started it.

It is given one end of a socket pair and the lake's folder, reads nothing from its standard input,
and ends when the service closes its end. Everything that hostile text can make slow or large
happens here: parsing, planning, running. The service can end the process at any instant.

Messages in: `{id, run | explain: task}`, `{cancel: id}`. Out: `{ready}`, then one
`{id, outcome | estimate | error | store, spent}` for each that came in; `spent` says that this one was
the last: it did not come to its end, and left too little of what the next one may need.
"""

from __future__ import annotations

import argparse
import logging
import os
import queue
import resource
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import pyarrow as pa

from headquarters.services.sql.errors import Fault, QueryError
from headquarters.services.sql.execute import Executor
from headquarters.services.sql.frames import receive, send
from headquarters.services.sql.task import Task, pack_error, pack_estimate, pack_outcome
from protocols.errors import StoreError

BESIDE_BYTES = 1536 << 20
"""Memory of the process besides DuckDB's own: libraries, files that are read, the result's pages."""


def serve(link: socket.socket, lake: Path, spill: Path) -> None:
    """Run what comes until the other side closes.

    Args:
        link: Our end.
        lake: The lake's folder.
        spill: A folder of our own for what queries set aside.
    """
    spill.mkdir(parents=True, exist_ok=True)
    executor = Executor(lake, spill)
    room = _room()
    waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    current: list[str] = [""]

    def listen() -> None:
        while True:
            try:
                message = receive(link)
            except OSError:
                message = None
            if message is None:
                executor.interrupt()
                waiting.put(None)
                return
            if "cancel" in message:
                if message["cancel"] == current[0]:
                    executor.interrupt()
            else:
                current[0] = message["id"]
                executor.begin()
                waiting.put(message)

    threading.Thread(target=listen, daemon=True).start()
    send(link, {"ready": os.getpid()})
    while (message := waiting.get()) is not None:
        answer = {"id": message["id"], **_answer(executor, message)}
        broken = "error" in answer and answer["error"]["fault"] in (Fault.MEMORY, Fault.CANCELLED)
        answer["spent"] = broken and _room() < room // 2
        current[0] = ""
        try:
            send(link, answer)
        except OSError:
            return
        if not answer["spent"]:
            executor.rest()


def _answer(executor: Executor, message: dict[str, Any]) -> dict[str, Any]:
    try:
        if "explain" in message:
            return {"estimate": pack_estimate(executor.explain(Task.unpack(message["explain"])))}
        return {"outcome": pack_outcome(executor.run(Task.unpack(message["run"])))}
    except QueryError as error:
        return {"error": pack_error(error)}
    except StoreError as error:
        return {"store": str(error)}
    except MemoryError:
        return {"error": pack_error(QueryError(Fault.MEMORY, "", "", "less to hold at once"))}
    except Exception:
        traceback.print_exc()
        return {"store": "the query service failed; its log says how"}


def _room() -> int:
    """Bytes of memory that this process may still take."""
    bytes_max = resource.getrlimit(resource.RLIMIT_DATA)[0]
    pages = int(Path("/proc/self/statm").read_text().split()[5])  # data and stack
    return bytes_max - pages * resource.getpagesize()


def confine(memory_bytes: int) -> None:
    """Bound what this process can take, whatever runs in it: memory; and leave no image of it behind."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bytes_max = memory_bytes + BESIDE_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (bytes_max, bytes_max))


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--link", type=int, required=True)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--spill", type=Path, required=True)
    parser.add_argument("--memory", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    confine(options.memory)
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it repeats what people ask
    pa.set_cpu_count(options.threads)
    pa.set_io_thread_count(max(2, options.threads))
    with socket.socket(fileno=options.link) as link:
        serve(link, options.lake, options.spill)
    sys.stderr.flush()
    os._exit(0)  # a thread of DuckDB that does not stop must not keep us


if __name__ == "__main__":
    main()
