"""Language and colours: kept in the browser, and in the address of the page that is gone back to."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from headquarters.portal.door import OwnPage
from headquarters.portal.frame import LANGUAGE_COOKIE, SCHEME_COOKIE, SCHEMES, PageRoute, keep, local
from headquarters.portal.words import LANGUAGES

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.post("/preferences")
def choose(
    request: Request, _: OwnPage, back: str = Form("/"), language: str = Form(""), scheme: str = Form("")
) -> Response:
    """Choose a language or colours; changes nothing but cookies, so anybody may, on a page of ours."""
    target = urlsplit(local(back))
    query = [(key, value) for key, value in parse_qsl(target.query) if key != "lang"]
    if language in LANGUAGES:
        query.append(("lang", language))
    address = target.path + ("?" + urlencode(query) if query else "")
    answer = RedirectResponse(local(address), 303)
    for cookie, value, known in ((LANGUAGE_COOKIE, language, LANGUAGES), (SCHEME_COOKIE, scheme, SCHEMES)):
        if value in known:
            keep(request, answer, cookie, value)
    return answer
