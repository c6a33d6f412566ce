"""The page as HTML, from what the gateway says of itself. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_runtime.page.markup import badge, cell, escape, facts, number, section, shown, table
from edge_runtime.page.words import LANGUAGES, say

ALARMS_SHOWN_MAX = 200
LOG_LINES_SHOWN = 100
PRIORITIES = {1: "critical", 2: "high", 3: "medium", 4: "low"}
TO_ACKNOWLEDGE = ("unacknowledged", "returned-unacknowledged", "latched-unacknowledged")
ANNOUNCED = (*TO_ACKNOWLEDGE, "acknowledged", "latched")
SHELVE_FOR = {1800: "30 minutes", 3600: "1 hour", 28_800: "8 hours", 86_400: "1 day"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to show.

    Args:
        status: As in `status.json`; empty before the first.
        alarms: Those that are not normal, the most urgent first, as `Alarm.fields` gives them.
        identity: Names and values.
        slots: Names and values; `None` where there are none.
        log: The newest lines, the oldest first.
    """

    status: Mapping[str, Any]
    alarms: Sequence[Mapping[str, Any]]
    identity: Sequence[tuple[str, object]]
    slots: Sequence[tuple[str, object]] | None
    log: Sequence[str]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whom it is shown to.

    Args:
        language: `en` or `zh`.
        token: For forms.
        operator: The name given last.
        said: What came of the last action, and whether it was done.
        can_leave: Whether there is a login to end.
    """

    language: str
    token: str
    operator: str = ""
    said: tuple[bool, str] | None = None
    can_leave: bool = False


def page(seen: Seen, visitor: Visitor) -> str:
    """The whole page."""
    body = (
        f'<a class="skip" href="#alarms">{_(visitor, "Skip to the alarms")}</a>'
        f"{_header(seen, visitor)}{_said(visitor)}{_act_form(visitor)}"
        f'<main id="live" aria-live="off">{live(seen, visitor.language)}</main>'
    )
    return _document(visitor, str(seen.status.get("gateway", "")), body)


def login_page(visitor: Visitor) -> str:
    """What is shown before the password was given."""
    body = (
        f'{_said(visitor)}<main class="login"><h1>Catchment</h1><form method="post" action="/login">'
        f'<input type="hidden" name="token" value="{escape(visitor.token)}">'
        f'<label for="password">{_(visitor, "Password")}</label>'
        '<input id="password" name="password" type="password" required autofocus '
        'autocomplete="current-password">'
        f"<button>{_(visitor, 'Sign in')}</button></form></main>"
    )
    return _document(visitor, "", body)


def live(seen: Seen, language: str) -> str:
    """The part that is renewed."""
    status = seen.status
    parts = [
        section(language, "health", "Health", _health(status, seen.alarms, language)),
        section(language, "alarms", "Alarms", _alarms(seen.alarms, language)),
        section(language, "devices", "Devices", _devices(status.get("devices", ()), language)),
        section(language, "scans", "Scan classes", _tasks(status.get("tasks", ()), language)),
        section(language, "apps", "Apps", _apps(status.get("apps", ()), language)),
        section(language, "commands", "Commands", _commands(status.get("commands"), language)),
        section(language, "backlog", "Backlog and ledger", _backlog(status, language)),
        section(language, "identity", "Identity", facts(language, seen.identity)),
        section(language, "slots", "Slots", _slots(seen.slots, language)),
        section(language, "log", "Log", _log(seen.log)),
    ]
    return "".join(parts)


def _document(visitor: Visitor, gateway: str, body: str) -> str:
    title = f"{gateway} · Catchment" if gateway else "Catchment"
    lost = _(visitor, "not updated any more: the gateway does not answer")
    return (
        f'<!doctype html><html lang="{visitor.language}"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="/page.css"><script src="/page.js" defer></script>'
        '<noscript><meta http-equiv="refresh" content="15"></noscript></head>'
        f'<body data-lost="{lost}">{body}</body></html>'
    )


def _header(seen: Seen, visitor: Visitor) -> str:
    status = seen.status
    links = " ".join(
        f'<a href="/?lang={code}" lang="{code}" hreflang="{code}"'
        f"{' aria-current=true' if code == visitor.language else ''}>{name}</a>"
        for code, name in LANGUAGES.items()
    )
    leave = ""
    if visitor.can_leave:
        leave = (
            '<form method="post" action="/logout">'
            f'<input type="hidden" name="token" value="{escape(visitor.token)}">'
            f"<button>{_(visitor, 'Sign out')}</button></form>"
        )
    return (
        f"<header><h1>{_(visitor, 'Gateway')} {escape(shown(status.get('gateway')))}</h1>"
        f'<p id="updated" role="status"></p>'
        f'<nav aria-label="{_(visitor, "Language")}">{links}</nav>{leave}</header>'
    )


def _said(visitor: Visitor) -> str:
    if visitor.said is None:
        return ""
    done, text = visitor.said
    return f'<p class="said {"good" if done else "fault"}" role="alert">{escape(text)}</p>'


def _act_form(visitor: Visitor) -> str:
    options = "".join(
        f'<option value="{seconds}"{" selected" if seconds == 28_800 else ""}>{_(visitor, words)}</option>'
        for seconds, words in SHELVE_FOR.items()
    )
    return (
        '<form id="act" method="post" action="/alarms/acknowledge" autocomplete="off">'
        f'<input type="hidden" name="token" value="{escape(visitor.token)}">'
        f'<label>{_(visitor, "Your name")} <input name="operator" required maxlength="100" '
        f'value="{escape(visitor.operator)}"></label>'
        f'<label>{_(visitor, "Comment (needed to shelve)")} <input name="comment" maxlength="400"></label>'
        f'<label>{_(visitor, "Shelve for")} <select name="for_s">{options}</select></label></form>'
    )


def _health(status: Mapping[str, Any], alarms: Sequence[Mapping[str, Any]], language: str) -> str:
    items = "".join(
        f'<li><span class="what">{escape(say(language, what))}</span> {badge(language, level, words)}'
        f' <span class="more">{escape(more)}</span></li>'
        for what, level, words, more in _findings(status, alarms, language)
    )
    stamp = shown(status.get("time"))
    updated = f'<p class="stamp">{escape(say(language, "Updated"))} <time>{escape(stamp)}</time></p>'
    return f'<ul class="health">{items}</ul>{updated}'


def _findings(
    status: Mapping[str, Any], alarms: Sequence[Mapping[str, Any]], language: str
) -> Iterator[tuple[str, str, str, str]]:
    if not status:
        yield "Collecting", "attention", "starting", ""
        return
    rate = f"{status['rates']['samples_per_s']:,g} {say(language, 'samples/s')}"
    yield "Collecting", "good" if status["state"] == "running" else "attention", status["state"], rate
    devices = status["devices"]
    answering = sum(device["state"] == "connected" for device in devices)
    level = "good" if answering == len(devices) else "fault" if not answering else "attention"
    yield "Devices", level, f"{answering}/{len(devices)} {say(language, 'devices answer')}", ""
    yield _sending(status, language)
    store = status["store"]
    used = f"{store['used_bytes'] / 1e6:,.0f} / {store['quota_bytes'] / 1e6:,.0f} MB"
    yield "Storing", "fault" if store["trouble"] else "good", store["trouble"] or "room", used
    clock = status["clock"]["state"]
    yield "Clock", "good" if clock == "synchronised" else "attention", clock, ""
    announced = sum(alarm["state"] in ANNOUNCED for alarm in alarms)
    words = f"{announced} {say(language, 'announced')}" if announced else "none announced"
    urgent = any(alarm["priority"] == 1 and alarm["state"] in ANNOUNCED for alarm in alarms)
    yield "Alarms", "fault" if urgent else "attention" if announced else "good", words, ""
    yield "Memory", "good", f"{status['memory_bytes'] / 1e6:,.0f} MB", ""


def _sending(status: Mapping[str, Any], language: str) -> tuple[str, str, str, str]:
    uplink = status["uplink"]
    if uplink is None:
        return "Sending", "attention", "no upstream is configured", ""
    if "connected" not in uplink:
        return "Sending", "good", "written as files for an isolator", ""
    if uplink["connected"]:
        return "Sending", "good", f"{say(language, 'connected to')} {uplink['upstream']}", ""
    return "Sending", "fault", "not connected", uplink["last_error"]


def _alarms(alarms: Sequence[Mapping[str, Any]], language: str) -> str:
    if not alarms:
        words = say(language, "No alarm is raised, silenced or waits for acknowledgement.")
        return f"<p>{escape(words)}</p>"
    heads = ("Priority", "State", "Since", "Alarm", "#Value", "Text", "Action")
    rows = [_alarm(alarm, language) for alarm in alarms[:ALARMS_SHOWN_MAX]]
    more = len(alarms) - len(rows)
    note = f"<p>{more} {escape(say(language, 'more are not shown'))}</p>" if more else ""
    return table(language, "Alarms", heads, rows) + note


def _alarm(alarm: Mapping[str, Any], language: str) -> list[str]:
    state, name = alarm["state"], alarm["alarm"]
    words = say(language, state)
    if alarm["shelved_until_us"] is not None:
        words += f" {say(language, 'until')} {_when(alarm['shelved_until_us'])}"
    if alarm["active"] and state not in ANNOUNCED:
        words += f", {say(language, 'active')}"
    level = {1: "fault", 2: "fault", 3: "attention"}.get(alarm["priority"], "good")
    priority = badge(language, level, PRIORITIES.get(alarm["priority"], str(alarm["priority"])))
    buttons = ""
    if state in TO_ACKNOWLEDGE:
        buttons += _button(language, "Acknowledge", "/alarms/acknowledge", name)
    if state not in ("shelved", "suppressed", "out-of-service"):
        buttons += _button(language, "Shelve", "/alarms/shelve", name)
    return [
        f"<td>{priority}</td>",
        cell(words),
        cell(_when(alarm["changed_us"])),
        f"<td><code>{escape(name)}</code></td>",
        number(alarm["value"]),
        cell(alarm["text"]),
        f'<td class="actions">{buttons}</td>',
    ]


def _button(language: str, words: str, action: str, alarm: str) -> str:
    text = escape(say(language, words))
    return (
        f'<button form="act" formaction="{action}" name="alarm" value="{escape(alarm)}" '
        f'aria-label="{text}: {escape(alarm)}">{text}</button>'
    )


def _devices(devices: Sequence[Mapping[str, Any]], language: str) -> str:
    levels = {"connected": "good", "lost": "fault"}
    rows = [
        [
            cell(device["device"]),
            f"<td>{badge(language, levels.get(device['state'], 'attention'), device['state'])}</td>",
            number(device["requests"]),
            number(device["timeouts"]),
            cell(device["last_error"]),
        ]
        for device in devices
    ]
    return table(
        language, "Devices", ("Device", "Connection", "#Requests", "#Time-outs", "Last trouble"), rows
    )


def _tasks(tasks: Sequence[Mapping[str, Any]], language: str) -> str:
    keys = ("points", "served", "missed", "overruns", "late_ms_max", "busy_ms_max")
    rows = [[cell(task["task"]), *(number(task[key]) for key in keys)] for task in tasks]
    heads = ("Task", "#Points", "#Served", "#Missed", "#Overruns", "#Latest (ms)", "#Busiest (ms)")
    return table(language, "Scan classes", heads, rows)


def _backlog(status: Mapping[str, Any], language: str) -> str:
    if not status:
        return ""
    backlog, ledger = status["backlog"], status["ledger"]
    dropped = sum(ledger["dropped"].values())
    return facts(
        language,
        [
            ("Batches waiting", backlog["batches"]),
            ("Not sent", backlog["unsent"]),
            ("Bytes", backlog["bytes"]),
            ("Oldest (s)", backlog["seconds"]),
            ("Collected", ledger["collected"]),
            ("Thinned", ledger["thinned"]),
            ("Journalled", ledger["journalled"]),
            ("Sealed", ledger["sealed"]),
            ("Dropped", dropped),
            ("Unaccounted", ledger["unaccounted"]),
        ],
    )


def _apps(apps: Sequence[Mapping[str, Any]], language: str) -> str:
    if not apps:
        return f"<p>{escape(say(language, 'No app is installed.'))}</p>"
    rows = [
        [
            cell(app["app"]),
            cell(app["version"]),
            f"<td>{badge(language, 'fault' if app['state'] == 'failed' else 'good', app['state'])}</td>",
            *(number(app[key]) for key in ("instances", "scans", "missed")),
            cell(app["why"]),
        ]
        for app in apps
    ]
    return table(
        language, "Apps", ("App", "Version", "State", "#Instances", "#Scans", "#Missed", "Why"), rows
    )


def _commands(commands: Mapping[str, Any] | None, language: str) -> str:
    latest = [] if commands is None else commands["latest"]
    if not latest:
        return f"<p>{escape(say(language, 'No command has come.'))}</p>"
    rows = [
        [
            cell(each["number"] or say(language, "here")),
            cell(each["verb"]),
            cell(each["requester"]),
            cell(each["outcome"] or each["state"]),
            cell(each["text"]),
        ]
        for each in latest
    ]
    return table(language, "Commands", ("Number", "Command", "By", "Outcome", "Text"), rows)


def _slots(slots: Sequence[tuple[str, object]] | None, language: str) -> str:
    if slots is None:
        return f"<p>{escape(say(language, 'This gateway does not run from slots.'))}</p>"
    return facts(language, slots)


def _log(lines: Sequence[str]) -> str:
    rows = "".join(f"<li>{_line(line)}</li>" for line in reversed(lines[-LOG_LINES_SHOWN:]))
    return f'<ol class="log" tabindex="0">{rows}</ol>'


def _line(line: str) -> str:
    try:
        fields = json.loads(line)
        head = (str(fields.pop("time"))[11:19], str(fields.pop("level")), str(fields.pop("event")))
    except (ValueError, KeyError, AttributeError):
        return escape(line)
    rest = ", ".join(f"{name} {value}" for name, value in fields.items())
    level = {"error": "fault", "warning": "attention"}.get(head[1], "plain")
    return f'<span class="{level}">{escape(head[0])} {escape(head[2])}</span> {escape(rest[:500])}'


def _when(time_us: int | None) -> str:
    if not time_us:
        return ""
    from protocols.daemon import iso_time

    return iso_time(time_us / 1e6)[:19].replace("T", " ") + "Z"


def _(visitor: Visitor, words: str) -> str:
    return escape(say(visitor.language, words))
