"""What a wheel's file name says of the machines that it runs on.

Source: Platform compatibility tags, PyPA specifications; PEP 425, PEP 600 (manylinux).

>>> tags = parse("numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl")
>>> tags.project, tags.version, tags.fits("cp311", "linux_x86_64"), tags.fits("cp312", "linux_x86_64")
('numpy', '2.4.6', True, False)
>>> tags.glibc("linux_x86_64")
(2, 27)
"""

from __future__ import annotations

import re
from typing import NamedTuple

from protocols.errors import MalformedError

_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")


class WheelTags(NamedTuple):
    """The name of a wheel, taken apart.

    Args:
        project: Its normalised name (PEP 503).
        version: As written.
        pythons: Such as `cp311` or `py3`.
        abis: Such as `cp311`, `abi3` or `none`.
        platforms: Such as `any` or `manylinux_2_28_x86_64`.
    """

    project: str
    version: str
    pythons: tuple[str, ...]
    abis: tuple[str, ...]
    platforms: tuple[str, ...]

    @property
    def pure(self) -> bool:
        """Whether it runs on every machine."""
        return "any" in self.platforms

    def fits(self, python: str, platform: str) -> bool:
        """Whether it runs under an interpreter (`cp311`) on a machine (`linux_x86_64`)."""
        return self._fits_python(python) and (self.pure or any(_glibc(p, platform) for p in self.platforms))

    def _fits_python(self, python: str) -> bool:
        minor = int(python[3:])
        for tag in self.pythons:
            if tag in ("py3", f"py3{minor}") and "none" in self.abis:
                return True
            if tag == python and {python, "abi3", "none"} & set(self.abis):
                return True
            older = re.fullmatch(r"(?:cp|py)3(\d+)", tag)
            usable = {"cp": "abi3", "py": "none"}[tag[:2]] if tag[:2] in ("cp", "py") else ""
            if older and int(older[1]) <= minor and usable in self.abis:
                return True
        return False

    def glibc(self, platform: str) -> tuple[int, int]:
        """The least C library that it needs on a machine that it fits; (0, 0) when it needs none."""
        needed = [version for each in self.platforms if (version := _glibc(each, platform))]
        return min(needed, default=(0, 0)) if not self.pure else (0, 0)


def parse(name: str) -> WheelTags:
    """Take the name of a wheel apart.

    Raises:
        MalformedError: It is not one.
    """
    parts = name.removesuffix(".whl").split("-")
    if not name.endswith(".whl") or len(parts) not in (5, 6) or not all(parts):
        raise MalformedError(f"{name}: expected the name of a wheel, NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
    pythons, abis, platforms = (tuple(part.split(".")) for part in parts[-3:])
    return WheelTags(normal(parts[0]), parts[1], pythons, abis, platforms)


def normal(project: str) -> str:
    """A project's name, written in the one normal way.

    >>> normal("Sqlite_Utils.x")
    'sqlite-utils-x'
    """
    return re.sub(r"[-_.]+", "-", project).lower()


def _glibc(tag: str, platform: str) -> tuple[int, int] | None:
    """The C library that a platform's tag asks for; `None` when the tag is of another machine."""
    machine = platform.removeprefix("linux_")
    if tag == platform:
        return (0, 1)  # some Linux; it does not say which
    found = _MANYLINUX.fullmatch(tag)
    if found:
        return (int(found[1]), int(found[2])) if found[3] == machine else None
    legacy, _, of = tag.partition("_")
    return _LEGACY[legacy] if legacy in _LEGACY and of == machine else None
