"""Signing in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from headquarters.accounts.signin import Accepted, CodeNeededError
from headquarters.api.context import context_of, set_cookie
from headquarters.api.problems import RateError
from headquarters.errors import SignInError
from headquarters.portal.door import OwnPage, Visitor, needs, visitor_of
from headquarters.portal.frame import PageRoute, language_of, local, render
from headquarters.portal.service import service_of
from headquarters.portal.words import N_, translations

WRONG = N_("Nobody is let in with that. After some wrong tries an account is locked for a while.")
CODE = N_("The password is right. Now the code of the second factor.")
ELSEWHERE = N_("The provider let nobody in. Try again, or ask the system administrator of your tenant.")

OIDC_COOKIE, OIDC_S = "catchment-oidc", 600
"""Binds a sign-in under way to the browser that began it, for as long as it is kept."""

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/sign-in")
async def show(request: Request, back: str = "/") -> Response:
    """The form; whoever is signed in already goes on."""
    if await visitor_of(request) is not None:
        return RedirectResponse(local(back), 303)
    return _form(request, back=local(back))


@router.post("/sign-in")
def sign_in(
    request: Request,
    _: OwnPage,
    login: Annotated[str, Form(max_length=64)] = "",
    password: Annotated[str, Form(max_length=4096)] = "",
    code: Annotated[str, Form(max_length=64)] = "",
    back: Annotated[str, Form(max_length=4096)] = "/",
) -> Response:
    """Let somebody in by password."""
    address = _count(request)
    door = service_of(request).sign_in
    return _judged(
        request,
        lambda: door.by_password(login, password, code, address),
        local(back),
        "sign_in.html",
        login=login,
        back=local(back),
    )


@router.get("/sign-in/oidc/begin")
def begin_elsewhere(request: Request, back: str = "/") -> Response:
    """Lead to the OpenID provider."""
    _count(request)
    oidc = service_of(request).oidc
    if oidc is None:
        raise HTTPException(404)
    begun = oidc.begin(_redirect_uri(request), local(back))
    answer = RedirectResponse(begun.url, 303)
    secure = context_of(request).is_tls
    # Lax: the provider's redirect comes from another site, and must bring it along
    answer.set_cookie(OIDC_COOKIE, begun.cookie, OIDC_S, httponly=True, samesite="lax", secure=secure)
    return answer


@router.get("/sign-in/oidc")
def finish_elsewhere(request: Request) -> Response:
    """Where the OpenID provider leads back to."""
    _count(request)
    oidc = service_of(request).oidc
    if oidc is None:
        raise HTTPException(404)
    cookie = request.cookies.get(OIDC_COOKIE, "")
    try:
        finished = oidc.finish(dict(request.query_params), cookie, _redirect_uri(request))
    except SignInError:
        wrong = translations(language_of(request)).gettext(ELSEWHERE)
        return _form(request, 401, wrong=wrong)
    answer = _begin_session(request, finished.accepted, local(finished.next))
    secure = context_of(request).is_tls
    answer.delete_cookie(OIDC_COOKIE, httponly=True, samesite="lax", secure=secure)
    return answer


@router.get("/sign-in/link/{secret}")
def show_link(request: Request, secret: str) -> Response:
    """Whose a one-time link is; it is used only when its button is pressed, and not by a preview."""
    _count(request)
    user = service_of(request).sign_in.whose_link(secret)
    login = "" if user is None else user.login
    status = 404 if user is None else 200
    return render(request, "sign_in_link.html", None, status, login=login, wrong="", needs_code=False)


@router.post("/sign-in/link/{secret}")
def use_link(
    request: Request, _: OwnPage, secret: str, code: Annotated[str, Form(max_length=64)] = ""
) -> Response:
    """Let somebody in by a one-time link, who sets a password next: there was none, or it was lost."""
    address = _count(request)
    door = service_of(request).sign_in
    user = door.whose_link(secret)
    return _judged(
        request,
        lambda: door.by_link(secret, code, address),
        "/account?first=password",
        "sign_in_link.html",
        login="" if user is None else user.login,
    )


@router.post("/sign-out")
def sign_out(request: Request, visitor: Annotated[Visitor, needs(None)]) -> Response:
    """End the session."""
    context = visitor.context
    context.sessions.end(request.cookies[context.cookie])
    request.scope["state"]["cookie"] = set_cookie(context, "", 0)
    return RedirectResponse("/sign-in", 303)


def _judged(
    request: Request, judge: Callable[[], Accepted], target: str, template: str, **shown: Any
) -> Response:
    """Begin a session for who is let in; else the form again, with what is wrong."""
    text = translations(language_of(request)).gettext
    try:
        accepted = judge()
    except CodeNeededError:
        shown |= {"provider": _provider(request)}
        return render(request, template, None, wrong=text(CODE), needs_code=True, **shown)
    except SignInError:
        shown |= {"provider": _provider(request)}
        return render(request, template, None, 401, wrong=text(WRONG), needs_code=False, **shown)
    return _begin_session(request, accepted, target)


def _begin_session(request: Request, accepted: Accepted, target: str) -> Response:
    context = context_of(request)
    before = request.cookies.get(context.cookie)
    if before:
        context.sessions.end(before)  # whoever had it, and whoever put it there: it is worth nothing now
    agent = request.headers.get("user-agent", "")
    token = context.sessions.begin(accepted.user, accepted.by, _address(request), agent)
    request.scope["state"]["cookie"] = set_cookie(context, token)
    return RedirectResponse(target, 303)


def _form(request: Request, status: int = 200, **shown: Any) -> Response:
    known: dict[str, Any] = {"back": "/", "login": "", "wrong": "", "needs_code": False}
    return render(request, "sign_in.html", None, status, provider=_provider(request), **(known | shown))


def _provider(request: Request) -> str:
    oidc = service_of(request).oidc
    return "" if oidc is None else oidc.provider.name


def _redirect_uri(request: Request) -> str:
    ours = service_of(request).public_url or f"{request.url.scheme}://{request.url.netloc}"
    return f"{ours.rstrip('/')}/sign-in/oidc"


def _count(request: Request) -> str:
    """Count a try, and give the address that it comes from.

    Raises:
        RateError: Too many from there.
    """
    context, address = context_of(request), _address(request)
    taken = context.strangers.take(address, context.monotonic())
    if not taken.is_allowed:
        raise RateError(taken.reset_s)
    return address


def _address(request: Request) -> str:
    return "" if request.client is None else request.client.host
