"""A directory of wheels that is to become a firmware image: complete, nothing beside it, and fitting.

What wheels say of themselves is read from them; nothing is run and nothing is fetched. Every fault
is told at once.
"""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from edge_runtime.flash import tags
from edge_runtime.slots import limits
from edge_runtime.slots.tier import FORMAT_FILE
from edge_runtime.slots.wheel import Wheel
from protocols.errors import CatchmentError, InputError, Problem

PROGRAM = "catchment"
"""The project whose program the image runs."""

ROOMS = {"edge": "edge_runtime", "hub": "hub", "hq": "headquarters"}
"""Tiers, and the package of each."""

_OS = {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"}


@dataclass(frozen=True, slots=True)
class House:
    """One wheel.

    Args:
        path: Its file.
        tags: What its name says.
        metadata: What it says of itself (`METADATA`).
        sha256: Of the file, hexadecimal.
        size: Bytes.
        unpacked_bytes: Of its files.
        unpacked_files: How many.
    """

    path: Path
    tags: tags.WheelTags
    metadata: EmailMessage
    sha256: str
    size: int
    unpacked_bytes: int
    unpacked_files: int

    @property
    def project(self) -> str:
        """Its normalised name."""
        return self.tags.project

    def needs(self, extras: Sequence[str], environment: Mapping[str, str]) -> Iterator[Requirement]:
        """What it needs in an environment, with some extras.

        Raises:
            InvalidRequirement: It says something that is no requirement.
        """
        for text in self.metadata.get_all("Requires-Dist", []):
            requirement = Requirement(text)
            marker = requirement.marker
            asked = [{**environment, "extra": extra} for extra in ("", *extras)]
            if marker is None or any(marker.evaluate(each) for each in asked):
                yield requirement


@dataclass(frozen=True, slots=True)
class Wheelhouse:
    """All wheels of an image, in the order of their names.

    Args:
        wheels: They.
        data_format: Of the data directory that the program writes.
        data_oldest: The oldest that it can bring data from.
        needs: For each project those that it needs.
    """

    wheels: tuple[House, ...]
    data_format: int
    data_oldest: int
    needs: Mapping[str, tuple[str, ...]]

    @property
    def version(self) -> str:
        """The program's."""
        return next(each.tags.version for each in self.wheels if each.project == PROGRAM)


def read_wheelhouse(
    directory: Path, tier: str, extras: Sequence[str], python: str, platform: str
) -> Wheelhouse:
    """Read and check a directory of wheels.

    Args:
        directory: Wheels, and nothing else.
        tier: What the image is to run.
        extras: Further extras of the program.
        python: The interpreter that it is to run under: `cp311`.
        platform: The machine that it is to run on: `linux_x86_64`.

    Raises:
        InputError: With every problem.
    """
    problems: list[Problem] = []
    houses: dict[str, House] = {}
    for path in _files(directory):
        try:
            house = _read(path, python, platform)
        except (CatchmentError, OSError) as error:
            problems.append(Problem(str(path), "file", "", f"a wheel that can be installed ({error})"))
            continue
        twin = houses.setdefault(house.project, house)
        if twin is not house:
            problems.append(
                Problem(str(path), "project", house.project, f"one wheel of it; {twin.path.name} is another")
            )
    if problems:
        raise InputError(problems)
    if PROGRAM not in houses:
        expected = f"a wheel of {PROGRAM}; make it with: pip wheel --no-deps --wheel-dir DIR SOURCE"
        raise InputError([Problem(str(directory), "wheels", "", expected)])
    needs, problems = _close(houses, [tier, *extras], python, platform)
    problems += [
        Problem(
            str(house.path),
            "project",
            project,
            f"only what {PROGRAM}[{','.join([tier, *extras])}] needs; remove it",
        )
        for project, house in houses.items()
        if project not in needs
    ]
    current, oldest = _data_format(houses[PROGRAM], tier, problems)
    if problems:
        raise InputError(problems)
    ordered = tuple(sorted(houses.values(), key=lambda house: house.path.name))
    return Wheelhouse(ordered, current, oldest, needs)


def _files(directory: Path) -> list[Path]:
    try:
        found = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        expected = f"a directory of wheels ({error.strerror})"
        raise InputError([Problem(str(directory), "directory", "", expected)]) from error
    if len(found) > limits.IMAGE_FILES_MAX:
        raise InputError(
            [Problem(str(directory), "directory", f"{len(found)} files", f"at most {limits.IMAGE_FILES_MAX}")]
        )
    return found


def _read(path: Path, python: str, platform: str) -> House:
    named = tags.parse(path.name)
    if not named.fits(python, platform):
        raise InputError([Problem(str(path), "tags", path.name, f"a wheel for {python} on {platform}")])
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        wheel = Wheel(path.name, stream)
        unpacked, files = wheel.size
        parser: email.parser.Parser[EmailMessage] = email.parser.Parser(policy=email.policy.default)
        metadata = parser.parsestr(wheel.text("METADATA"), headersonly=True)
    name, version = str(metadata.get("Name", "")), str(metadata.get("Version", ""))
    if tags.normal(name) != named.project or not version:
        raise InputError(
            [Problem(str(path), "METADATA, Name", name, f"{named.project!r}, as the file is named")]
        )
    return House(path, named, metadata, digest, path.stat().st_size, unpacked, files)


def _close(
    houses: Mapping[str, House], extras: Sequence[str], python: str, platform: str
) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    """All that the program needs, and what of it is missing or of a wrong version."""
    environment = _environment(python, platform)
    needs: dict[str, set[str]] = {}
    problems: dict[str, Problem] = {}
    waiting = [(PROGRAM, tuple(sorted(extras)))]
    seen = set(waiting)
    while waiting:
        project, wanted = waiting.pop()
        house = houses[project]
        mine = needs.setdefault(project, set())
        try:
            required = list(house.needs(wanted, environment))
        except InvalidRequirement as error:
            problems[project] = Problem(
                str(house.path), "METADATA, Requires-Dist", "", f"requirements ({error})"
            )
            continue
        for requirement in required:
            name = tags.normal(requirement.name)
            found = houses.get(name)
            if found is None or not requirement.specifier.contains(found.tags.version, prereleases=True):
                have = "" if found is None else found.path.name
                expected = f"a wheel of {name}{requirement.specifier}, which {project} needs"
                problems[name] = Problem(str(house.path.parent), "wheels", have, expected)
                continue
            mine.add(name)
            step = (name, tuple(sorted(requirement.extras)))
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return {project: tuple(sorted(names)) for project, names in needs.items()}, list(problems.values())


def _environment(python: str, platform: str) -> dict[str, str]:
    """What the markers of requirements are held against: the machine of the image, not this one."""
    version = f"{python[2]}.{python[3:]}"
    return {
        **_OS,
        "python_version": version,
        "python_full_version": f"{version}.0",
        "implementation_name": "cpython",
        "implementation_version": f"{version}.0",
        "platform_python_implementation": "CPython",
        "platform_machine": platform.removeprefix("linux_"),
        "platform_release": "",
        "platform_version": "",
    }


def _data_format(house: House, tier: str, problems: list[Problem]) -> tuple[int, int]:
    name = f"{ROOMS[tier]}/{FORMAT_FILE}"
    with house.path.open("rb") as stream:
        content = Wheel(house.path.name, stream).content(name)
    try:
        document = tomllib.loads((content or b"").decode())
        current, oldest = int(document["current"]), int(document["oldest"])
        if not 1 <= oldest <= current:
            raise ValueError("1 <= oldest <= current")
    except (ValueError, KeyError, TypeError) as error:
        problems.append(Problem(str(house.path), name, "", f"the formats of its data ({error!s:.60})"))
        return 1, 1
    return current, oldest
