"""The gateway's process: one session after the other, on what is in the home directory then.

A buffer that turns out to be damaged is set aside, and everything but the process starts
anew on a fresh one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.config import GatewayConfig
from edge_runtime.configread import load
from edge_runtime.desired import ACCEPTED
from edge_runtime.session import Session, service_addresses
from protocols.daemon import EXIT_OK, EventLog, Stop, alone
from protocols.errors import CatchmentError, InputError, Problem, StoreDamagedError
from protocols.identity import IDENTITY, LEVEL_OF, Identity, PublicIdentity

if TYPE_CHECKING:
    from edge_runtime.desired.service import DesiredService
    from edge_runtime.updates import GatewaySource

LOG_LINES_KEPT = 500
"""Log lines in memory, about 100 kB, for whoever asks from afar and where there are no files."""


def run(config: GatewayConfig) -> int:
    """Run the gateway until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 after a clean stop, 1 after a bug ended it.

    Raises:
        InputError: Keys are missing, or a driver refuses its points.
        StoreError: The data directory cannot be used, or another gateway uses it.
    """
    identity = Identity.load(config.home)
    expect_level_3(identity.public, config.home)
    log = EventLog.of(config.log, "gateway.log", LOG_LINES_KEPT)
    stop = Stop()
    stop.on_signals()
    config.data.mkdir(parents=True, exist_ok=True)
    with alone(config.data):
        return live(config, identity, log, stop, desired_service)


def expect_level_3(node: PublicIdentity, home: Path) -> None:
    """See that the keys are those of a gateway: the edge layer runs at level 3 and nowhere else.

    Raises:
        InputError: They are those of a hub, or of headquarters.
    """
    if LEVEL_OF[node.role] != LEVEL_OF["gateway"]:
        found = f"{node.role} {node.id!r}, of level {LEVEL_OF[node.role]}"
        expected = (
            "the keys of a gateway: the edge layer runs at level 3 only; make a home: catchment-edge init"
        )
        raise InputError([Problem(str(home / IDENTITY), "role", found, expected)])


Manage = Callable[[GatewayConfig, Identity, EventLog], "DesiredService | None"]
"""Makes what looks after the gateway's desired state; `None` where nobody manages it."""


def live(
    config: GatewayConfig,
    identity: Identity,
    log: EventLog,
    stop: Stop,
    manage: Manage = lambda config, identity, log: None,
) -> int:
    """Run one session after the other until one ends in order. Returns the exit code.

    A session that was asked to begin anew is followed by one on the configuration and keys
    that are in the home directory then. When those are wrong, the old ones go on. When a session
    does not run with what is on trial of the desired state, that goes back.
    """
    desired: DesiredService | None = None
    try:
        while True:
            if desired is None:
                desired = manage(config, identity, log)
                if desired is not None:
                    desired.start()
            code = _one_session(config, identity, log, stop, desired)
            if code is not None:
                return code
            config, identity = _reload(config, identity, log, desired)
    finally:
        if desired is not None:
            desired.close()


def _one_session(
    config: GatewayConfig, identity: Identity, log: EventLog, stop: Stop, desired: DesiredService | None
) -> int | None:
    """Run one session, on a fresh buffer where the old one is damaged.

    Returns:
        The exit code, or `None` when another should follow on what is in the home directory then.
    """
    damaged: Path | None = None
    while True:
        session = Session(config, identity, log, stop, damaged, desired)
        damaged = None
        try:
            code = session.run()
        except StoreDamagedError as error:
            damaged = session.give_up_file(str(error))
            continue
        except Exception as error:
            if desired is None or not desired.give_back(_said(error), _named(error, config.home)):
                raise
            return None
        else:
            went_wrong = code != EXIT_OK and not stop.asked
            returned = went_wrong and desired is not None and desired.give_back("a thread ended by a fault")
            return None if returned or (session.anew and code == EXIT_OK) else code


def _reload(
    config: GatewayConfig, identity: Identity, log: EventLog, desired: DesiredService | None
) -> tuple[GatewayConfig, Identity]:
    """What is in the home directory now, without what is on trial if it is that which is wrong."""
    while True:
        try:
            fresh = Identity.load(config.home)
            if desired is not None:
                desired.rekey(fresh)
            return load(config.home), fresh
        except InputError as error:
            if desired is not None and desired.give_back(_said(error), _named(error, config.home)):
                continue
            log.error("home-wrong", error=str(error), remedy="what was in force before stays so")
            return config, identity


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, CatchmentError) else f"{type(error).__name__}: {error}"


def _named(error: Exception, home: Path) -> list[str]:
    """Paths within a home that an error names."""
    problems = error.problems if isinstance(error, InputError) else ()
    return [problem.file.removeprefix(f"{home}/") for problem in problems]


def desired_service(config: GatewayConfig, identity: Identity, log: EventLog) -> DesiredService | None:
    """The gateway's desired state; `None` where nobody could be asked for one and none is in force."""
    if not service_addresses(config) and not (config.home / ACCEPTED).exists():
        return None
    from edge_runtime.desired.firmware import slots_of
    from edge_runtime.desired.service import DesiredService

    poll_s = config.updates.poll_s
    return DesiredService(config, identity, _gateway_source, slots_of(config.home), log, poll_s)


def _gateway_source(config: GatewayConfig, identity: Identity, give_up: Callable[[], bool]) -> GatewaySource:
    from edge_runtime.updates import GatewaySource  # a gateway that nobody manages asks for nothing

    addresses, budget = service_addresses(config), config.updates.bytes_per_s
    return GatewaySource(config.home, config.id, identity.link, addresses, budget, give_up=give_up)
