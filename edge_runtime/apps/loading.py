"""Reads the apps that are installed on a gateway, or says all that is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from edge_runtime.apps.binding import Binder
from edge_runtime.apps.home import model_files, settings_files
from edge_runtime.apps.installed import InstalledApp
from edge_runtime.config import GatewayConfig
from edge_runtime.rules.apps.build import BuiltApp, build
from protocols.errors import InputError, PeerError, Problem
from protocols.package import archive
from protocols.package.manifest import SUFFIX
from protocols.package.package import Package, of_files, read_bytes
from protocols.tomlfile import TomlFile

SETTINGS_MISSING = "the settings of an installed app; install it with: catchment-edge app install PACKAGE"

_SHA256 = re.compile(r"[0-9a-f]{64}")


def load_apps(config: GatewayConfig) -> tuple[InstalledApp, ...]:
    """Every installed app, compiled and bound to points.

    Args:
        config: The gateway, with its points.

    Raises:
        InputError: With every problem of all apps.
    """
    problems: list[Problem] = []
    apps: list[InstalledApp] = []
    for path in settings_files(config.home):
        try:
            apps.append(load_app(config, path))
        except InputError as error:
            problems += error.problems
    problems += conflicts(apps)
    if problems:
        raise InputError(problems)
    return tuple(apps)


def load_app(config: GatewayConfig, path: Path) -> InstalledApp:
    """One installed app.

    Args:
        config: The gateway.
        path: Its settings.

    Raises:
        InputError: With every problem of settings and package.
    """
    file = TomlFile(path, SETTINGS_MISSING)
    return bind(config, file, _built(path, file))


def bind(config: GatewayConfig, file: TomlFile, built: BuiltApp | None) -> InstalledApp:
    """Bind an app to the gateway's points.

    Args:
        config: The gateway.
        file: The app's settings, parsed.
        built: The app, or `None` when `file` has the reasons why there is none.

    Raises:
        InputError: With every problem.
    """
    app = None
    if built is not None:
        app = Binder(config, built, file).bind(str(file.document["sha256"]))
    if file.problems or app is None:
        raise InputError(file.problems)
    return app


def conflicts(apps: Sequence[InstalledApp]) -> Iterable[Problem]:
    """What two apps, or two instances of one, cannot both have."""
    names: dict[str, str] = {}
    writers: dict[str, str] = {}
    for app in apps:
        file = str(app.settings)
        for instance in app.instances:
            whose = f"{app.id}, instance {instance.name}"
            for name in instance.outputs:
                first = names.setdefault(name, whose)
                if first != whose:
                    place = f"[instance.{instance.name}] outputs"
                    yield Problem(file, place, name, f"a name that no other output has; {first} has it")
        for grant in app.grants:
            whose = f"{app.id}, instance {grant.instance}, output {grant.output}"
            first = writers.setdefault(grant.point.name, whose)
            if first != whose:
                place = f"[grant.{grant.instance}.{grant.output}] point"
                yield Problem(
                    file, place, grant.point.name, f"a point that nothing else writes; {first} does"
                )


def _built(path: Path, file: TomlFile) -> BuiltApp | None:
    """The app of the package that the settings name; `None` when a problem was noted."""
    name, sha256 = file.document.get("package"), file.document.get("sha256")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        expected = "the SHA-256 of the package, 64 lower-case hexadecimal digits; install the app again"
        file.problem(("sha256",), "" if sha256 is None else sha256, expected)
    if not isinstance(name, str) or not name.endswith(SUFFIX) or Path(name).name != name:
        expected = f"the file's name of the package beside these settings: ID-VERSION{SUFFIX}"
        file.problem(("package",), "" if name is None else name, expected)
        return None
    package = path.with_name(name)
    if not package.exists():
        file.problem(("package",), name, "a package beside these settings; install the app again")
        return None
    try:
        data = read_bytes(package)
        files = archive.unpack(data)
    except PeerError as error:
        file.problem(("package",), name, f"a whole package; install the app again ({error})")
        return None
    if file.problems:
        return None
    if archive.digest(data) != sha256:
        expected = f"{archive.digest(data)}, if it was changed on purpose; else install the app again"
        file.problem(("sha256",), str(sha256), expected)
        return None
    package_ = _with_models(path, of_files(files, str(package)), file)
    if file.problems:
        return None
    built = build(package_)
    if (built.package.manifest.archive, built.app.id) != (name, path.stem):
        manifest = built.package.manifest
        expected = f"{manifest.archive!r} in {manifest.id}.toml, what the package says of itself"
        file.problem(("package",), name, expected)
    return built


def _with_models(settings: Path, package: Package, file: TomlFile) -> Package:
    """The package with the models that were delivered to take the place of its own."""
    home = settings.parent.parent
    replaced: dict[str, bytes] = {}
    for spec in package.manifest.models:
        onnx, note = (home / each for each in model_files(package.manifest.id, spec.name))
        if not note.exists():
            continue
        sha256 = TomlFile(note, "what says which model this is").document.get("sha256")
        data = read_bytes(onnx)
        if archive.digest(data) != sha256:
            expected = f"a model whose SHA-256 is {sha256}; have it delivered again, or remove {note}"
            file.problems.append(Problem(str(onnx), "file", archive.digest(data), expected))
        replaced[spec.file] = data
    return replace(package, files={**package.files, **replaced}) if replaced else package
