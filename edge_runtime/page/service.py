"""The status page inside a running gateway: what it shows, and what it does to alarms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_runtime.alarms import view as alarm_view
from edge_runtime.alarms.commands import alarm_commands
from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.config import GatewayConfig, PageConfig
from edge_runtime.page.server import PageServer
from edge_runtime.page.view import LOG_LINES_SHOWN, Seen
from protocols.daemon import EventLog
from protocols.identity import PublicIdentity
from protocols.masking import without_secrets
from protocols.probe import Answer

Slots = Callable[[], Sequence[tuple[str, object]] | None]


def make_page(
    config: GatewayConfig,
    page: PageConfig,
    identity: PublicIdentity,
    manager: AlarmManager,
    now_us: Callable[[], int],
    status: Callable[[], dict[str, Any]],
    probe: Callable[[str], Answer | None],
    slots: Slots,
    log: EventLog,
) -> PageServer:
    """The server of the page.

    Args:
        config: The gateway's.
        page: Where the page is.
        identity: Who the gateway is.
        manager: The alarms.
        now_us: Gateway time.
        status: What the gateway says of itself now.
        probe: Answers monitors, by path.
        slots: What there is to know of its slots.
        log: Its newest lines are shown.

    Raises:
        InputError: The address cannot be listened on.
    """
    headquarters = config.headquarters
    named: list[tuple[str, object]] = [
        ("Name", identity.id),
        ("Site", identity.site),
        ("Signing key", identity.signing.hex()),
        ("Link key", identity.link.decode()),
        ("Headquarters", None if headquarters is None else headquarters.id),
    ]
    commands = alarm_commands(manager, now_us)

    def look() -> Seen:
        told = status()
        alarms = alarm_view.chosen(list(manager.alarms().values()), (), everything=False)
        return Seen(
            told,
            [alarm_view.alarm_fields(alarm) for alarm in alarms],
            [*named, ("Started", told.get("started"))],
            slots(),
            [without_secrets(line) for line in list(log.kept)[-LOG_LINES_SHOWN:]],
        )

    def handle(command: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        outcome = commands[command](arguments)
        assert isinstance(outcome, dict)
        return outcome

    return PageServer(page, look, handle, log, probe)
