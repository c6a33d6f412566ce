"""Signed commands to gateways: alarms, reads, writes, logs; and what became of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headquarters.commands.handler import FETCHED
from headquarters.commands.queue import Draft, Queued
from headquarters.commands.results import GOOD, Outcome, outcomes
from headquarters.commands.words import ALARM_VERBS, arguments_of
from headquarters.tenancy.scope import Scope
from headquarters.views.seeing import UnseenError, need_gateway, sees_gateway
from headquarters.views.sources import Sources
from protocols.batch import Signer
from protocols.blobs import Blobs
from protocols.errors import InputError, Problem

LIFE_S_DEFAULT = 3600.0
LATEST_MAX = 1000


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a command, as its gateway signed it.

    Args:
        time: When, as text.
        transition: What happened.
        source: The verb, or the point or alarm concerned.
        text: For people.
        value: Of the point, where it is a number.
    """

    time: str
    transition: str
    source: str
    text: str
    value: float | None


@dataclass(frozen=True, slots=True)
class CommandView:
    """A command, how far it is, and what became of it.

    Args:
        number: Its number.
        gateway: Its target.
        verb: As it travels.
        arguments: With what.
        requester: Who asked for it.
        issued_us: When.
        expires_us: Until when it may be begun.
        stage: The furthest that anybody told: `queued`, `at-hub`, `delivered`, `executing` or `ended`.
        told_by: Who told it; empty while it is queued.
        cancelled_us: When it was called off.
        outcome: `done`, `selected`, `failed`, `refused` or `unknown`; `None` while nothing came back.
        good: Whether that is what was asked for.
        text: What the gateway says of it.
        events: What it told on the way.
        file_sha256: Of a file that it fetched.
        has_file: Whether that file is here.
    """

    number: int
    gateway: str
    verb: str
    arguments: dict[str, Any]
    requester: str
    issued_us: int
    expires_us: int
    stage: str
    told_by: str
    cancelled_us: int | None
    outcome: str | None
    good: bool | None
    text: str
    events: tuple[Told, ...]
    file_sha256: str | None
    has_file: bool


def send(
    sources: Sources,
    scope: Scope,
    signer: Signer,
    requester: str,
    gateway: str,
    verb: str,
    words: Sequence[str] = (),
    *,
    comment: str = "",
    for_: str = "8h",
    lines: int | None = None,
    confirm: int | None = None,
    life_s: float = LIFE_S_DEFAULT,
) -> CommandView:
    """Sign a command and queue it.

    Args:
        sources: Of this headquarters.
        scope: Of who asks.
        signer: Headquarters' key.
        requester: Who asks, for the gateway's journal.
        gateway: Its target.
        verb: As a person writes it, such as `ack` or `read`.
        words: Names of alarms or points, or `POINT=VALUE`.
        comment: Why.
        for_: With `shelve`: for how long.
        lines: With `logs`: how many.
        confirm: With `write`: the number of the command that selected it.
        life_s: For how long it may be begun.

    Raises:
        UnseenError: There is no such gateway, or it is not seen.
        InputError: Something is missing or too much.
        LimitError: It is larger, or lives longer, than a command may.
        StoreError: The disk failed; there is no such command.
    """
    need_gateway(sources, scope, gateway)
    given = {"words": tuple(words), "comment": comment, "for_": for_, "lines": lines, "confirm": confirm}
    with sources.commands() as queue:
        if confirm is not None and queue.get(confirm).command.target != gateway:
            raise UnseenError("command", confirm)
        wire_verb, arguments = arguments_of(verb, given, queue)
        queued = queue.add(Draft(gateway, wire_verb, arguments, requester, life_s), signer, sources.now_us())
    return _view(sources, queued, Outcome())


def act_on_alarms(
    sources: Sources,
    scope: Scope,
    signer: Signer,
    requester: str,
    gateway: str,
    verb: str,
    alarms: Sequence[str],
    comment: str = "",
    for_: str = "8h",
) -> CommandView:
    """Acknowledge, shelve or silence alarms of one gateway; see `send`."""
    if verb not in ALARM_VERBS:
        expected = f"one of {', '.join(ALARM_VERBS)}"
        raise InputError([Problem("request", "verb", verb, expected)])
    return send(sources, scope, signer, requester, gateway, verb, alarms, comment=comment, for_=for_)


