"""`catchment-edge app`: make, check, test and pack rule apps; install them on a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.cli.view import count, home_option, json_option, print_json, print_problems, print_table
from protocols.errors import InputError, Problem

if TYPE_CHECKING:
    from edge_runtime.rules.apps.apptest import Outcome
    from edge_runtime.rules.apps.build import BuiltApp

CLASSES = ("operations", "equipment", "business", "safety")

package_argument = click.argument("package", type=click.Path(path_type=Path))


@click.command("new", short_help="Make a new app.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--id", "id_", default="", show_default="the folder's name", help="The app's id.")
@click.option(
    "--class",
    "app_class",
    type=click.Choice(CLASSES),
    default="operations",
    show_default=True,
    help="What it is for.",
)
@click.option("--publisher", default="own", show_default=True, help="Whose it is.")
def new(directory: Path, id_: str, app_class: str, publisher: str) -> None:
    """Make a new app that runs: app.toml, a program with one alarm, and its test.

    \b
      catchment-edge app new mill-alarms
      catchment-edge app test mill-alarms
    """
    from edge_runtime.apps.skeleton import create

    for path in create(directory, id_, app_class, publisher):
        click.echo(f"wrote {path}")
    click.echo(f"next: edit {directory / 'programs/main.st'}, then")
    click.echo(f"      catchment-edge app check {directory} && catchment-edge app test {directory}")


@click.command("check", short_help="Compile an app and say what is wrong with it.")
@package_argument
@json_option
def check(package: Path, as_json: bool) -> None:
    """Compile an app, its folder or its package: every fault at once, and what it reads and costs.

    \b
      catchment-edge app check mill-alarms
      catchment-edge app check gas-detection-1.2.0.capp --json
    """
    from edge_runtime.apps.view import app_fields, app_lines
    from edge_runtime.rules.models.model import load_models

    try:
        built = _built(package)
        load_models(built.package)
    except InputError as error:
        if not as_json:
            raise
        print_json({"problems": [str(problem) for problem in error.problems]})
        raise SystemExit(2) from None
    if as_json:
        print_json({**app_fields(built), "problems": []})
        return
    for line in app_lines(built):
        click.echo(line)


@click.command("test", short_help="Run an app's recorded tests.")
@package_argument
@click.argument("tests", nargs=-1)
@click.option("--record", is_flag=True, help="Write what the app gives now as what is expected.")
@json_option
def test(package: Path, tests: tuple[str, ...], record: bool, as_json: bool) -> None:
    """Run the recorded tests of an app, TESTS or all of them. Exit code 1 when one fails.

    A test is a folder tests/NAME with input.csv, one row a scan, and what must come of it:
    expected.csv for outputs, events.csv for alarms and events. With --record both are
    written from what the app does now; read them before you rely on them.

    \b
      catchment-edge app test mill-alarms
      catchment-edge app test mill-alarms trip --record
    """
    built = _built(package)
    chosen = _chosen(built, tests)
    if record:
        _record(package, built, chosen)
        return
    passed = _run_tests(built, chosen, as_json)
    if not passed:
        raise SystemExit(1)


@click.command("pack", short_help="Pack an app into one file.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="the current directory",
    help="Where to write it.",
)
@click.option("--no-test", is_flag=True, help="Do not run its tests first.")
@json_option
def pack(directory: Path, out: Path, no_test: bool, as_json: bool) -> None:
    """Check and test an app and pack it as ID-VERSION.capp: the same bytes for the same content.

    \b
      catchment-edge app pack mill-alarms --out packages
    """
    from protocols.durable import write_bytes_durably
    from protocols.package import archive

    built = _built(directory)
    if not no_test and not _run_tests(built, built.package.tests(), quiet=True):
        raise SystemExit(1)
    data = built.package.archive()
    path = out / built.package.manifest.archive
    out.mkdir(parents=True, exist_ok=True)
    write_bytes_durably(path, data)
    if as_json:
        print_json({"package": str(path), "bytes": len(data), "sha256": archive.digest(data)})
    else:
        click.echo(f"wrote {path}: {count(len(data), 'byte')}, SHA-256 {archive.digest(data)}")


@click.command("install", short_help="Install an app on a gateway.")
@home_option
@package_argument
@click.option(
    "--settings",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Its settings, a file as docs/apps.md describes; replaces those there are.",
)
@click.option("--instance", default="", help="Name of an instance to add, such as hall-1.")
@click.option("--input", "inputs", multiple=True, metavar="INPUT=POINT", help="A point it reads; repeatable.")
@click.option(
    "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; repeatable."
)
@json_option
def install(
    home: Path,
    package: Path,
    settings: Path | None,
    instance: str,
    inputs: tuple[str, ...],
    parameters: tuple[str, ...],
    as_json: bool,
) -> None:
    """Install an app, or replace the installed one by this version; its settings stay.

    Everything is checked against the gateway's points before anything is written. A running
    gateway takes it over when it is started again.

    \b
      catchment-edge app install gas-detection-1.2.0.capp --settings gas.toml
      catchment-edge app install mill-alarms --instance mill-a --input value=MILL_A.TEMP
    """
    from edge_runtime.apps.install import Wanted, install, parse_value
    from edge_runtime.configread import load
    from protocols.package import open_package

    given = _pairs("--parameter", parameters)
    wanted = Wanted(
        settings,
        instance,
        _pairs("--input", inputs),
        {name: parse_value(value) for name, value in given.items()},
    )
    data = open_package(package).archive()
    done = install(load(home), data, str(package), wanted)
    if as_json:
        print_json({**done.app.fields(), "new": done.before is None})
        return
    print_problems(done.app.warnings, "warning")
    word = "installed" if done.before is None else "replaced by"
    instances = count(len(done.app.instances), "instance")
    click.echo(f"{word} {done.app.id} {done.app.version} with {instances}: {done.app.settings}")
    click.echo("a running gateway takes it over when it is started again")


@click.command("remove", short_help="Remove an app from a gateway.")
@home_option
@click.argument("id_", metavar="ID")
@json_option
def remove(home: Path, id_: str, as_json: bool) -> None:
    """Remove an installed app with its settings; what it recorded stays in the lake.

    \b
      catchment-edge app remove gas-detection
    """
    from edge_runtime.apps.install import remove

    remove(home, id_)
    if as_json:
        print_json({"removed": id_})
    else:
        click.echo(f"removed {id_}; a running gateway stops it when it is started again")


@click.command("list", short_help="List the apps that are installed.")
@home_option
@json_option
def list_apps(home: Path, as_json: bool) -> None:
    """List the apps that are installed on a gateway, whether it runs or not.

    \b
      catchment-edge app list --home gw1
    """
    from edge_runtime.apps.loading import load_apps
    from edge_runtime.apps.view import installed_rows
    from edge_runtime.configread import load

    apps = load_apps(load(home))
    if as_json:
        print_json({"apps": [app.fields() for app in apps]})
    elif apps:
        print_table(installed_rows(apps), right=(3, 4))
    else:
        click.echo("no app is installed; install one with: catchment-edge app install PACKAGE")


@click.command("status", short_help="Show how the apps of a running gateway are doing.")
@home_option
@json_option
def status(home: Path, as_json: bool) -> None:
    """Show how the apps of a running gateway are doing.

    Exit code 1 when one has failed, 3 when the gateway is not running.

    \b
      catchment-edge app status --home gw1
    """
    import time

    from edge_runtime.apps.view import running_notes, running_rows
    from edge_runtime.statusview import view

    shown = view(home, time.time())
    apps: list[dict[str, Any]] = [] if shown.status is None else shown.status.get("apps", [])
    if as_json:
        print_json({"running": shown.running, "apps": apps})
    elif not shown.running:
        click.echo(next(iter(shown.lines())))
    elif apps:
        print_table(running_rows(apps), right=tuple(range(3, 11)))
        for note in running_notes(apps):
            click.echo(note)
    else:
        click.echo("the gateway runs no app")
    if not shown.running:
        raise SystemExit(3)
    if any(app["state"] == "failed" for app in apps):
        raise SystemExit(1)


# -- what they share -------------------------------------------------------------------------------


def _built(package: Path) -> BuiltApp:
    from edge_runtime.rules.apps.build import build
    from protocols.package import open_package

    return build(open_package(package))


def _chosen(built: BuiltApp, tests: tuple[str, ...]) -> tuple[str, ...]:
    """The named tests, or all."""
    from protocols.tomlfile import suggest

    known = built.package.tests()
    problems = [
        Problem("command line", "TESTS", name, f"a test of the app; {suggest(name, known)}")
        for name in tests
        if name not in known
    ]
    if problems:
        raise InputError(problems)
    return tests or known


def _run_tests(
    built: BuiltApp, tests: tuple[str, ...], as_json: bool = False, *, quiet: bool = False
) -> bool:
    """Run tests and show how they went: all of them, or (`quiet`) only those that failed."""
    from edge_runtime.apps.view import outcome_fields, outcome_lines
    from edge_runtime.rules.apps.apptest import run_tests

    outcomes: list[Outcome] = []
    for outcome in run_tests(built, tests):
        outcomes.append(outcome)
        if not as_json and not (quiet and outcome.passed):
            for line in outcome_lines(outcome):
                click.echo(line)
    failed = sum(not outcome.passed for outcome in outcomes)
    if as_json:
        tests_fields = [outcome_fields(outcome) for outcome in outcomes]
        print_json({"app": built.app.id, "failed": failed, "tests": tests_fields})
    elif not outcomes:
        click.echo(f"warning: {built.app.id} has no tests; see docs/apps.md", err=True)
    elif not quiet or failed:
        click.echo(f"{count(len(outcomes), 'test')}, {failed:,} failed")
    return not failed


def _record(package: Path, built: BuiltApp, tests: tuple[str, ...]) -> None:
    from edge_runtime.rules.apps.apptest import record
    from protocols.durable import write_durably

    if not package.is_dir():
        expected = "an app's folder: a package that is packed is not changed any more"
        raise InputError([Problem("command line", "PACKAGE", str(package), expected)])
    for name in tests:
        for file, text in record(built, name).items():
            path = package / "tests" / name / file
            write_durably(path, text)
            click.echo(f"wrote {path}; read it before you rely on it")


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` arguments by name."""
    problems: list[Problem] = []
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            problems.append(Problem("command line", option, text, "NAME=VALUE"))
        elif name in found:
            problems.append(Problem("command line", option, text, f"{name!r} once"))
        found[name] = value
    if problems:
        raise InputError(problems)
    return found


COMMANDS: dict[str, click.Command] = {
    str(command.name): command for command in (new, check, test, pack, install, remove, list_apps, status)
}
