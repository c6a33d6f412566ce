"""The frame of every page: menu, language, colours, headers, and what is shown instead of a page.

Rules:
1. No page carries a script or style; what browsers are told (`Content-Security-Policy`) forbids both.
2. What every answer of this process carries (no framing, no keeping) comes from `headquarters.api.headers`.
3. The language is that of the address (`?lang=`), which is kept, else what was kept, else what the
   browser says.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from fastapi import HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined, select_autoescape
from jinja2.bccache import Bucket

from headquarters.api.context import context_of, note_denied
from headquarters.api.problems import RateError, is_for_people
from headquarters.db.base import now_us
from headquarters.errors import ConflictError, DeniedError, QuotaError
from headquarters.portal import shapes, words
from headquarters.portal.assets import asset
from headquarters.portal.door import DutyError, ForgedError, SignInNeededError, Visitor, visitor_of
from headquarters.portal.labels import label
from headquarters.portal.told import told
from headquarters.portal.words import LANGUAGES, N_
from headquarters.tenancy.permissions import PERMISSIONS, ROLES
from headquarters.views.seeing import UnseenError
from protocols.errors import CatchmentError, InputError

TEMPLATES = Path(__file__).parent / "templates"
LANGUAGE_COOKIE, SCHEME_COOKIE = "catchment-language", "catchment-scheme"
SCHEMES = ("system", "light", "dark")
YEAR_S = 365 * 86_400
SAID_COOKIE, SAID_S = "catchment-said", 30


TROUBLE = N_("Something here does not work now")
OURS = N_("The log of headquarters says why. Try it again in a while, and tell who runs it.")

_trouble = logging.getLogger("catchment.portal")


@dataclass(frozen=True, slots=True)
class MenuItem:
    """One line of the menu.

    Args:
        path: Where it leads.
        name: What it says.
        icon: Its icon.
        permission: Who sees it.
    """

    path: str
    name: str
    icon: str
    permission: str


MENU = (
    MenuItem("/", N_("Overview"), "dashboard", "overview:read"),
    MenuItem("/topology", N_("Topology"), "asset-network", "gateways:read"),
    MenuItem("/gateways", N_("Gateways"), "connected", "gateways:read"),
    MenuItem("/mimic", N_("Process mimic"), "process-control", "samples:read"),
    MenuItem("/points", N_("Points"), "trend", "points:read"),
    MenuItem("/trend", N_("Trends"), "chart-curve-spline", "samples:read"),
    MenuItem("/alarms", N_("Alarms"), "alarm", "alarms:read"),
    MenuItem("/events", N_("Events"), "history", "events:read"),
    MenuItem("/sql", N_("SQL workbench"), "code", "queries:run"),
    MenuItem("/catalogue", N_("Data catalogue"), "database", "catalogue:read"),
    MenuItem("/rollouts", N_("Roll-outs"), "rocket", "rollouts:read"),
    MenuItem("/operations", N_("Operations"), "health", "operations:read"),
    MenuItem("/enrolment", N_("Enrolment"), "user-check", "gateways:approve"),
    MenuItem("/users", N_("Users"), "user-group", "users:read"),
    MenuItem("/tenants", N_("Tenants"), "building1", "tenants:read"),
    MenuItem("/audit", N_("Audit"), "audit-report", "audit:read"),
)


def language_of(request: Request) -> str:
    """The language of an answer."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in LANGUAGES:
            return chosen
    return words.preferred(request.headers.get("accept-language", ""))


def scheme_of(request: Request) -> str:
    """The colours that the reader chose: `light`, `dark`, or what the machine says."""
    chosen = request.cookies.get(SCHEME_COOKIE, "")
    return chosen if chosen in SCHEMES else SCHEMES[0]


