"""What stores, validators and alert rules say, in the language of the page.

Their texts are English, and made of what they are about. Those that people of the portal can meet are
known here as templates; a text that fits one is said in the other language with the same values.

Rules:
1. Place and value of a problem stay: they are what its reader looks for.
2. A text that is not known is shown as it is, in English: better than nothing. A test holds the
   templates against the code that makes the texts.

>>> print(told("user: login: got 'x y'; expected a login that nobody has yet", "zh"))
用户 › 登录名：收到 'x y'；应为尚未使用的登录名
>>> told("what nobody foresaw", "zh"), told("query: cursor: found nothing; expected it", "en")
('what nobody foresaw', 'query: cursor: found nothing; expected it')
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from headquarters.portal.words import DEFAULT, N_, translations

WORDS = (
    # what a problem is in
    N_("tenant"), N_("user"), N_("group"), N_("role"), N_("grant"), N_("quota"), N_("token"), N_("password"),
    N_("second factor"), N_("recovery codes"), N_("form"), N_("query"), N_("request"), N_("command line"),
    N_("commands"), N_("plan"), N_("rollout"), N_("body"), N_("path"), N_("parameters"), N_("timezone"),
    # and where
    N_("id"), N_("name"), N_("site"), N_("points"), N_("expires"), N_("days"), N_("thing"), N_("login"),
    N_("email"), N_("language"), N_("roles"), N_("code"), N_("sealed"), N_("again"), N_("old"), N_("new"),
    N_("scope"), N_("number"), N_("alarm"), N_("why"), N_("rule"), N_("comment"), N_("compared"), N_("hours"),
    N_("cursor"), N_("series"), N_("to"), N_("width"), N_("fingerprint"), N_("verb"), N_("ring"), N_("table"),
    N_("description"), N_("most"), N_("page"), N_("limit"), N_("span"), N_("from_us"), N_("to_us"),
    # what alerts and versions are of
    N_("gateway"), N_("node"), N_("program"), N_("firmware"),
    # what quotas are of
    N_("storage"), N_("queries"), N_("jobs"), N_("apps"),
)  # fmt: skip

PLACES = (N_("line %(line)s, column %(column)s"), N_("alert rule %(name)s"))

TEMPLATES = (
    # tenants, users, roles, tokens
    N_("a site that a tenant owns"),
    N_("a site that %(tenant)s owns"),
    N_("a site that %(tenant)s does not own"),
    N_("names with * for any text and ? for any character, such as 10LBA*"),
    N_("an instant to come"),
    N_("a grant; see: catchment-hq tenants list"),
    N_("a number, 0 or more"),
    N_("a whole number of days from 1 to %(most)s"),
    N_("a tenant; see: catchment-hq tenants list"),
    N_("another tenant: the group itself sees every site, and is always let in"),
    N_("a site such as plant-a"),
    N_("1 to %(most)s printable characters"),
    N_("lower-case letters, digits, '-', '_' or '.', at most 40, such as plant-a"),
    N_("an id that no tenant has yet"),
    N_("somebody else: nobody shuts oneself out"),
    N_("en, zh, or nothing"),
    N_("a role that the user has by itself"),
    N_("a role that the group has"),
    N_("a tenant that there is"),
    N_("a name that no group of the tenant has"),
    N_("a group without roles; the security administrator takes them first"),
    N_("a user of %(tenant)s"),
    N_("a member of the group"),
    N_("a user that there is"),
    N_("a group that there is"),
    N_("one administrator's role at most: system, security and audit are three people"),
    N_("an address such as anna@example.org, or nothing"),
    N_("lower-case letters, digits, '.', '_', '-' or '@', at most 64, such as anna.li"),
    N_("a login that nobody has yet"),
    N_("a name of 1 to 60 printable characters"),
    N_("1 to %(most)s days"),
    N_("a permission such as samples:read"),
    N_("a permission that %(name)s has"),
    N_("one permission at least, such as samples:read"),
    N_("fewer tokens in force; revoke one"),
    N_("a user who is let in"),
    N_("a token in force; see the list"),
    # passwords and second factors
    N_("%(least)s to %(most)s characters"),
    N_("%(least)s of: lower case, upper case, figures, others; Chinese counts as two"),
    N_("%(least)s different characters"),
    N_("a password without the login or the name in it"),
    N_("a password that is not a common word with figures around it"),
    N_("another one than the %(count)s before"),
    N_("the password that you have now"),
    N_("the same new password twice"),
    N_("the form as it was sent"),
    N_("a user without a second factor; take the old one away first"),
    N_("the six figures that the authenticator shows now; see that its clock is right"),
    N_("a user with a second factor"),
    # alarms, enrolment, roll-outs, commands
    N_("an alarm of the list"),
    N_("at least one chosen alarm; tick it in the list"),
    N_("a reason for shelving; it is kept in the journal"),
    N_("a reason for turning it away; it is kept in the register"),
    N_("a reason for aborting; it is kept in the audit"),
    N_("a rule's name, or a pattern such as gateway-*"),
    N_("why nothing is to be delivered; it is kept in the audit"),
    N_("the fingerprint compared with the one that the node shows; tick the box when it is the same"),
    N_("%(shown)s, by which %(id)s asks now; compare it with what the node itself shows"),
    N_("an authority; make one with: catchment-hq authority create"),
    N_("seconds, at most %(most)s"),
    N_("a gateway or a hub; headquarters has new keys by: catchment-hq authority replace --new-keys"),
    N_("a request that waits; see: catchment-hq gateways list"),
    N_("a request with new keys: gateways invite, then enroll --new-keys on the true machine"),
    N_("a node with a certificate; see: catchment-hq gateways list"),
    N_("a node name such as 'unit-1'"),
    N_("a site name such as 'plant-a'"),
    N_("at most %(most)s at a time"),
    N_("the name of a roll-out; %(known)s"),
    N_("a roll-out that is %(phases)s; this one is %(phase)s"),
    N_("a name of its own: a roll-out of this name has begun"),
    N_("rings that select a gateway; see: catchment-hq desired list"),
    N_("a number above 0 and its unit: s, min, h or d, as 30min or 8h"),
    # lists, trends, exports
    N_("a cursor of this list"),
    N_("the cursor that the page before ended with, unchanged"),
    N_("at most %(most)s series in one read"),
    N_("at most %(most)s series in one chart"),
    N_("at most %(most)s numbers of series, with commas between"),
    N_("an end after its begin"),
    N_("pixels, 1 to %(most)s"),
    N_("a lake; start headquarters once with: catchment-hq run"),
    # queries
    N_("text in UTF-8 without the character NUL"),
    N_("a time zone such as UTC or Asia/Shanghai"),
    N_("nothing: it was stopped"),
    N_("less to hold at once"),
    N_("less to hold at once: fewer groups, no ORDER BY over everything, or a LIMIT"),
    N_("less to hold at once; the query's process did not survive it"),
    N_(
        "at most %(most)s rows to read; say which dates and series are meant (WHERE date >= ..., "
        "WHERE series = series_of('...')), or ask samples_hour"
    ),
    N_("an answer within %(most)s s; ask for fewer dates or series"),
    N_("at most %(most)s queries of a tenant at a time; wait, or cancel one"),
    N_("at most %(most)s queries that wait; try again in a minute"),
    N_("a query that is less deeply nested"),
    N_("SQL that can be governed: %(why)s"),
    N_("SQL that DuckDB understands: %(why)s"),
    N_("only parameters that the query names"),
    N_("a value for $%(name)s"),
    N_("at most %(most)s characters; pass long lists as parameters"),
    N_("no invisible characters in a query; pass such text as a parameter"),
    N_("at most %(most)s words and signs; pass long lists as parameters"),
    N_("at most %(most)s parts, nested at most %(deep)s deep"),
    N_("one SELECT statement; run others by themselves"),
    N_("one SELECT statement (%(why)s)"),
    N_("one statement that begins with SELECT, WITH or FROM"),
    N_("only what docs/sql.md lists, which DuckDB sees otherwise here"),
    N_("a construct that docs/sql.md lists"),
    N_("the table's name without a schema: %(name)s"),
    N_("one of the functions that docs/sql.md lists"),
    N_("one of the functions that docs/sql.md lists; did you mean %(near)s?"),
    N_("one of the types %(names)s"),
    N_("one of the tables %(names)s"),
    N_("did you mean %(near)s? one of the tables %(names)s"),
    N_("a table, or one of the functions %(names)s"),
    N_("series_of('name') with the name of one point"),
    N_("one series of this name, got %(count)s; write '%(longer)s'"),
    N_("the name of a point"),
    N_("the name of a point; did you mean %(near)s?"),
    N_("words"),
    N_("a number"),
    N_("a name and a type"),
    N_("a name that was resolved"),
    N_("a function as f(x), not as x.f()"),
    N_("a join ON a condition, or USING (...)"),
    N_("a parameter with a name, such as $since"),
    N_("no lambda: unnest the list in a subquery and aggregate it again"),
    N_("no list comprehension: unnest the list in a subquery and aggregate it again"),
    N_("the columns by name, or * EXCLUDE (...)"),
    N_("no PIVOT: write sum(x) FILTER (WHERE key = 'a') AS a for each column"),
    N_("no QUALIFY: name the window's value in a subquery and choose by it with WHERE"),
    N_("no LATERAL: join with a subquery instead"),
    N_("no sample: choose rows with WHERE, such as hash(time) %(sign)s 100 = 0"),
    N_("no AT: governed queries read the lake as it is now"),
    N_("$name for a parameter"),
    N_("no COLLATE: order by lower(x)"),
    N_("no SUMMARIZE: write the aggregates that you need"),
    N_("no DESCRIBE: the columns of every table are in the catalogue"),
    N_("no SHOW: the tables are in the catalogue"),
    N_("one of %(names)s"),
    # whole messages
    N_(
        "expected tenant %(tenant)s to stay within its quota of %(limit)s %(thing)s, got %(used)s used and "
        "%(amount)s more asked for; free some, or ask the system administrator for more"
    ),
    N_("expected what is there not to have changed meanwhile, got: %(why)s; look, and try again"),
    N_("expected an engine to be free, all are busy; try again in a while"),
    N_("expected at most %(most)s pages with live values at once; close one"),
    # forms and addresses that are no such thing (pydantic)
    N_("Field required"),
    N_("Input should be a valid integer, unable to parse string as an integer"),
    N_("Input should be a valid number, unable to parse string as a number"),
    N_("Input should be a valid boolean, unable to interpret input"),
    N_("Input should be greater than or equal to %(least)s"),
    N_("Input should be less than or equal to %(most)s"),
    N_("String should have at most %(most)s characters"),
    N_("String should have at least %(least)s character"),
    N_("String should have at least %(least)s characters"),
    N_("List should have at most %(most)s items after validation, not %(count)s"),
    N_("Input should be %(choices)s"),
    # what alert rules say that are there from the start
    N_("Headquarters has said nothing for %(value)s s: no data is taken in."),
    N_("The lake takes no commits; senders are paused. Look at the log and the disk."),
    N_("Gateway %(gateway)s of %(site)s has sent nothing for %(value)s s."),
    N_("Gateway %(gateway)s of %(site)s holds samples of %(value)s s ago that have not come."),
    N_("Gateway %(gateway)s of %(site)s sends %(value)s samples a second, which is not usual."),
    N_("%(value)s bytes are free on the disk of headquarters' data."),
    N_("Update metadata of %(role)s expires in %(value)s s; see: catchment-hq updates status."),
    N_("The certificate of %(node)s expires in %(value)s s; it was to renew itself long ago."),
    N_("Samples are durable %(value)s s after their time (99 of 100)."),
    N_("The newest complete backup is %(value)s s old; run: catchment-hq backup run."),
    N_("Tenant %(tenant)s uses %(value)s of its storage quota; at 1 its people can keep nothing more."),
)

GOT = N_("%(place)s: got %(value)s; expected %(expected)s")
MISSING = N_("%(place)s: found nothing; expected %(expected)s")
UNFIT = N_("%(place)s: %(fault)s")

_PROBLEM = re.compile(
    r"(?P<place>.+?): (?:got (?P<value>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|found nothing);"
    r" expected (?P<expected>.+)",
    re.DOTALL,
)
_UNFIT = re.compile(r"(?P<place>(?:body|query|path)[\w.]*): (?P<fault>.+)", re.DOTALL)
OURS = frozenset({"thing", "phase"})
"""Values that are words of ours, and not of those who named a point, a site or a person."""

_HOLE = re.compile(r"%\((\w+)\)s")


def told(text: str, language: str) -> str:
    """One message in a language.

    Args:
        text: In English, as an error or a rule says it; a problem as `protocols.errors.Problem` writes it.
        language: `zh` or `en`.
    """
    if language == DEFAULT:
        return text
    gettext = translations(language).gettext
    if found := _PROBLEM.fullmatch(text):
        sentence = MISSING if found["value"] is None else GOT
        parts = {"value": found["value"], "expected": _said(found["expected"], gettext)}
        return gettext(sentence) % {"place": _place(found["place"], gettext), **parts}
    if found := _UNFIT.fullmatch(text):
        place = _place(found["place"].replace(".", ": "), gettext)
        return gettext(UNFIT) % {"place": place, "fault": _said(found["fault"], gettext)}
    return _said(text, gettext)


def _place(text: str, gettext: Any) -> str:
    return " › ".join(_said(part, gettext) for part in text.split(": "))


def _said(text: str, gettext: Any) -> str:
    """A text by the template that it fits; as it is where it fits none."""
    if text and (whole := gettext(text)) != text:  # of an empty one gettext tells its own catalogue
        return str(whole)
    for template, shape in _shapes():
        if found := shape.fullmatch(text):
            values = found.groupdict()
            ours = {name: gettext(values[name]) for name in OURS & values.keys()}
            return str(gettext(template) % (values | ours))
    return text


@cache
def _shapes() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The templates with values, those first that say most by themselves, and what fits each."""
    holey = [each for each in (*PLACES, *TEMPLATES) if _HOLE.search(each)]
    holey.sort(key=lambda each: -len(_HOLE.sub("", each)))
    return tuple((each, _shape(each)) for each in holey)


def _shape(template: str) -> re.Pattern[str]:
    parts = _HOLE.split(template)
    return re.compile(
        "".join(f"(?P<{part}>.*?)" if n % 2 else re.escape(part) for n, part in enumerate(parts)), re.DOTALL
    )
