"""What exists is documented, and what the documents name exists."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from protocols.field import registry
from protocols.field.settings import Setting
from protocols.session.findings import Finding
from scripts import cli_docs, metrics_docs, settings_docs
from tests.docs.tracked import ROOT, documents, python_files, text_of, tracked_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EVERYTHING = "\n".join(text_of(path) for path in documents())

LEVELS = ("debug", "info", "warning", "error")
WITHOUT_HOME = {
    "catchment-edge drivers",
    *(f"catchment-{tier} slots migrate" for tier in ("edge", "hub", "hq")),
    *(f"catchment-edge app {command}" for command in ("new", "check", "test", "pack")),
    *(f"catchment-hq updates {command}" for command in ("key", "sign")),
}
"""Commands that tell of the program, or work on an app or a copy, and not on a node."""


def commands() -> Iterator[tuple[str, click.Command]]:
    for program, module in cli_docs.PROGRAMS.items():
        for path, command in cli_docs.walk((program,), cli_docs.root_group(module)):
            yield " ".join(path), command


def test_the_documented_programs_are_the_installed_ones() -> None:
    installed = {name: target.partition(":")[0] for name, target in PROJECT["project"]["scripts"].items()}
    assert installed == cli_docs.PROGRAMS


def test_docs_cli_is_what_the_commands_say() -> None:
    assert cli_docs.FILE.read_text(encoding="utf-8") == cli_docs.render(), "run: make docs"


def test_docs_settings_is_what_the_programs_accept() -> None:
    assert settings_docs.FILE.read_text(encoding="utf-8") == settings_docs.render(), "run: make docs"


def test_docs_metrics_is_what_the_programs_tell() -> None:
    assert metrics_docs.FILE.read_text(encoding="utf-8") == metrics_docs.render(), "run: make docs"


def test_metrics_are_named_by_their_kind_and_unit_and_each_once() -> None:
    metrics = [metric for tier in metrics_docs.TIERS for metric in tier]
    assert len({metric.name for metric in metrics}) == len(metrics)
    for metric in metrics:
        assert re.fullmatch(r"catchment_(edge|hub|hq|group)_[a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") is (metric.type == "counter"), metric.name
        assert metric.unit == "" or metric.name.removesuffix("_total").endswith(f"_{metric.unit}"), (
            metric.name
        )
        assert metric.help.endswith(".")


def test_every_command_and_option_teaches() -> None:
    silent = [name for name, command in commands() if len(command.help or "") < 20]
    for name, command in commands():
        options = [option for option in command.params if isinstance(option, click.Option)]
        silent += [f"{name} {option.opts[0]}" for option in options if not option.help]
    assert not silent


def test_every_command_that_works_on_a_node_takes_its_home() -> None:
    homeless = {
        name
        for name, command in commands()
        if not isinstance(command, click.Group)
        and not name.startswith("catchment-flash ")  # it prepares nodes, from another machine
        and not any({"--home", "--root"} & set(parameter.opts) for parameter in command.params)
    }
    assert homeless == WITHOUT_HOME


def test_every_setting_is_documented() -> None:
    missing = sorted(
        f"{where}: {setting.name}"
        for where, setting in all_settings()
        if f"`{setting.name}`" not in EVERYTHING and f"\n{setting.name} = " not in EVERYTHING
    )
    assert not missing, "expected each in backticks in a file under docs/:\n" + "\n".join(missing)


def test_every_driver_is_registered_and_documented() -> None:
    assert PROJECT["project"]["entry-points"][registry.GROUP] == registry.BUILT_IN
    for name in registry.names():
        assert registry.driver_type(name).settings
        assert f"`{name}`" in EVERYTHING, f"expected driver `{name}` in a file under docs/"


def test_every_log_event_is_documented_and_every_documented_one_is_logged() -> None:
    documented = set(
        re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "events.md").read_text(), re.MULTILINE)
    )
    logged = set(_events())
    assert documented == logged


def test_every_document_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([^)#:]+)", index))
    present = {
        str(path.relative_to(ROOT / "docs"))
        for path in tracked_files()
        if path.suffix == ".md" and path.is_relative_to(ROOT / "docs") and path.name != "README.md"
    }
    assert present <= linked, f"expected links in docs/README.md to {sorted(present - linked)}"


@pytest.mark.parametrize("name", sorted(str(path.relative_to(ROOT)) for path in documents()))
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", _without_code(text_of(path)))
    assert not [target for target in targets if not (path.parent / target).exists()]


def test_every_make_target_that_documents_name_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", EVERYTHING, re.MULTILINE))
    assert named <= targets


def test_every_file_that_the_readme_names_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"-r (\S+)|`((?:requirements|scripts|docs|tests)/[\w./-]+)`", readme))
    assert named
    assert not [name for pair in named for name in pair if name and not (ROOT / name).exists()]


def test_every_extra_has_its_lock() -> None:
    extras = set(PROJECT["project"]["optional-dependencies"])
    assert extras == {path.stem for path in (ROOT / "requirements").glob("*.txt")}
    for extra in extras:
        lock = (ROOT / "requirements" / f"{extra}.txt").read_text(encoding="utf-8")
        wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"][extra]
        names = [re.split(r"[<>=!~;\[]", each)[0] for each in wanted]
        assert not [name for name in names if not re.search(rf"^{name}==", lock, re.MULTILINE)], (
            "run: make lock"
        )


def test_every_program_that_documents_call_has_the_named_command() -> None:
    known = {name for name, _ in commands()}
    called = set(
        re.findall(r"(catchment-(?:edge|hub|hq|flash)(?: [a-z][a-z-]+)?)(?=[ `\n])", _code(EVERYTHING))
    )
    assert called <= known, f"documents name commands that do not exist: {sorted(called - known)}"


def all_settings() -> Iterator[tuple[str, Setting]]:
    for module_name in _modules("protocols", "edge_runtime", "hub", "headquarters"):
        for value in vars(importlib.import_module(module_name)).values():
            if isinstance(value, tuple):
                yield from ((module_name, each) for each in value if isinstance(each, Setting))
    for driver in registry.names():
        yield from ((driver, each) for each in registry.driver_type(driver).settings)


def _events() -> Iterator[str]:
    """Names given to a log, a finding or a driver's event, wherever they are literal."""
    for path in python_files("protocols", "edge_runtime", "hub", "headquarters"):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                owner = ast.unparse(node.func)
                finds = name == "DriverEvent" or (name == "_note" and "hub" in path.parts)
                if finds or (name in LEVELS and "log" in owner):
                    yield str(node.args[0].value)
    yield from (finding.value for finding in Finding)


def _modules(*rooms: str) -> Iterator[str]:
    for room in rooms:
        folder = str(Path(importlib.import_module(room).__path__[0]))
        for found in pkgutil.walk_packages([folder], f"{room}."):
            # A board has other modules, and alembic alone gives a migration its context.
            if not found.name.startswith(("edge_runtime.node.", "headquarters.db.migrations.env")):
                yield found.name


def _code(markdown: str) -> str:
    """What stands in backticks and in code blocks."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", markdown, re.DOTALL)
    indented = re.findall(r"^    .*$", markdown, re.MULTILINE)
    return "\n".join([*blocks, *indented, *re.findall(r"`([^`\n]+)`", markdown)]) + "\n"


def _without_code(markdown: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`|^    .*$", "", markdown, flags=re.DOTALL | re.MULTILINE)