class _Compiled(BytecodeCache):
    """What templates were compiled to, in memory: it is the same in every language."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept of a template."""
        if (known := self._kept.get(bucket.key)) is not None:
            bucket.bytecode_from_string(known)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template."""
        self._kept[bucket.key] = bucket.bytecode_to_string()


_compiled = _Compiled()


@cache
def environment(language: str) -> Environment:
    """Templates in a language."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True, default_for_string=True),
        extensions=["jinja2.ext.i18n"],
        bytecode_cache=_compiled,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = words.translations(language)
    found.install_gettext_translations(texts, newstyle=True)  # type: ignore[attr-defined]
    found.filters |= {
        "number": lambda value, digits=None: shapes.number(value, language, digits),
        "size": lambda value: shapes.size(value, language),
        "span": lambda value: shapes.span(value, language),
        "whole_span": lambda value: shapes.whole_span(value, language),
        "moment": shapes.moment,
        "iso": shapes.iso,
        "quality": shapes.quality_word,
        "label": lambda value, kind: texts.gettext(label(kind, value)),
        "unit": shapes.unit,
        "breakable": shapes.breakable,
        "url": lambda value: quote(str(value), safe=""),
        "translated": texts.gettext,
        "told": lambda text: told(text, language),
        "own": lambda text: getattr(text, language),
    }
    found.globals |= {"asset": asset, "languages": LANGUAGES, "schemes": SCHEMES, "language": language}
    return found


def prepare() -> None:
    """Compile every template and read every locale: a second that no visitor has to wait for."""
    for language in LANGUAGES:
        shapes.number(0.5, language)
        for name in environment(language).list_templates():
            environment(language).get_template(name)


def render(
    request: Request, template: str, visitor: Visitor | None, status: int = 200, **shown: Any
) -> HTMLResponse:
    """A page, or a part of one.

    Args:
        request: What asked for it.
        template: Its file.
        visitor: Who sees it; `None` for pages before the sign-in.
        status: Of the answer.
        shown: What the template shows.
    """
    language = language_of(request)
    nonce = secrets.token_urlsafe(16)
    is_part = "HX-Request" in request.headers  # the word is for the page that was led back to
    said = "" if is_part else request.cookies.get(SAID_COOKIE, "")
    text = (
        environment(language)
        .get_template(template)
        .render(
            request=request,
            path=request.url.path,
            here=_here(request),
            asked_us=now_us(),
            visitor=visitor,
            menu=[item for item in MENU if visitor is not None and visitor.may(item.permission)],
            scheme=scheme_of(request),
            nonce=nonce,
            is_wall="wall" in request.query_params,
            told=unquote(said),
            with_query=lambda **changed: with_query(request, **changed),
            **shown,
        )
    )
    answer = HTMLResponse(text, status)
    answer.headers["Content-Security-Policy"] = policy(nonce)
    answer.headers["Content-Language"] = language
    if request.cookies.get(LANGUAGE_COOKIE) != language and "lang" in request.query_params:
        keep(request, answer, LANGUAGE_COOKIE, language)
    if said:
        secure = context_of(request).is_tls
        answer.delete_cookie(SAID_COOKIE, httponly=True, samesite="lax", secure=secure)
    return answer


def keep(request: Request, answer: Response, cookie: str, value: str) -> None:
    """Keep a preference in the browser for a year."""
    secure = context_of(request).is_tls
    answer.set_cookie(cookie, value, YEAR_S, httponly=True, samesite="lax", secure=secure)


def back_with(request: Request, address: str, said: str, **values: object) -> Response:
    """Lead back to a page, which says once what was done.

    Args:
        request: What was asked for.
        address: The page; only one of this portal is gone to.
        said: The English text, with `%(name)s` for values.
        values: Of these.
    """
    text = words.translations(language_of(request)).gettext(said) % values
    answer = RedirectResponse(local(address), 303)
    secure = context_of(request).is_tls
    answer.set_cookie(SAID_COOKIE, quote(text), SAID_S, httponly=True, samesite="lax", secure=secure)
    return answer


def policy(nonce: str) -> str:
    """What a browser may do with a page: what comes from here, and nothing that stands in the page.

    Args:
        nonce: For the styles that the SQL editor and the topology make for themselves.
    """
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


VARY = "Accept-Language, Cookie, HX-Request"


def with_query(request: Request, **changed: Any) -> str:
    """The address of this page with some parameters changed; `None` takes one away.

    Cursors are of one list alone, and go when anything else changes.
    """
    kept = [
        (key, value)
        for key, value in request.query_params.multi_items()
        if key not in changed and key != "cursor"
    ]
    kept += [(key, str(value)) for key, value in changed.items() if value is not None]
    return request.url.path + ("?" + urlencode(kept) if kept else "")


