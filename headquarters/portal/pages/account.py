"""One's own account: password, second factor, sessions and tokens. Open also to who has a duty left."""

from __future__ import annotations

import base64
from typing import Annotated

import segno
from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from headquarters.accounts import tokens
from headquarters.accounts.credentials import ApiTokens
from headquarters.accounts.people import People
from headquarters.api.context import set_cookie
from headquarters.db.engine import reading, writing
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, back_with, language_of, render
from headquarters.portal.service import service_of
from headquarters.portal.words import N_
from headquarters.tenancy.permissions import PERMISSIONS
from protocols.errors import InputError, Problem

TOKEN_DAYS = 90

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/account")
def show(request: Request, visitor: Annotated[Visitor, needs(None)], first: str = "") -> Response:
    """What is one's own."""
    duties = set(first.split(",")) | set(visitor.resumed.duties)
    with reading(visitor.context.metadata) as session:
        owned = ApiTokens(session).of_user(visitor.principal.id)
    language = language_of(request)
    return render(
        request,
        "account.html",
        visitor,
        user=visitor.resumed.user,
        sessions=visitor.context.sessions.of_user(visitor.principal.id),
        here_session=visitor.resumed.session.id,
        tokens=[token for token in owned if token.revoked_us is None],
        rights={name: getattr(PERMISSIONS[name], language) for name in sorted(visitor.permissions)},
        duties=duties & {"password", "second-factor"},
        needs_old=_needs_old(visitor),
        days=TOKEN_DAYS,
    )


@router.post("/account/password")
def set_password(
    request: Request,
    visitor: Annotated[Visitor, needs(None)],
    new: Annotated[str, Form(max_length=4096)],
    again: Annotated[str, Form(max_length=4096)],
    old: Annotated[str, Form(max_length=4096)] = "",
) -> Response:
    """Set a password; all other sessions end, and this one gets another token."""
    if new != again:
        raise InputError([Problem("password", "again", "another one", "the same new password twice")])
    if _needs_old(visitor):
        _confirm(request, visitor, old)
    service_of(request).own.set_password(visitor.principal.id, new, visitor.resumed.session.id)
    _rotate(request, visitor)
    return back_with(request, "/account", N_("Your password is set; all other sessions of yours have ended."))


@router.post("/account/second-factor")
def begin_second_factor(
    request: Request,
    visitor: Annotated[Visitor, needs(None)],
    old: Annotated[str, Form(max_length=4096)] = "",
) -> Response:
    """Draw a secret, and show it as a code for the authenticator."""
    _confirm(request, visitor, old)
    sealed, uri = service_of(request).own.begin_second_factor(visitor.principal.id)
    picture = segno.make(uri, error="m").svg_data_uri(scale=5, border=2, light="white")
    text = base64.urlsafe_b64encode(sealed).decode()
    return render(request, "second_factor.html", visitor, picture=picture, uri=uri, sealed=text)


@router.post("/account/second-factor/confirm")
def confirm_second_factor(
    request: Request,
    visitor: Annotated[Visitor, needs(None)],
    sealed: Annotated[str, Form(max_length=1000)],
    code: Annotated[str, Form(max_length=16)],
) -> Response:
    """Put the second factor in force, and show the recovery codes, once."""
    own = service_of(request).own
    try:
        secret = base64.urlsafe_b64decode(sealed)
    except ValueError as error:
        raise InputError([Problem("second factor", "sealed", "", "the form as it was sent")]) from error
    user = visitor.principal.id
    codes = own.confirm_second_factor(user, secret, code.strip(), visitor.resumed.session.id)
    _rotate(request, visitor)
    return render(request, "recovery.html", visitor, codes=codes)


@router.post("/account/sessions/{id}")
def end_session(request: Request, visitor: Annotated[Visitor, needs(None)], id: str) -> Response:
    """End one of one's own sessions elsewhere."""
    visitor.context.sessions.end_one(visitor.principal.id, id)
    return back_with(request, "/account", N_("That session has ended."))


@router.post("/account/tokens")
def make_token(
    request: Request,
    visitor: Annotated[Visitor, needs("overview:read")],
    name: Annotated[str, Form(max_length=80)],
    days: Annotated[int, Form(ge=1, le=366)] = TOKEN_DAYS,
    scope: Annotated[list[str], Form(max_length=100)] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Make an API token, and show it, once."""
    with writing(visitor.context.metadata) as session:
        made = tokens.make(session, visitor.principal, name.strip(), scope, days)
    return render(request, "token.html", visitor, name=name, text=made.text)


@router.post("/account/tokens/{id}")
def revoke_token(request: Request, visitor: Annotated[Visitor, needs(None)], id: str) -> Response:
    """Put one of one's own tokens out of force."""
    with writing(visitor.context.metadata) as session:
        tokens.revoke(session, visitor.principal, id)
    return back_with(request, "/account", N_("The token serves no more."))


@router.post("/account/profile")
def set_profile(
    request: Request,
    visitor: Annotated[Visitor, needs(None)],
    name: Annotated[str, Form(max_length=80)],
    email: Annotated[str, Form(max_length=255)] = "",
) -> Response:
    """Change how one is called and reached."""
    user = visitor.resumed.user
    with writing(visitor.context.metadata) as session:
        People(session, visitor.principal).set_profile(user.id, name.strip(), email.strip(), user.language)
    return back_with(request, "/account", N_("Your profile is changed."))


def _needs_old(visitor: Visitor) -> bool:
    """Whether a new password takes the one before; not of who has none, or lost it and came by a link."""
    session, since_us = visitor.resumed.session, visitor.resumed.user.password_us
    came_by_link = session.by.startswith("link")
    return since_us is not None and not (came_by_link and since_us < session.created_us)


def _confirm(request: Request, visitor: Visitor, password: str) -> None:
    """See that who changes what protects an account knows its password, where there is one."""
    has_one = visitor.resumed.user.password_us is not None
    if has_one and not service_of(request).sign_in.confirms(visitor.principal.id, password):
        raise InputError([Problem("password", "old", "another one", "the password that you have now")])


def _rotate(request: Request, visitor: Visitor) -> None:
    context = visitor.context
    token = context.sessions.rotate(request.cookies[context.cookie])
    if token is not None:
        request.scope["state"]["cookie"] = set_cookie(context, token)
