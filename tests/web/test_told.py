"""What errors and rules say is said in Chinese too, and the templates keep up with the code."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import headquarters
from headquarters.accounts.password import faults
from headquarters.accounts.terms import Terms
from headquarters.errors import QuotaError
from headquarters.operations.alerts.rules import DEFAULTS
from headquarters.portal.told import PLACES, TEMPLATES, WORDS, _shape, told
from headquarters.services.sql.grammar import REMEDIES
from headquarters.tenancy.quota import THINGS
from protocols.errors import Problem

ROOT = Path(headquarters.__file__).parent

ROOMS = (
    "accounts/organisations.py", "accounts/own.py", "accounts/password.py", "accounts/people.py",
    "accounts/tokens.py", "portal/**/*.py", "services/fleet/gateways.py", "security/office.py",
    "rollout/service.py", "views/paging.py", "views/samples.py", "views/trend.py", "views/events.py",
    "services/sql/execute.py", "services/sql/guard.py", "services/sql/proof.py", "services/sql/runner.py",
    "services/sql/service.py", "services/sql/worker.py",
)  # fmt: skip
"""Whose problems people of the portal can meet."""

MAKERS = {"Problem": 3, "QueryError": 3, "_refuse": 2, "given": 2}
"""Functions that take the text of what was expected, and where."""

ELSEWHERE = {
    "expected",  # handed on: of `given`, of `_refuse`, of `faults`
    "remedy or 'a construct that docs/sql.md lists'",
    "REMEDIES[exp.Columns]",
    "REMEDIES.get(kind) or (REMEDIES[exp.Lambda] if node.find(exp.Lambda) else '')",
    "REMEDIES.get(kind, 'a construct that docs/sql.md lists')",
    "REMEDIES.get(type(tree), 'one statement that begins with SELECT, WITH or FROM')",
    "str(error)",  # DuckDB's own words on a parameter
}
"""What is no text where it is handed over; the tests below look at these by themselves."""


BY_HAND = {
    "a construct that docs/sql.md lists",
    "one statement that begins with SELECT, WITH or FROM",
    "the table's name without a schema: %(name)s",
    "a number above 0 and its unit: s, min, h or d, as 30min or 8h",
    "a lake; start headquarters once with: catchment-hq run",
}
"""Templates of texts that are made of parts, or in other rooms."""

PASSWORDS = ("a", "annaannaanna", "Sommer2024!!", "aaaaaaaaaaaaaaaa", "Password1234")


def _texts(node: ast.expr, named: dict[str, list[ast.expr]]) -> Iterator[str]:
    """What an expression can be, with `17` for each value in it; its source where that cannot be told."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        shapes = [""]
        for part in node.values:
            more = [str(part.value)] if isinstance(part, ast.Constant) else ["17"]
            if isinstance(part, ast.FormattedValue) and ast.unparse(part.value) == "hint":
                more = [text for each in named["hint"] for text in _texts(each, named)]
            shapes = [before + after for before in shapes for after in more]
        yield from shapes
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, named)
        yield from _texts(node.orelse, named)
    elif isinstance(node, ast.Name) and node.id in named:
        for each in named[node.id]:
            yield from _texts(each, named)
    else:
        yield ast.unparse(node)


def expectations() -> Iterator[tuple[str, str]]:
    """Where something is expected, and what."""
    for path in sorted(path for room in ROOMS for path in ROOT.glob(room)):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            named: dict[str, list[ast.expr]] = defaultdict(list)
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    named[node.targets[0].id].append(node.value)
            for node in ast.walk(function):
                at = MAKERS.get(ast.unparse(node.func).split(".")[-1]) if isinstance(node, ast.Call) else None
                if isinstance(node, ast.Call) and at is not None and len(node.args) > at:
                    for text in _texts(node.args[at], named):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def is_known(text: str) -> bool:
    return text in (*TEMPLATES, *WORDS) or told(text, "zh") != text


def test_whatever_the_portals_rooms_expect_has_a_template() -> None:
    found = [(place, text) for place, text in expectations() if text not in ELSEWHERE]
    assert len(found) > 100
    assert [(place, text) for place, text in found if not is_known(text)] == []
    assert not is_known("something that nobody foresaw")


def test_every_template_is_of_something() -> None:
    said = {text for _, text in expectations()} | {rule.summary for rule in DEFAULTS} | set(REMEDIES.values())
    said |= {fault for password in PASSWORDS for fault in faults(password, Terms(), "anna", "Anna Li")}
    left = {each for each in TEMPLATES if not any(_shape(each).fullmatch(text) for text in said)}
    whole = ("expected ", "Field ", "Input ", "String ", "List ")
    assert {each for each in left if not each.startswith(whole)} == BY_HAND


@pytest.mark.parametrize("rule", DEFAULTS, ids=lambda rule: rule.name)
def test_what_rules_say_from_the_start_is_said_with_the_same_values(rule: object) -> None:
    assert isinstance(rule, type(DEFAULTS[0]))
    labels = {"gateway": "unit-1", "site": "plant-a", "role": "root", "node": "hub-1", "tenant": "plant-b"}
    for text, values in (
        (rule.summary, ["{value}"]),
        (rule.say(labels, 845.0), ["845", *labels.values()]),
    ):
        chinese = told(text, "zh")
        assert chinese != text
        assert all(value in chinese for value in values if value in text), chinese


@pytest.mark.parametrize("thing", THINGS)
def test_a_quota_that_is_used_up_is_told_of_with_its_figures(thing: str) -> None:
    chinese = told(str(QuotaError("plant-a", thing, 5000, 5000, 1)), "zh")
    assert all(word in chinese for word in ("plant-a", "5,000", "1")) and thing not in chinese


def test_passwords_are_judged_in_chinese() -> None:
    for password in PASSWORDS:
        for fault in faults(password, Terms(), "anna", "Anna Li"):
            assert told(fault, "zh") != fault


def test_place_and_value_stay_whatever_they_are() -> None:
    for value in ("x", "it's", 'say "no"', "a: b; expected c", "行", "%(n)s", "<b>", "\\'"):
        problem = Problem("query", "line 3, column 7", value, "one of the types BIGINT, DOUBLE")
        chinese = told(str(problem), "zh")
        assert chinese == f"查询 › 第 3 行第 7 列：收到 {value!r}；应为以下类型之一：BIGINT, DOUBLE"
        assert told(str(problem), "en") == str(problem)
    nothing = str(Problem("plan", "name", "", "a number"))
    assert told(nothing, "zh") == "计划 › 名称：未填写；应为数字"


@pytest.mark.parametrize("text", ("", "unit-1", "100 % of %(n)s", "a\nb", "expected", "x: y"))
def test_what_is_not_known_is_shown_as_it_is(text: str) -> None:
    assert told(text, "en") == text
    assert told(text, "zh") == text


def test_faults_of_addresses_and_forms_are_told() -> None:
    beyond = "query.hours: Input should be less than or equal to 3650"
    assert told(beyond, "zh") == "查询 › 小时数：不得大于 3650"
    assert told("body.name: Field required", "zh") == "内容 › 名称：必填"


def test_words_and_templates_are_each_there_once() -> None:
    every = (*WORDS, *PLACES, *TEMPLATES)
    assert len(set(every)) == len(every)
