"""A portal over two hand-made plants, in a thread, for a real browser."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from headquarters.accounts import sealing
from headquarters.accounts.own import OwnAccount
from headquarters.accounts.password import Hasher
from headquarters.accounts.people import People
from headquarters.accounts.signin import SignIn
from headquarters.accounts.terms import Terms
from headquarters.api.app import make_app
from headquarters.db.engine import writing
from headquarters.portal import service
from headquarters.portal.routes import router
from headquarters.tenancy.principal import machine
from tests.peers.foreign import MissingPeerError
from tests.web.house import House

AXE = Path(__file__).parents[2] / "scripts/portal/node_modules/axe-core/axe.min.js"
CHEAP = Hasher(time_cost=1, memory_kib=8, lanes=1)


class Portal:
    """What a test needs of it."""

    def __init__(self, house: House, address: str) -> None:
        self.house = house
        self.address = address

    def cookie(self, role: str) -> str:
        """The session of a member of the group with a role."""
        return self.house.sessions.begin(self.house.users["group", role], "tests", "127.0.0.1", "tests")

    def link(self, role: str) -> str:
        """The address of a one-time link, as `catchment-hq init` and administrators give one."""
        with writing(self.house.metadata) as session:
            secret = People(session, machine("tests")).link(self.house.users["group", role])
        return f"{self.address}/sign-in/link/{secret}"


@contextmanager
def portal(folder: Path, prepare: Callable[[House], None] = lambda house: None) -> Iterator[Portal]:
    """Serve it, with what is put into it before."""
    house = House(folder)
    prepare(house)
    terms, sealer = Terms(), sealing.load(house.hq.home)
    house.context.services[service.NAME] = service.PortalService(
        SignIn(house.metadata, terms, CHEAP, sealer),
        OwnAccount(house.metadata, terms, CHEAP, sealer),
    )
    app = make_app(house.context, router)
    config = uvicorn.Config(
        app, port=0, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        end = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < end, "the portal does not start"
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Portal(house, f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join()
        house.close()


def axe_script() -> str:
    """The checks of accessibility, to be run in a page; gives what is serious.

    Raises:
        MissingPeerError: They are not installed.
    """
    if not AXE.exists():
        raise MissingPeerError("expected axe-core in scripts/portal/node_modules; run: make peers")
    return AXE.read_text(encoding="utf-8") + _RUN


_RUN = """
;return axe.run({resultTypes: ['violations', 'incomplete']}).then(found => {
  const shown = (id, nodes) => `${id}: ${nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join('  ')}`;
  const serious = found.violations.filter(v => ['serious', 'critical'].includes(v.impact))
    .map(v => shown(v.id, v.nodes));
  // Text in the very colour of its ground is no violation to axe: it leaves that to people.
  const unseen = found.incomplete.filter(v => v.id === 'color-contrast').flatMap(v => v.nodes)
    .filter(n => n.any[0]?.data?.messageKey === 'equalRatio');
  return JSON.stringify({
    passed: found.passes.length,
    serious: unseen.length ? [...serious, shown('invisible', unseen)] : serious,
  });
});
"""


def judged(told: str) -> dict[str, Any]:
    """What axe found."""
    found: dict[str, Any] = json.loads(told)
    return found
