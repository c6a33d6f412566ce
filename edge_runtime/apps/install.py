"""Installs and removes apps, so that a power cut at any step leaves the old state or the new.

Rules:
1. Everything is checked against the gateway before anything is written.
2. The package is written first, then the settings that name it by its hash: the settings
   are the commit. Packages of the app that nothing names any more go last.
3. Comments and settings of an installed app stay when its package is replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime import pointids
from edge_runtime.apps.home import FOLDER, settings_files
from edge_runtime.apps.installed import InstalledApp
from edge_runtime.apps.loading import bind, conflicts, load_app
from edge_runtime.config import GatewayConfig
from edge_runtime.rules.apps.build import build
from edge_runtime.rules.models.model import load_models
from protocols import limits
from protocols.durable import remove_durably, write_bytes_durably, write_durably
from protocols.errors import InputError, Problem
from protocols.package import SUFFIX, ParameterValue, archive, of_files
from protocols.textfile import read_text
from protocols.tomlfile import TomlFile, suggest

DEFAULT_INSTANCE = "main"
"""The instance's name when none is given."""

_PINNED = re.compile(r"\s*(package|sha256)\s*=.*\n?")
_TABLE = re.compile(r"\s*\[")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an app is to be installed.

    Args:
        settings: A file with its settings, which replaces those there are; or `None`.
        instance: An instance to add; empty for none, or for the first one.
        inputs: Its points, by input.
        parameters: Its parameters, by name.
    """

    settings: Path | None = None
    instance: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)

    @property
    def adds(self) -> bool:
        """Whether it names an instance or something of one."""
        return bool(self.instance or self.inputs or self.parameters)


@dataclass(frozen=True, slots=True)
class Installation:
    """What was installed.

    Args:
        app: The app.
        before: The settings' text before, or `None` when the app is new.
    """

    app: InstalledApp
    before: str | None


def install(config: GatewayConfig, data: bytes, source: str, wanted: Wanted) -> Installation:
    """Install a package, or replace the one that is installed.

    Args:
        config: The gateway, with its points.
        data: The package's archive.
        source: Where it is from, for messages.
        wanted: Settings.

    Raises:
        InputError: With every problem; nothing was changed.
        PeerError: The archive is damaged.
        StoreError: The disk failed; the old state or the new is in place.
    """
    built = build(of_files(archive.unpack(data), source))
    load_models(built.package)  # one that does not load would keep the gateway from starting
    manifest = built.package.manifest
    path = config.home / FOLDER / f"{manifest.id}.toml"
    with pointids.locked(config.home):
        before = _read(path) if path.exists() else None
        base = _read(wanted.settings) if wanted.settings is not None else before
        pins = {"package": manifest.archive, "sha256": archive.digest(data)}
        text = compose(base, pins, _new_instance(path, base, wanted))
        app = bind(config, TomlFile(path, "", text), built)
        clashes = list(conflicts([*_others(config, path), app]))
        if clashes:
            raise InputError(clashes)
        write_bytes_durably(path.with_name(manifest.archive), data)
        write_durably(path, text)
        _sweep(path, manifest.archive)
    return Installation(app, before)


def remove(config_home: Path, id: str) -> None:
    """Remove an app, its settings first.

    Raises:
        InputError: It is not installed.
        StoreError: The disk failed.
    """
    path = config_home / FOLDER / f"{id}.toml"
    if path not in settings_files(config_home):
        known = [each.stem for each in settings_files(config_home)]
        raise InputError([Problem("command line", "ID", id, f"an installed app; {suggest(id, known)}")])
    with pointids.locked(config_home):
        remove_durably(path)
        _sweep(path, "")


def compose(base: str | None, pins: Mapping[str, str], instance: str) -> str:
    """The text of settings: which package, what was there, and a new instance.

    >>> print(compose('# by hand\\npackage = "old"\\n\\n[instance.a]\\n', {"package": "new"}, ""), end="")
    package = "new"
    # by hand
    <BLANKLINE>
    [instance.a]
    """
    head = "".join(f"{key} = {json.dumps(value)}\n" for key, value in pins.items())
    lines = (base or "").splitlines(keepends=True)
    tables = next((index for index, line in enumerate(lines) if _TABLE.match(line)), len(lines))
    kept = [line for line in lines[:tables] if not _PINNED.fullmatch(line)]
    rest = "".join([*kept, *lines[tables:]]).rstrip("\n")
    parts = [head + rest.lstrip("\n") if kept else head + ("\n" + rest if rest else ""), instance]
    return "\n\n".join(part.rstrip("\n") for part in parts if part.strip()) + "\n"


def parse_value(text: str) -> ParameterValue:
    """A parameter as given on a command line.

    >>> parse_value("25"), parse_value("2.5"), parse_value("true"), parse_value("T#5s")
    (25, 2.5, True, 'T#5s')
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _new_instance(path: Path, base: str | None, wanted: Wanted) -> str:
    """The table of the instance to add; empty when there is none."""
    if base is not None and not wanted.adds:
        return ""
    name = wanted.instance or DEFAULT_INSTANCE
    there = {} if base is None else TomlFile(path, "", base).document.get("instance", {})
    if isinstance(there, dict) and name in there:
        expected = f"an instance that is not there yet; to change one, edit {path.name}"
        raise InputError([Problem(str(path), f"[instance.{name}]", name, expected)])
    lines = [f"[instance.{_key(name)}]"]
    for table, values in (("inputs", wanted.inputs), ("parameters", wanted.parameters)):
        if values:
            entries = ", ".join(f"{_key(key)} = {_value(value)}" for key, value in values.items())
            lines.append(f"{table} = {{{entries}}}")
    return "\n".join(lines)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _value(value: ParameterValue) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)


def _read(path: Path) -> str:
    return read_text(path, str(path), limits.CONFIG_BYTES_MAX, "the settings of the app")


def _others(config: GatewayConfig, path: Path) -> list[InstalledApp]:
    """The other apps that can run; what is wrong with the rest is said by `check`."""
    found = []
    for each in settings_files(config.home):
        try:
            if each != path:
                found.append(load_app(config, each))
        except InputError:
            continue
    return found


def _sweep(settings: Path, keep: str) -> None:
    """Remove packages of an app that its settings do not name."""
    version = re.compile(
        re.escape(settings.stem) + r"-[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?" + re.escape(SUFFIX)
    )
    for package in settings.parent.glob(f"*{SUFFIX}"):
        if version.fullmatch(package.name) and package.name != keep:
            remove_durably(package)
