"""Which files of a gateway's home an item is made of, and what is in them.

Paths are within the home, with `/`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from edge_runtime.apps.home import FOLDER, model_files
from edge_runtime.config import CONFIG, POINTS
from edge_runtime.desired.tomltext import dump
from protocols.desired import AppSettings, Item, ItemKind
from protocols.errors import InputError, Problem
from protocols.package import SUFFIX
from protocols.textfile import decode_text
from protocols.tomlfile import TomlFile

OWN_TABLES = ("gateway", "headquarters", "upstream", "export", "updates")
"""Tables of `gateway.toml` that say who the gateway is and to whom it talks: a desired configuration
that leaves one out keeps the gateway's own, so that one file serves many gateways."""


def files_of(item: Item, content: bytes, config: str) -> dict[str, bytes]:
    """The files of an item.

    Args:
        item: The item; not firmware, which is no file of the home.
        content: Of its target.
        config: The text of `gateway.toml` as it is now; empty when there is none.

    Raises:
        InputError: The content is no configuration.
    """
    match item.kind:
        case ItemKind.CONFIG:
            return {CONFIG: merged(content, config, item.path).encode()}
        case ItemKind.POINTS:
            return {POINTS: content}
        case ItemKind.APP:
            assert item.app is not None, "`parse_document` sees to that"
            name = f"{item.id}-{item.version}{SUFFIX}"
            settings = settings_text(name, item.sha256, item.app)
            return {f"{FOLDER}/{name}": content, f"{FOLDER}/{item.id}.toml": settings.encode()}
        case ItemKind.MODEL:
            assert item.model is not None, "`parse_document` sees to that"
            onnx, note = model_files(item.model.app, item.model.name)
            text = dump({"id": item.id, "version": item.version, "sha256": item.sha256})
            return {onnx: content, note: text.encode()}
        case ItemKind.FIRMWARE:
            raise AssertionError("firmware goes into a slot")


def settings_text(package: str, sha256: str, app: AppSettings) -> str:
    """The settings of an app, `apps/<id>.toml`."""
    document: dict[str, Any] = {"package": package, "sha256": sha256}
    if app.scan:
        document["scan"] = app.scan
    document["instance"] = {
        name: {
            key: dict(values)
            for key, values in (
                ("inputs", instance.inputs),
                ("parameters", instance.parameters),
                ("outputs", instance.outputs),
            )
            if values
        }
        for name, instance in app.instances.items()
    }
    grants = {
        instance: {
            output: {
                "point": grant.point,
                **{
                    key: bound
                    for key, bound in (("low", grant.low), ("high", grant.high))
                    if bound is not None
                },
            }
            for output, grant in outputs.items()
        }
        for instance, outputs in app.grants.items()
        if outputs
    }
    if grants:
        document["grant"] = grants
    heading = "# Written by headquarters' desired state; a change here is shown there as drift.\n"
    return heading + dump(document)


def merged(content: bytes, config: str, source: str) -> str:
    """A desired configuration with the gateway's own tables where it has none.

    Args:
        content: As desired.
        config: The gateway's own text.
        source: Where the content is from, for messages.

    Raises:
        InputError: One of the two is not TOML.
    """
    text = decode_text(content, source)
    wanted = TomlFile(Path(source), "", text).document
    own = TomlFile(Path(CONFIG), "", config).document if config else {}
    kept = {name: own[name] for name in OWN_TABLES if name in own and name not in wanted}
    if not kept:
        return text
    whole = text.rstrip("\n") + "\n\n# The gateway's own:\n" + dump(kept)
    try:
        if tomllib.loads(whole) == wanted | kept:
            return whole
    except ValueError:
        pass
    expected = (
        f"the tables {', '.join(kept)} written out: the gateway's own cannot be put beside what is there"
    )
    raise InputError([Problem(source, "file", "", expected)])
