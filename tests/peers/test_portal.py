"""The portal in a real browser: every page, both languages, light and dark, wide and narrow."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from headquarters.portal import assets
from headquarters.portal.frame import MENU
from headquarters.portal.shapes import iso
from headquarters.services.fleet import commands
from headquarters.views.seeing import EVERYTHING
from tests.lake_parts import SECOND, T0
from tests.peers.browser import ENTER, TAB, Browser
from tests.peers.portal_parts import Portal, axe_script, judged, portal

SOURCES = Path(__file__).parents[2] / "scripts/portal"
OPERATOR = (
    "/", "/topology", "/gateways", "/gateways/unit-1", "/mimic", "/points?q=10LBA*", "/trend", "{trend}",
    "/alarms", "/events?days=3650", "/sql", "/catalogue", "/catalogue/samples", "/rollouts",
    "/search?q=steam", "/account", "/nowhere",
)  # fmt: skip
PAGES = {
    "operator": OPERATOR,
    "security-administrator": ("/enrolment", "/users", "/audit"),
    "system-administrator": ("/tenants", "/tenants/plant-a", "{user}", "/operations"),
    "audit-administrator": ("/audit", "/audit/check"),
}
REFUSALS = ("404 (Not Found)", "403 (Forbidden)")
"""What a browser says of a page that is answered as it should be: not there, or denied."""

SCHEMES = {"en": "light", "zh": "dark"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with portal(tmp_path_factory.mktemp("portal")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


def sign_in(browser: Browser, served: Portal, role: str) -> None:
    """Put a session into the browser, as signing in does."""
    browser.open(f"{served.address}/static/LICENCES.txt")
    browser.cookie(served.house.context.cookie, served.cookie(role))


def ready(browser: Browser) -> None:
    browser.wait(
        "the page's frame and data",
        lambda: browser.script(
            "return document.readyState === 'complete' && !document.querySelector('[aria-busy], .chart-wait')"
            " && (!document.querySelector('ix-menu') || document.querySelector('ix-menu.hydrated') !== null)"
        ),
    )


def addresses(served: Portal, path: str) -> str:
    series = served.house.series("unit-1/10LBA10CT001"), served.house.series("unit-1/10LBA10CP001")
    chart = f"/trend?series={series[0]}&series={series[1]}&from={iso(T0)}&to={iso(T0 + 60 * SECOND)}"
    return path.format(trend=chart, user=f"/users/{served.house.users['group', 'operator']}")


@pytest.mark.parametrize("language", ("en", "zh"))
def test_every_page_is_clean_in_both_languages_light_and_dark_wide_and_narrow(
    served: Portal, browser: Browser, language: str
) -> None:
    axe, titles = axe_script(), set()
    browser.prefer(SCHEMES[language])
    for role, paths in PAGES.items():
        sign_in(browser, served, role)
        browser.requested()
        browser.complaints()
        for path in paths:
            where = addresses(served, path)
            browser.size(1280, 900)
            browser.open(f"{served.address}{where}{'&' if '?' in where else '?'}lang={language}")
            ready(browser)
            assert (
                browser.script("return document.documentElement.lang")
                == {"en": "en", "zh": "zh-CN"}[language]
            )
            assert browser.text("h1"), f"{where} has no name"
            titles.add((path, browser.text("h1")))
            told = judged(browser.script(axe))
            assert told["passed"] > 10, f"axe looked at nothing on {where}"
            assert told["serious"] == [], f"{where} as {role} in {language}"
            browser.size(390, 844)
            beyond = browser.script("return document.documentElement.scrollWidth - window.innerWidth")
            assert beyond <= 0, f"{where} is {beyond} px wider than a phone"
            complaints = [
                text
                for text in browser.complaints()
                if not text.endswith(REFUSALS) and not any(r in text for r in REFUSALS)
            ]
            assert complaints == [], where
    assert browser.requested() <= {urlsplit(served.address).netloc}, "nobody else was asked for anything"
    menu = {item.path for item in MENU}
    assert menu <= {path.split("?")[0] for paths in PAGES.values() for path in paths}, (
        "every page of the menu"
    )
    browser.size(1280, 900)


SHEET = 700
"""Pixels that an A4 sheet is wide, without its margins."""

ON_PAPER = """
  const of = (names) => [...document.querySelectorAll(names)].filter((each) => each.checkVisibility());
  const named = (each) => each.outerHTML.slice(0, 90);
  const page = document.querySelector(".page, main");
  const ends = Math.max(document.documentElement.scrollHeight, document.body.scrollHeight);
  const isCut = (each) => each.getBoundingClientRect().right > innerWidth + 1;
  return {
    frame: of("ix-application-header, ix-menu, .button, dialog").map(named),
    beyond: document.documentElement.scrollWidth - innerWidth,
    cut: of("table, svg, canvas, pre").filter(isCut).map(named),
    below: page.getBoundingClientRect().bottom - ends,
    scheme: getComputedStyle(document.documentElement).colorScheme,
    ground: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(page).color,
    printed: document.querySelector(".printed")?.innerText ?? "",
  };
