"""The bill of materials of an image, from what its wheels say of themselves.

Source: CycloneDX 1.6, JSON. The same wheels give the same bytes: no time is in it, and its serial
number follows from its content.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from edge_runtime.flash.wheelhouse import PROGRAM, House, Wheelhouse

SPECIFICATION = "1.6"

LICENSE_CHARS_MAX = 100
"""Longer texts in the field License are whole licences, and no names of any."""


def bill(id: str, version: str, tier: str, house: Wheelhouse) -> bytes:
    """The bill of materials as a JSON file.

    Args:
        id: The image's id.
        version: Its version.
        tier: What it runs.
        house: Its wheels.
    """
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {
            "component": {
                "bom-ref": "firmware",
                "type": "firmware",
                "name": id,
                "version": version,
                "properties": [{"name": "catchment:tier", "value": tier}],
            }
        },
        "components": [_component(wheel) for wheel in house.wheels],
        "dependencies": _dependencies(house),
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
    serial = uuid.UUID(bytes=digest[:16], version=5)
    document = {"serialNumber": f"urn:uuid:{serial}", **document}
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


def _component(wheel: House) -> dict[str, Any]:
    metadata = wheel.metadata
    component: dict[str, Any] = {
        "bom-ref": _reference(wheel),
        "type": "library",
        "name": wheel.project,
        "version": wheel.tags.version,
        "purl": _reference(wheel),
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "properties": [{"name": "catchment:wheel", "value": wheel.path.name}],
    }
    summary = str(metadata.get("Summary", "")).strip()
    if summary:
        component["description"] = summary
    licenses = _licenses(wheel)
    if licenses:
        component["licenses"] = licenses
    return component


def _reference(wheel: House) -> str:
    """A package URL (purl), which names a package and no place."""
    return f"pkg:pypi/{wheel.project}@{wheel.tags.version}"


def _licenses(wheel: House) -> list[dict[str, Any]]:
    """As an SPDX expression where the wheel gives one, else by the names it gives."""
    metadata = wheel.metadata
    expression = str(metadata.get("License-Expression", "")).strip()
    if expression:
        return [{"expression": expression}]
    names = [
        text.rsplit(" :: ", 1)[-1]
        for text in map(str, metadata.get_all("Classifier", []))
        if text.startswith("License :: ") and text != "License :: OSI Approved"
    ]
    field = " ".join(str(metadata.get("License", "")).split())
    if not names and field and len(field) <= LICENSE_CHARS_MAX:
        names = [field]
    return [{"license": {"name": name}} for name in sorted(set(names))]


def _dependencies(house: Wheelhouse) -> list[dict[str, Any]]:
    by_project: Mapping[str, House] = {wheel.project: wheel for wheel in house.wheels}
    entries = [{"ref": "firmware", "dependsOn": [_reference(by_project[PROGRAM])]}]
    for project in sorted(by_project):
        needs = [_reference(by_project[name]) for name in house.needs[project]]
        entries.append({"ref": _reference(by_project[project]), "dependsOn": sorted(needs)})
    return entries
