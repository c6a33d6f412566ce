"""A way to a server that can be cut, silenced and spoilt."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Self

CHUNK = 65536


class Proxy:
    """Forwards to a server on loopback as `mode` says.

    pass: everything. drop: nothing; connections end and new ones end at once. silent: nothing
    reaches the server, connections stay. deaf: no answer comes back. garbage: random bytes
    answer. truncate: half of each answer arrives. trickle: one byte of each answer arrives.
    mix: answers with bits flipped.
    """

    def __init__(self, target_port: int, port: int = 0) -> None:
        self.mode = "pass"
        self.port = port
        self.connections = 0
        self._target = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._random = random.Random(7)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def set(self, mode: str) -> None:
        """Behave differently from now on; ends all connections when they are to be dropped."""
        self.mode = mode
        if mode == "drop":
            self.cut()

    def cut(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.mode == "drop":
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, self._request), self._pump(far_reader, writer, self._answer)
            )
        except OSError:
            return
        finally:
            self._writers -= {writer, far_writer}
            writer.transport.abort()
            far_writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spoil: Callable[[bytes], bytes]
    ) -> None:
        while data := await reader.read(CHUNK):
            writer.write(spoil(data))
            await writer.drain()
        writer.transport.abort()

    def _request(self, data: bytes) -> bytes:
        return b"" if self.mode == "silent" else data

    def _answer(self, data: bytes) -> bytes:
        if self.mode == "garbage":
            return self._random.randbytes(len(data))
        if self.mode == "truncate":
            return data[: len(data) // 2]
        if self.mode == "trickle":
            return data[:1]
        if self.mode == "mix":
            flipped = bytearray(data)
            flipped[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
            return bytes(flipped)
        return b"" if self.mode in ("silent", "deaf") else data