def _here(request: Request) -> str:
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")


def local(target: str) -> str:
    """An address of this portal, or its first page.

    >>> local("/alarms?lang=zh"), local("//evil.example/x"), local("https://evil.example"), local("/\\\\evil")
    ('/alarms?lang=zh', '/', '/', '/')
    """
    is_local = target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable()
    return target if is_local else "/"


class PageRoute(APIRoute):
    """A route of the portal: what goes wrong becomes a page, and every answer carries the headers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with what surrounds it."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                answer = await inner(request)
            except SignInNeededError:
                answer = _sign_in(request)
            except DutyError as error:
                answer = RedirectResponse("/account?" + urlencode({"first": ",".join(error.duties)}), 303)
            except DeniedError as error:
                await run_in_threadpool(note_denied, request, error)
                answer = await denied(request, error.permission)
            except UnseenError:
                answer = await missing(request)
            except RateError as error:
                busy = N_("You asked for too much at once. Wait a moment, and load the page anew.")
                answer = await failure(request, 429, N_("Too many requests"), [busy])
                answer.headers["Retry-After"] = str(max(1, round(error.wait_s)))
            except ForgedError:
                nothing = N_("Nothing was changed. Go back, load the page anew, and do it again.")
                answer = await failure(request, 403, N_("This page had been open too long"), [nothing])
            except HTTPException as error:
                if error.status_code != 404:
                    raise
                answer = await missing(request)
            except RequestValidationError as error:
                title = N_("This address asks for something that is not there")
                problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
                answer = await failure(request, 400, title, problems)
            except InputError as error:
                answer = await failure(request, 400, N_("That cannot be"), str(error).splitlines())
            except ConflictError as error:
                answer = await failure(request, 409, N_("That cannot be"), [str(error)])
            except QuotaError as error:
                answer = await failure(request, 429, N_("The quota is used up"), [str(error)])
            except CatchmentError as error:
                answer = await failure(request, 503, TROUBLE, _told(request, error))
            except Exception:
                _trouble.exception("%s %s", request.method, request.url.path)
                answer = await failure(request, 500, TROUBLE, [OURS])
            answer.headers.setdefault("Vary", VARY)
            return answer

        return handle


def _told(request: Request, error: CatchmentError) -> list[str]:
    """What people are told of an error; one that may name files of this machine is for its log."""
    if is_for_people(error):
        return str(error).splitlines()
    _trouble.error("%s %s: %s", request.method, request.url.path, error)
    return [OURS]


def _sign_in(request: Request) -> Response:
    if "HX-Request" in request.headers:
        return Response(status_code=401)
    back = _here(request) if request.method == "GET" else "/"
    address = "/sign-in" if back == "/" else "/sign-in?" + urlencode({"back": back})
    return RedirectResponse(address, 303)


async def failure(request: Request, status: int, title: str, problems: list[str]) -> Response:
    """What happened, instead of a page.

    Args:
        request: What was asked for.
        status: Of the answer.
        title: What happened, in English.
        problems: More; our own words are translated, and what somebody sent is shown as it is.
    """
    visitor = await visitor_of(request)
    language = language_of(request)
    shown = [told(problem, language) for problem in problems if problem]
    name = words.translations(language).gettext(title)
    return render(request, "failure.html", visitor, status, title=name, problems=shown)


async def missing(request: Request) -> Response:
    """The page for an address that leads nowhere, or to what its reader may not know of."""
    why = N_("The address is wrong, or leads to something that is gone or that you may not see.")
    return await failure(request, 404, N_("There is nothing here"), [why])


async def denied(request: Request, permission: str) -> Response:
    """The page that says which role would be needed, and whom to ask."""
    visitor = await visitor_of(request)
    language = language_of(request)
    return render(
        request,
        "denied.html",
        visitor,
        403,
        wanted=getattr(PERMISSIONS[permission], language),
        roles=[getattr(role, language) for role in ROLES.values() if permission in role.permissions],
    )
