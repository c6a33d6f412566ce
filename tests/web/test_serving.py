"""The web process itself: how it listens, and what is ready before the first visitor."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

from headquarters import web
from headquarters.accounts.sessions import Sessions
from headquarters.accounts.terms import Terms
from headquarters.metadata import open_metadata
from headquarters.portal import frame
from headquarters.portal.words import LANGUAGES
from tests.web.plants import Plants


def test_no_answer_waits_for_the_acknowledgement_of_its_headers(plants: Plants) -> None:
    config = plants.hq.settings
    config = replace(config, web=replace(config.web, bind="127.0.0.1:0"))

    async def option() -> int:
        taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            taken.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with web._listening(config) as listener:
            async with await asyncio.start_server(accept, sock=listener):
                _, writer = await asyncio.open_connection(*listener.getsockname())
                found = await taken
                writer.close()
                return found

    assert asyncio.run(option()) != 0


def test_templates_are_compiled_before_anybody_asks_for_them(plants: Plants) -> None:
    for language in LANGUAGES:
        frame.environment(language).cache.clear()  # type: ignore[union-attr]
    metadata = open_metadata(plants.hq.settings.data, None)
    web._prepare(plants.sources, Sessions(metadata, Terms()), is_portal=True)
    metadata.dispose()
    for language in LANGUAGES:
        kept = frame.environment(language)
        assert len(kept.cache) == len(kept.list_templates())  # type: ignore[arg-type]
