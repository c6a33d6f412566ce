"""Two plants in which every text that anybody can send is hostile, and the pages that show them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

from headquarters.accounts import tokens
from headquarters.accounts.store import Users
from headquarters.audit.trail import record
from headquarters.db.base import now_us
from headquarters.db.engine import reading, writing
from headquarters.security.registry import Registry, RequestRow, RequestState
from headquarters.services.fleet import rollouts
from headquarters.tenancy.principal import machine
from headquarters.tenancy.store import Tenants
from protocols.identity import Identity
from protocols.records import EventRecord, Gap, GapCause, PointDefinition
from protocols.records.events import EventType
from protocols.samples import ValueType
from tests.lake_parts import NOW, SECOND, T0, scan
from tests.web.house import House

TEXTS = (
    "<script>canary(1)</script><x-evil>",
    "<img src=x onerror=canary(2)>",
    '"><svg onload=canary(3)>',
    "' autofocus onfocus=canary(4) x-evil='",
    '" autofocus onfocus="canary(5)" x-evil="',
    "javascript:canary(6)//",
    "</title></textarea></style><script>canary(7)</script>",
    "<svg><animate onbegin=canary(8) attributeName=x dur=1s></svg>",
    "<math><mtext></table><mglyph><img src onerror=canary(9)>",
    "{{7*191}}canary${7*191}canary#{7*191}canary",
    "%(canary)s 100% %n <x-evil>",
    "&lt;script&gt;canary(10)&lt;/script&gt;&#60;x-evil&#62;",
    "\u202egnp.<x-evil>\u2066\uff1cscript\uff1ecanary(11)",
    "<iframe srcdoc='<script>parent.canary(12)</script>'></iframe>",
    "<base href=//evil.example/><x-evil>",
    "<meta http-equiv=refresh content='0;url=//evil.example/'>",
    "<form action=//evil.example/><button autofocus>ok</button>",
    "<link rel=stylesheet href=//evil.example/><style>@import '//evil.example/'</style>",
    "<div hx-get=//evil.example/ hx-trigger=load hx-on:load=canary(13)>",
    "]]><!--<x-evil>--!><script>canary(14)</script>",
    '=HYPERLINK("http://evil.example","x")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
)
"""Tags, attributes, links, templates, formats, entities, directions, frames, htmx, comments, formulas."""

EVALUATED = "1337canary"
"""What stands on a page that ran a template of a text."""

ALIEN_TAGS = frozenset(("x-evil", "iframe", "base", "object", "embed", "math", "animate", "mglyph", "style"))
ALIEN = (
    "x-evil", "iframe", "base", "object", "embed", "math", "animate", "meta[http-equiv]", "[x-evil]",
    "link[href*='evil.example']", "form[action*='evil.example']", "a[href^='javascript:' i]",
    "[hx-get]:not([hx-get^='/'])", "[hx-get^='//']", "img[src='x']",
)  # fmt: skip
"""What no page of ours has."""


def sow(house: House) -> None:
    """Put hostile texts wherever a gateway, a node or a person can put a text."""
    definitions = [
        PointDefinition(10 + n, text, ValueType.F64, text[:30], 1000, 0.0, 0.0, 1.0, text)
        for n, text in enumerate(TEXTS)
    ]
    house.hq.take(
        house.one.meta(definitions, T0 + 1),
        house.one.data(scan(40, [10 + n for n in range(len(TEXTS))])),
        house.one.events(*(_event(n, text) for n, text in enumerate(TEXTS))),
        house.one.gaps(
            *(Gap(GapCause.PROCESS_DOWN, T0, T0 + SECOND, samples=1, detail=text) for text in TEXTS)
        ),
    )
    _people(house)
    _requests(house)
    plan = '[change]\nremove = ["app/old"]\n[[ring]]\nname = "canary"\ngateways = ["unit-1"]\n'
    rollouts.plan(house.sources, f'name = "out-1"\n{plan}')
    for store in (house.sources._kept_alarms, house.sources._kept_points):
        store.forget()


def _event(n: int, text: str) -> EventRecord:
    return EventRecord(
        NOW - SECOND,
        EventType.ALARM if n % 2 else EventType.EVENT,
        text[:60],
        text[:60],
        text[:60],
        text,
        priority=1 + n % 4,
        transition="raised",
        state="unacknowledged",
        value=1.0,
        operator=text[:60],
        comment=text,
        number=100 + n,
    )


def _people(house: House) -> None:
    owner = house.users["group", "operator"]
    with writing(house.metadata) as session:
        for n, text in enumerate(TEXTS):
            Users(session).add("group", f"evil.{n}", text[:80], f"{text[:60]}@evil.example", now_us())
            Tenants(session).add(f"evil-{n}", text[:80], now_us())
            record(session, machine(text), text, text, "done", {text: text, "why": [text]})
        for text in TEXTS[:8]:
            tokens.make(
                session, machine("tests"), text[:60].replace("\u202e", ""), ["points:read"], 1, user=owner
            )
    for text in TEXTS:
        house.sessions.begin(owner, "tests", text[:60], text)
    with house.client(role="engineer") as client:
        asker = house.sessions.resume(client.cookies[house.context.cookie])
        assert asker is not None
        for text in TEXTS:
            house.queries.save(asker.principal, text[:100], f"SELECT '{text}'", shared=True)


def _requests(house: House) -> None:
    registry = Registry(house.hq.home / "hostile.db")
    house.sources.registry = registry
    for n, text in enumerate(TEXTS):
        node = Identity.generate(f"node-{n}", "gateway", "plant-a").public
        with registry.change():
            registry.file_request(
                RequestRow(node, bytes([n]) * 16, text, NOW / 1e6, RequestState.PENDING, "")
            )


def pages(house: House) -> dict[str, tuple[str, ...]]:
    """Where the texts are shown, and where what is asked for is said back, by role."""
    every = "".join(TEXTS)
    numbers = [point.series for point in house.sources.points().points if point.name in TEXTS][:20]
    echoed = quote(every, safe="")
    sql = 'SELECT name, unit, description AS "<img src=x onerror=canary(20)>" FROM series'
    return {
        "operator": (
            "/", "/topology", "/gateways", "/gateways/unit-1", "/points", "/alarms", "/events?days=3650",
            "/mimic", "/rollouts", "/rollouts/out-1", "/catalogue/series", "/catalogue/events", "/account",
            "/trend?" + urlencode({"series": numbers}, doseq=True),
            f"/sql?sql={quote(sql + ' -- ' + every)}",
            *(f"{path}?q={echoed}" for path in ("/search", "/points", "/gateways", "/alarms", "/events")),
            f"/points?unit={quote(TEXTS[1])}&gateway={quote(TEXTS[2])}",
            f"/alarms?state={quote(TEXTS[1])}&gateway={quote(TEXTS[2])}",
            f"/nowhere/{quote(TEXTS[1], safe='')}", f"/gateways/{quote(TEXTS[2], safe='')}",
            f"/sql/jobs/{quote(TEXTS[1], safe='')}",
            f"/live?series={quote(TEXTS[1])}", f"/live?series={quote(TEXTS[10])}&lang=zh",
            f"/points?cursor={quote(TEXTS[1])}", f"/events?days={quote(TEXTS[1])}",
            f"/events?type={quote(TEXTS[1])}&q={quote(TEXTS[4])}",
        ),
        "security-administrator": ("/enrolment", "/users", f"/users?q={echoed}", f"/users/{_evil(house)}"),
        "system-administrator": ("/tenants", "/tenants/evil-1", f"/users/{house.users['group', 'operator']}"),
        "audit-administrator": ("/audit", f"/audit?actor={quote(TEXTS[1])}&action={quote(TEXTS[4])}"),
    }  # fmt: skip


def _evil(house: House) -> str:
    with reading(house.metadata) as session:
        found = Users(session).by_login("evil.1")
    assert found is not None
    return found.id


class _Tags(HTMLParser):
    """Collects what only a hostile text can have put into a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        given = dict(attrs)
        if tag in ALIEN_TAGS or "x-evil" in given or any(name.startswith(("on", "hx-on")) for name in given):
            self.found.append(self.get_starttag_text() or tag)
        for name in ("src", "href", "action", "hx-get", "data-href", "formaction", "xlink:href"):
            value = (given.get(name) or "").strip().lower()
            if (
                not value.startswith(("/", "?", "#", "data:image/svg+xml,%3csvg")) and value
            ) or value.startswith("//"):
                self.found.append(f"{tag} {name}={value}")


def made_of_texts(page: str) -> list[str]:
    """What of a page only a hostile text can have put there: tags, attributes, worked out templates."""
    parser = _Tags()
    parser.feed(page)
    parser.close()
    return parser.found + re.findall(EVALUATED, page)
