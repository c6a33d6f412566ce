"""A client that calls an ASGI application in this process, from ordinary functions."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Any

import httpx

WAIT_S = 60.0


class InProcess(httpx.BaseTransport):
    """Calls an application on an event loop of its own; one for many clients.

    Args:
        app: The application.
    """

    def __init__(self, app: Any) -> None:
        self._inner = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Call it, and wait for the whole answer."""
        return asyncio.run_coroutine_threadsafe(self._call(request), self._loop).result(WAIT_S)

    async def _call(self, request: httpx.Request) -> httpx.Response:
        sent = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        answer = await self._inner.handle_async_request(sent)
        body = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=body, request=request)

    def end(self) -> None:
        """End the loop; clients that are closed do not."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Nothing: other clients may go on."""
