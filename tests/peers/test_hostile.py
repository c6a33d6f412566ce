"""Hostile texts of gateways and people in a real browser that is told to run whatever stands in a page.

The pages' own policy, which forbids every script in a page, is switched off here: what runs nothing
without it was written as text everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.peers.browser import Browser
from tests.peers.portal_parts import Portal, portal
from tests.web.hostile import ALIEN, EVALUATED, TEXTS, pages, sow

CANARY = "window.sung = []; window.canary = number => window.sung.push(number);"
CHECK = """
const found = [], links = [];
const look = root => {
  for (const each of root.querySelectorAll('*')) {
    if (each.matches(arguments[0])) found.push(each.outerHTML.slice(0, 200));
    for (const {name} of each.attributes) if (/^on|^hx-on/.test(name)) found.push(`${each.tagName} ${name}`);
    for (const name of ['href', 'src', 'action', 'formAction']) {
      const to = each[name]?.baseVal ?? each[name];
      if (each.hasAttribute(name) && typeof to === 'string' && to && !to.startsWith('data:image/svg+xml')) {
        if (new URL(to, location.href).origin !== location.origin) links.push(to);
      }
    }
    if (each.shadowRoot) look(each.shadowRoot);
  }
};
look(document);
return {sung: window.sung, found, links, text: document.body.innerText, title: document.title};
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with portal(tmp_path_factory.mktemp("hostile"), sow) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        found.unguarded(CANARY)
        yield found


def settled(browser: Browser) -> bool:
    return bool(
        browser.script(
            "return document.readyState === 'complete' && !document.querySelector('[aria-busy], .chart-wait')"
            " && (!document.querySelector('ix-menu') || document.querySelector('ix-menu.hydrated') !== null)"
        )
    )


def test_the_canary_sings_where_a_script_does_run(served: Portal, browser: Browser) -> None:
    browser.open(f"{served.address}/sign-in")
    browser.script(
        "document.body.insertAdjacentHTML('beforeend', arguments[0])", f"<div>{TEXTS[1]}<x-evil></div>"
    )
    browser.wait("the canary", lambda: browser.script("return window.sung.length"))
    told = browser.script(CHECK, ",".join(ALIEN))
    assert told["sung"] == [2]
    assert len(told["found"]) == 3, told["found"]  # the picture, its attribute, and the element


def test_no_text_becomes_a_script_or_an_element_on_any_page(served: Portal, browser: Browser) -> None:
    shown: set[str] = set()
    for role, paths in pages(served.house).items():
        browser.open(f"{served.address}/static/LICENCES.txt")
        browser.cookie(served.house.context.cookie, served.cookie(role))
        browser.requested()
        for path in paths:
            browser.open(served.address + path)
            browser.wait(path, lambda: settled(browser))
            told = browser.script(CHECK, ",".join(ALIEN))
            assert told["sung"] == [], f"a script ran on {path}"
            assert told["found"] == [], path
            assert told["links"] == [], path
            assert EVALUATED not in told["text"] + told["title"], path
            assert urlsplit(browser.address()).path == urlsplit(path).path or "/sql" in path, path
            shown |= {text for text in TEXTS if " ".join(text.split()) in " ".join(told["text"].split())}
    assert browser.requested() <= {urlsplit(served.address).netloc}, "nobody else was asked for anything"
    assert len(shown) > len(TEXTS) - 3, [text for text in TEXTS if text not in shown]


def test_a_result_of_a_query_is_text_in_the_workbench_and_its_chart(served: Portal, browser: Browser) -> None:
    browser.open(f"{served.address}/static/LICENCES.txt")
    browser.cookie(served.house.context.cookie, served.cookie("operator"))
    resumed = served.house.sessions.resume(served.cookie("operator"))
    assert resumed is not None
    queries, evil = served.house.queries, "<img src=x onerror=canary(20)>"
    for sql in (
        f'SELECT name, unit, description AS "{evil}" FROM series',
        f"SELECT nothing AS \"{evil}\" FROM samples WHERE '{evil}'",
    ):
        asked = queries.ask(resumed.principal, sql)
        assert queries.wait(asked.id, 60.0)
        browser.open(f"{served.address}/sql/jobs/{asked.id}")
        browser.wait("the editor", lambda: browser.script("return !!document.querySelector('.cm-content')"))
        told = browser.script(CHECK, ",".join(ALIEN))
        assert (told["sung"], told["found"], told["links"]) == ([], [], [])
        assert evil in told["text"]
