"""Files that are to be published: checked as far as headquarters can, and where they go.

What depends on a gateway (its devices, its points) is checked there, before anything is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headquarters.desired.wanted import kind_of
from protocols.batch import is_name
from protocols.desired import ItemKind
from protocols.errors import InputError, PeerError, Problem
from protocols.limits import PACKAGE_BYTES_MAX
from protocols.tomlfile import TomlFile

if TYPE_CHECKING:
    from edge_runtime.rules.apps.apptest import Outcome

NAMED = "a name of the form NAME-VERSION, such as {example}: versions begin with a digit"


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that may be published.

    Args:
        path: Where it goes in the update repository.
        kind: What it is.
        said: What the check found, for people.
    """

    path: str
    kind: ItemKind
    said: str


def check_app(file: Path, publisher: str) -> Checked:
    """Compile an app and run its recorded tests.

    Args:
        file: The package.
        publisher: Whose it is; empty for the one that it names itself.

    Raises:
        InputError: With every problem, or a test fails.
    """
    from edge_runtime.rules.apps.apptest import run_tests
    from edge_runtime.rules.apps.build import build
    from edge_runtime.rules.models.model import load_models
    from protocols.package import open_package

    if file.is_dir():
        expected = "a package; make one with: catchment-edge app pack DIR"
        raise InputError([Problem(str(file), "file", "a folder", expected)])
    built = build(open_package(file))
    load_models(built.package)
    tests = built.package.tests()
    failed = [outcome for outcome in run_tests(built, tests) if not outcome.passed]
    if failed:
        raise InputError([problem for outcome in failed for problem in _problems(file, outcome)])
    manifest = built.package.manifest
    owner = _publisher(publisher or manifest.publisher)
    said = f"app {manifest.id} {manifest.version}: compiled, {len(tests)} recorded tests passed"
    return Checked(f"apps/{owner}/{manifest.archive}", ItemKind.APP, said)


def check_model(file: Path, publisher: str) -> Checked:
    """Look into a model; whether it fits an app is checked with the app, at the gateway.

    Raises:
        InputError: It is not a model that a gateway may run.
    """
    from edge_runtime.rules.models.onnxfile import RefusedError, inspect

    path = _placed(file, f"models/{_publisher(publisher)}/{file.name}", ItemKind.MODEL, "pca-unit-1-3.onnx")
    if file.stat().st_size > PACKAGE_BYTES_MAX:
        expected = f"at most {PACKAGE_BYTES_MAX} bytes"
        raise InputError([Problem(str(file), "file", f"{file.stat().st_size} bytes", expected)])
    try:
        inspect(file.read_bytes())
    except RefusedError as error:
        raise InputError([Problem(str(file), "file", "", str(error).removeprefix("expected "))]) from error
    return Checked(path, ItemKind.MODEL, "model: a graph that gateways may run")


def check_firmware(file: Path) -> Checked:
    """Read an image from end to end.

    Raises:
        InputError: It is not an image, or damaged.
    """
    from edge_runtime.slots.image import not_an_image, open_image

    try:
        image = open_image(file)
    except PeerError as error:
        raise not_an_image(file, error) from error
    found = image.manifest
    said = f"firmware {found.id} {found.version} for {found.tier}: {len(found.files)} files, all whole"
    return Checked(f"firmware/{found.tier}/{found.id}-{found.version}.cfw", ItemKind.FIRMWARE, said)


def check_config(file: Path) -> Checked:
    """Parse a configuration (`.toml`) or a point table (`.csv`).

    Raises:
        InputError: With every problem that shows without the gateway.
    """
    if file.suffix == ".csv":
        from protocols.pointrow import Surroundings
        from protocols.pointtable import read_points
        from protocols.tablefile import read_table

        path = _placed(file, f"config/{file.name}", ItemKind.POINTS, "unit-1-3.csv")
        table = read_points(read_table(file, "the point table"), Surroundings(None, None))
        if table.problems:
            raise InputError(table.problems)
        return Checked(path, ItemKind.POINTS, f"point table: {len(table.points)} points")
    path = _placed(file, f"config/{file.name}", ItemKind.CONFIG, "unit-1-3.toml")
    document = TomlFile(file, "the configuration").document
    return Checked(path, ItemKind.CONFIG, f"configuration: tables {', '.join(document) or 'none'}")


def _problems(file: Path, outcome: Outcome) -> Iterator[Problem]:
    """What is wrong with a recorded test, or with the app."""
    yield from outcome.problems
    for difference in outcome.differences[:1]:
        place = f"row {difference.row}, column {difference.column}"
        expected = f"{difference.expected}, as recorded in {difference.file}"
        yield Problem(f"{file}/tests/{outcome.name}", place, difference.got, expected)


def _placed(file: Path, path: str, kind: ItemKind, example: str) -> str:
    found = kind_of(path)
    if found is None or found[0] is not kind:
        raise InputError([Problem(str(file), "name", file.name, NAMED.format(example=example))])
    return path


def _publisher(name: str) -> str:
    if not is_name(name):
        expected = "who publishes it, a name such as acme; see: catchment-hq updates status"
        raise InputError([Problem("command line", "--publisher", name, expected)])
    return name