def cancel(sources: Sources, scope: Scope, signer: Signer, requester: str, number: int) -> CommandView:
    """Call a command off: nobody gets it any more, and who has it is told.

    Raises:
        UnseenError: There is no such command, or its gateway is not seen.
        StoreError: The disk failed.
    """
    queued = _get(sources, scope, number)
    with sources.commands() as queue:
        now_us = sources.now_us()
        queue.call_off(number, now_us)
        found = queue.get(number)
        if found.node:  # somebody has it: a second command calls it off there
            left_s = max(60.0, (queued.command.expires_us - now_us) / 1e6)
            arguments = {"command": queued.command.nonce.hex()}
            queue.add(Draft(queued.command.target, "cancel", arguments, requester, left_s), signer, now_us)
    return command(sources, scope, number)


def command(sources: Sources, scope: Scope, number: int) -> CommandView:
    """One command.

    Raises:
        UnseenError: There is no such command, or its gateway is not seen.
        StoreError: A store cannot be read.
    """
    queued = _get(sources, scope, number)
    return _view(sources, queued, _outcomes(sources, [queued])[number])


def latest(sources: Sources, scope: Scope, gateway: str = "", count: int = 50) -> tuple[CommandView, ...]:
    """The newest commands, to one gateway or to any that is seen, the newest first.

    Raises:
        StoreError: A store cannot be read.
    """
    with sources.commands() as queue:
        found = queue.latest(gateway, LATEST_MAX)
    seen = [each for each in found if sees_gateway(sources, scope, each.command.target)][:count]
    results = _outcomes(sources, seen)
    return tuple(_view(sources, each, results[each.command.number]) for each in seen)


def fetched(sources: Sources, scope: Scope, number: int) -> tuple[str, bytes]:
    """The name and the bytes of a file that a command fetched, checked against the signed hash.

    Raises:
        UnseenError: There is no such command, it fetched nothing, or the file is not here yet.
        StoreError: A store cannot be read.
    """
    queued = _get(sources, scope, number)
    last = _outcomes(sources, [queued])[number].last
    sha256 = None if last is None else last.detail.get("sha256")
    path = _file(sources, queued, sha256)
    if last is None or path is None:
        raise UnseenError("file of a command", number)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UnseenError("file with the hash that the gateway signed, of command", number)
    name = str(last.detail.get("file", "")).rpartition("/")[2]
    return name or f"command-{number}.zip", data


def _get(sources: Sources, scope: Scope, number: int) -> Queued:
    with sources.commands() as queue:
        try:
            found = queue.get(number)
        except InputError as error:
            raise UnseenError("command", number) from error
    if not sees_gateway(sources, scope, found.command.target):
        raise UnseenError("command", number)
    return found


def _outcomes(sources: Sources, commands: Sequence[Queued]) -> dict[int, Outcome]:
    if not commands or not sources.lake.exists:
        return {each.command.number: Outcome() for each in commands}
    with sources.engine() as engine:
        return outcomes(engine, commands)


def _file(sources: Sources, queued: Queued, sha256: object) -> Any:
    if not isinstance(sha256, str):
        return None
    return Blobs(sources.config.data / FETCHED).find(queued.command.target, bytes.fromhex(sha256))


def _view(sources: Sources, queued: Queued, outcome: Outcome) -> CommandView:
    asked, last = queued.command, outcome.last
    sha256 = None if last is None else last.detail.get("sha256")
    return CommandView(
        asked.number,
        asked.target,
        asked.verb,
        {name: list(value) if isinstance(value, tuple) else value for name, value in asked.arguments.items()},
        asked.requester,
        asked.issued_us,
        asked.expires_us,
        str(queued.stage),
        queued.node,
        queued.cancelled_us,
        None if last is None else last.transition,
        None if last is None else last.transition in GOOD,
        "" if last is None else last.text,
        tuple(Told(*told[:5]) for told in outcome.before),
        sha256 if isinstance(sha256, str) else None,
        _file(sources, queued, sha256) is not None,
    )
