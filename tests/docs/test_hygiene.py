"""Nothing of the place where it was written is left in a tracked file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.tracked import ROOT, python_files, text_of, tracked_files

ROOMS = ("protocols", "edge_runtime", "hub", "headquarters")

NOTES = "a note to self"
BUNDLES = ROOT / "headquarters" / "portal" / "static"
"""Libraries are bundled there, with their authors' notes."""

# Put together from halves, so that this file does not find itself.
FORBIDDEN = {
    "a path of one machine": r"/(?:wo" r"rk|ro" r"ot|ho" r"me/[a-z]+)/",
    "a package registry's host": (
        r"pypi\.o"
        r"rg|pythonhosted\.o"
        r"rg|registry\.n"
        r"pm|npmjs\.c"
        r"om|deb\.debian\.o"
        r"rg|mirrors?\.[a-z]+\."
    ),
    "a download address": r'"reso' r'lved": *"|(?:--ind' r"ex|--extra-ind" r"ex|--find-li" r"nks)[ =-]",
    "an issue's number": r"(?i)\b(?:iss" r"ue|pull requ" r"est|tick" r"et) ?#?\d+|\(#\d+\)",
    NOTES: r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_no_tracked_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for path in tracked_files()
        if path.name != "LICENSE" and not (what == NOTES and path.is_relative_to(BUNDLES))
        for text in [text_of(path)]
        for match in pattern.finditer(text)
    ]
    assert not found, f"expected nowhere {what}, got:\n" + "\n".join(found)


def test_no_file_is_ignored_and_tracked() -> None:
    generated = {".pyc", ".so", ".egg-info", ".sqlite", ".db"}
    assert not [path for path in tracked_files() if path.suffix in generated]


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files(*ROOMS, "benchmarks", "scripts")
        if text_of(path).strip() and ast.get_docstring(ast.parse(text_of(path))) is None
    ]
    assert not silent


def test_every_public_function_of_more_than_six_lines_has_a_docstring() -> None:
    silent = [
        f"{path.relative_to(ROOT)}:{function.lineno}: {function.name}"
        for path in python_files(*ROOMS, "benchmarks", "scripts")
        for function in _public_functions(ast.parse(text_of(path)))
        if _lines(function) > 6 and ast.get_docstring(function) is None
    ]
    assert not silent


def test_files_and_functions_are_mostly_small() -> None:
    files = python_files(*ROOMS)
    long_files = [_place(path) for path in files if text_of(path).count("\n") > 400]
    functions = [
        (path, function)
        for path in files
        for function in ast.walk(ast.parse(text_of(path)))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    long_functions = [f"{_place(path)}:{each.lineno}" for path, each in functions if _lines(each) > 40]
    assert len(long_files) <= len(files) * 0.1, long_files
    assert len(long_functions) <= len(functions) * 0.05, long_functions


def _place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def _public_functions(module: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions of a module and methods of its public classes; not those inside functions."""
    scopes: list[ast.Module | ast.ClassDef] = [module]
    scopes += [node for node in module.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    return [
        node
        for scope in scopes
        for node in scope.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name[0] != "_"
    ]