"""


def test_every_page_goes_whole_onto_paper_black_on_white_and_says_where_it_is_from(
    served: Portal, browser: Browser
) -> None:
    for role, paths in PAGES.items():
        sign_in(browser, served, role)
        for path in paths:
            where = addresses(served, path)
            browser.prefer("dark")
            browser.size(1280, 900)
            browser.open(f"{served.address}{where}{'&' if '?' in where else '?'}lang=en")
            ready(browser)
            browser.size(SHEET, 900)
            browser.prefer("dark", "print")
            browser.script("dispatchEvent(new Event('beforeprint'))")
            found = browser.script(ON_PAPER)
            assert found["frame"] == [], f"{where}: what only a screen can do"
            assert found["beyond"] <= 0 and found["cut"] == [], f"{where}: {found['cut']}"
            assert found["below"] <= 0, f"{where}: the end of the page is cut off"
            inks = (found["scheme"], found["ground"], found["ink"])
            assert inks == ("light", "rgb(255, 255, 255)", "rgb(0, 0, 0)"), where
            address, by = found["printed"].split("\n")
            assert address == browser.address() and by.startswith(f"Printed by group.{role}"), where
            assert "GMT" in by, "a time with its zone"
            browser.script("dispatchEvent(new Event('afterprint'))")
    browser.prefer("light")
    browser.size(1280, 900)


def test_charts_are_on_paper_in_its_colours_and_long_lists_go_over_several_sheets(
    served: Portal, browser: Browser
) -> None:
    sign_in(browser, served, "operator")
    browser.prefer("dark")
    for path in ("{trend}", "/topology"):
        browser.open(served.address + addresses(served, path))
        ready(browser)
        browser.script("dispatchEvent(new Event('beforeprint'))")
        inks = browser.script("""
          const canvas = document.querySelector("canvas.paper");
          const bytes = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const found = new Map();
          for (let at = 0; at < bytes.length; at += 4) {
            if (bytes[at + 3] < 255) continue;
            const name = bytes.slice(at, at + 3).join(" ");
            found.set(name, (found.get(name) ?? 0) + 1);
          }
          return [...found].sort((a, b) => b[1] - a[1]).slice(0, 4);
        """)
        assert len(inks) == 4, f"{path}: something is drawn"
        assert min(map(int, inks[0][0].split())) > 200, f"{path}: most of it is light, {inks}"
        assert len(browser.printed()) > 10_000
        browser.script("dispatchEvent(new Event('afterprint'))")
        assert not browser.script("return document.querySelector('canvas.paper, .has-paper')")
    browser.prefer("light")
    sign_in(browser, served, "system-administrator")
    browser.open(f"{served.address}/operations")
    ready(browser)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", browser.printed())) > 1


def test_a_link_signs_in_and_a_first_password_is_asked_for(served: Portal, browser: Browser) -> None:
    browser.forget_cookies()
    browser.open(f"{served.address}/alarms")
    assert urlsplit(browser.address()).path == "/sign-in", "nothing is shown to nobody"
    browser.open(served.link("viewer"))
    browser.focus("form.stack button")
    browser.keys(ENTER)
    browser.wait("one's own account", lambda: urlsplit(browser.address()).path == "/account")
    for name in ("new", "again"):
        browser.focus(f"input[name={name}]")
        browser.keys("River-Bank-4711")
    browser.keys(ENTER)
    browser.wait("the password", lambda: "password is set" in browser.text(".said[role=status]"))
    browser.forget_cookies()
    browser.open(f"{served.address}/sign-in?back=/alarms")
    browser.focus("input[name=login]")
    browser.keys("group.viewer")
    browser.focus("input[name=password]")
    browser.keys("wrong one" + ENTER)
    browser.wait("a refusal", lambda: browser.text("#wrong") != "")
    browser.focus("input[name=password]")
    browser.keys("River-Bank-4711" + ENTER)
    browser.wait("the page that was wanted", lambda: urlsplit(browser.address()).path == "/alarms")


def test_a_slash_leads_into_the_search_and_the_language_changes_in_place(
    served: Portal, browser: Browser
) -> None:
    sign_in(browser, served, "operator")
    browser.open(f"{served.address}/points?q=10LBA*&lang=en")
    ready(browser)
    browser.keys("/")
    assert browser.script("return document.activeElement.id") == "search"
    browser.script("document.querySelector('button[name=language][value=zh]').click()")
    browser.wait("Chinese", lambda: browser.text("h1") == "测点")
    assert "q=10LBA" in browser.address(), "the filter is still there"
    assert browser.script("return document.querySelectorAll('#rows tbody tr').length") == 6


def test_an_alarm_is_acknowledged_by_a_signed_command(served: Portal, browser: Browser) -> None:
    sign_in(browser, served, "operator")
    browser.open(f"{served.address}/alarms?gateway=unit-1&lang=en")
    ready(browser)
    browser.script("document.querySelector('input[name=alarm]').click()")
    browser.focus("button[value=ack]")
    browser.keys(ENTER)
    browser.wait("what was done", lambda: "Acknowledging 1 alarms" in browser.text(".said[role=status]"))
    sent = commands.latest(served.house.sources, EVERYTHING, "unit-1")[0]
    assert sent.requester.startswith("group.operator@")
    assert any(entry.content.action == "alarms.ack" for entry in served.house.audited())


def test_a_tenant_is_given_a_site_and_loses_it_from_the_keyboard(served: Portal, browser: Browser) -> None:
    sign_in(browser, served, "system-administrator")
    browser.open(f"{served.address}/tenants?lang=en")
    ready(browser)
    browser.focus("[data-dialog=add]")
    browser.keys(ENTER)
    browser.wait("the dialog", lambda: browser.script("return document.activeElement.name === 'id'"))
    browser.keys("works-k" + TAB + "Works K" + ENTER)
    browser.wait("its own page", lambda: urlsplit(browser.address()).path == "/tenants/works-k")
    ready(browser)
    browser.focus("[data-dialog=own]")
    browser.keys(ENTER)
    browser.wait("the dialog", lambda: browser.script("return document.activeElement.name === 'site'"))
    browser.keys("south" + ENTER)
    browser.wait("what was done", lambda: "owns south now" in browser.text(".said[role=status]"))
    ready(browser)
    browser.focus("[data-dialog=site-1]")
    browser.keys(ENTER)
    browser.wait("a question", lambda: browser.text("#site-1").startswith("Take south from works-k"))
    browser.focus("#site-1 [data-close]")
    browser.keys(ENTER)
    assert "south" in browser.text(".grid"), "who thinks better of it changes nothing"
    browser.focus("[data-dialog=site-1]")
    browser.keys(ENTER)
    browser.focus("#site-1 button.danger")
    browser.keys(ENTER)
    browser.wait("what was done", lambda: "the group’s alone" in browser.text(".said[role=status]"))
    acts = [each.content.action for each in served.house.audited() if each.content.target == "works-k"]
    assert acts == ["tenants.add", "tenants.own", "tenants.disown"]


def test_a_zoom_asks_anew_for_as_many_points_as_there_are_pixels(served: Portal, browser: Browser) -> None:
    sign_in(browser, served, "operator")
    browser.open(served.address + addresses(served, "{trend}&lang=en"))
    ready(browser)
    asked = (
        "return performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(name => name.includes('/trend/data'))"
    )
    before = browser.script(asked)
    width = browser.script("return Math.round(document.querySelector('#chart').clientWidth)")
    assert [f"width={width}" in each for each in before] == [True]
    assert browser.text("#legend tbody tr td[data-high]") == "59"
    browser.focus("#chart")
    browser.keys("+")
    browser.wait("the zoomed part", lambda: len(browser.script(asked)) == 2)
    ready(browser)
    assert "from=" in browser.address(), "the address has the range"
    assert browser.script(asked)[1] != before[0]


def test_a_query_is_run_from_the_keyboard_and_its_rows_are_shown(served: Portal, browser: Browser) -> None:
    sign_in(browser, served, "operator")
    browser.complaints()  # those of the tests before
    browser.open(f"{served.address}/sql?lang=en&sql=SELECT+count(*)+AS+n,+max(value)+AS+top+FROM+samples")
    browser.wait("the editor", lambda: browser.script("return !!document.querySelector('.cm-content')"))
    browser.focus(".cm-content")
    browser.chord("\ue009", ENTER)
    browser.wait("a result", lambda: browser.script("return !!document.querySelector('#rows tbody td')"), 60)
    assert browser.text("#rows thead").strip() == "n\ttop"
    assert browser.text("#rows tbody td:nth-child(2)") == "59.0"
    assert browser.complaints() == []


def test_the_built_files_are_those_of_the_sources(tmp_path: Path) -> None:
    axe_script()  # says what to do where nothing is installed
    subprocess.run(
        ["node", "build.mjs", "--out", str(tmp_path)], cwd=SOURCES, check=True, capture_output=True
    )
    built = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    committed = {file.name: file.read_bytes() for file in assets.STATIC.iterdir()}
    assert sorted(built) == sorted(committed), "run: make portal"
    assert built == committed
    manifest = json.loads(built["manifest.json"])
    assert set(manifest.values()) | {"manifest.json", "LICENCES.txt"} == set(built)
