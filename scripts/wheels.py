"""Wheels made of what is installed here, for an image without a network.

A release is made with `pip wheel` and `pip download`; this is for trials and tests.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.metadata
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from edge_runtime.flash.tags import normal

REPOSITORY = Path(__file__).parents[1]

FAST = 1
"""Of deflate: 134 MB become 40 MB in two seconds."""


def make_wheel(
    folder: Path,
    project: str,
    version: str,
    files: Mapping[str, bytes],
    metadata: str = "",
    tag: str = "py3-none-any",
    record: Mapping[str, str] | None = None,
) -> Path:
    """Write a wheel; `record` replaces or adds lines of RECORD, by name."""
    info = f"{project.replace('-', '_')}-{version}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{metadata}"
    own = {
        f"{info}/METADATA": head.encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    contents = {**files, **own}
    lines = {name: _record_line(name, content) for name, content in contents.items()} | dict(record or {})
    text = "".join(f"{line}\n" for line in lines.values() if line) + f"{info}/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{project.replace('-', '_')}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in [*contents.items(), (f"{info}/RECORD", text.encode())]:
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def _record_line(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    quoted = f'"{name}"' if "," in name else name
    return f"{quoted},sha256={digest},{len(content)}"


@functools.cache
def _installed() -> dict[str, importlib.metadata.Distribution]:
    return {normal(each.name): each for each in importlib.metadata.distributions()}


def environment_wheels(folder: Path, tier: str, changed: Mapping[str, bytes] | None = None) -> None:
    """Wheels of the repository and of everything that a tier needs, from what is installed here.

    Args:
        folder: Where to.
        tier: Whose requirements.
        changed: Files of the repository with another content.
    """
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    requires = "".join(f"Requires-Dist: {each}\n" for each in project["dependencies"])
    for extra in optional:
        requires += f"Provides-Extra: {extra}\n"
        requires += "".join(f'Requires-Dist: {each}; extra == "{extra}"\n' for each in optional[extra])
    files = {**_own_files(project), **(changed or {})}
    make_wheel(folder, project["name"], project["version"], files, requires)
    waiting = [*project["dependencies"], *optional[tier]]
    done: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = normal(requirement.name)
        if name in done or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        done.add(name)
        found = _installed()[name]
        if not list(folder.glob(f"{name.replace('-', '_')}-*")):
            _wheel_of(folder, found)
        waiting += found.requires or []


def _own_files(project: Mapping[str, Any]) -> dict[str, bytes]:
    rooms = ("protocols", "edge_runtime", "hub", "headquarters")
    files = {
        path.relative_to(REPOSITORY).as_posix(): path.read_bytes()
        for room in rooms
        for path in sorted((REPOSITORY / room).rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    lines = ["[console_scripts]", *(f"{name} = {target}" for name, target in project["scripts"].items())]
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    info = f"{project['name']}-{project['version']}.dist-info"
    return {**files, f"{info}/entry_points.txt": ("\n".join(lines) + "\n").encode()}


def _wheel_of(folder: Path, found: importlib.metadata.Distribution) -> None:
    """A wheel again of what was installed from one."""
    tags = [
        line.removeprefix("Tag: ")
        for line in (found.read_text("WHEEL") or "").splitlines()
        if "Tag: " in line
    ]
    parts = [sorted({tag.split("-")[index] for tag in tags}) for index in range(3)]
    tag = "-".join(".".join(part) for part in parts)
    info = next(str(each).split("/")[0] for each in found.files or () if ".dist-info/" in str(each))
    contents = {
        str(each): Path(each.locate()).read_bytes()
        for each in found.files or ()
        if not str(each).startswith("..") and each.suffix != ".pyc"
        and each.name not in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
    }  # fmt: skip
    text = "".join(f"{_record_line(name, content)}\n" for name, content in contents.items())
    path = folder / f"{info.removesuffix('.dist-info')}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**contents, f"{info}/RECORD": f"{text}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, FAST)
