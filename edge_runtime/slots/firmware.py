"""What an image says of itself: `firmware.toml`, its first file.

It lists every other file with its hash and size, so that the hash of `firmware.toml` and of the
archive's form stand for all of it. Programs write it and programs read it: one form, checked.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime.slots import limits
from edge_runtime.slots.states import Firmware
from edge_runtime.slots.store import DEFAULTS, SBOM
from protocols.errors import LimitError, MalformedError
from protocols.package.settings import is_id, is_version

SUFFIX = ".cfw"
TIERS = ("edge", "hub", "hq")
FORMAT = 1
WHEELS = "wheels"

_TEXTS = ("id", "version", "tier", "python", "platform", "glibc")
_COUNTS = ("data_format", "data_oldest", "unpacked_bytes", "unpacked_files")

_PYTHON = re.compile(r"cp3[0-9]{1,2}")
_PLATFORM = re.compile(r"[a-z0-9_]{1,40}")
_GLIBC = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}|")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of an image.

    Args:
        name: With folders.
        sha256: Hexadecimal.
        size: Bytes.
    """

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """All of `firmware.toml`.

    Args:
        id: The firmware's name.
        version: Its semantic version.
        tier: `edge`, `hub` or `hq`.
        python: The interpreter that its wheels need: `cp311`.
        platform: The machine that they need: `linux_x86_64`; `any` where all are pure.
        glibc: The least C library that they need: `2.28`; empty where it does not matter.
        data_format: The format of the data directory that it writes.
        data_oldest: The oldest that it can bring data from, and back to.
        unpacked_bytes: Of all wheels' files together.
        unpacked_files: How many they are.
        files: All other files, sorted by name.
    """

    id: str
    version: str
    tier: str
    python: str
    platform: str
    glibc: str
    data_format: int
    data_oldest: int
    unpacked_bytes: int
    unpacked_files: int
    files: tuple[FileEntry, ...]

    @property
    def archive(self) -> str:
        """Name of the image's file: `catchment-edge-0.1.0.cfw`."""
        return f"{self.id}-{self.version}{SUFFIX}"

    def firmware(self, sha256: str) -> Firmware:
        """What a slot holds that this image, of this hash, was unpacked into."""
        return Firmware(
            self.id, self.version, sha256, self.tier, self.python, self.data_format, self.data_oldest
        )


def render(manifest: ImageManifest) -> str:
    """The text of `firmware.toml`; the same for the same content."""
    head = [
        "[firmware]",
        f"format = {FORMAT}",
        *(f"{name} = {json.dumps(getattr(manifest, name))}" for name in _TEXTS),
        *(f"{name} = {getattr(manifest, name)}" for name in _COUNTS),
    ]
    files = [
        f'\n[[file]]\nname = {json.dumps(each.name)}\nsha256 = "{each.sha256}"\nsize = {each.size}'
        for each in manifest.files
    ]
    return "\n".join([*head, *files]) + "\n"


def parse(data: bytes) -> ImageManifest:
    """Read `firmware.toml`.

    Raises:
        LimitError: It is larger than it may be.
        MalformedError: It is not what `render` writes.
    """
    if len(data) > limits.MANIFEST_BYTES_MAX:
        raise LimitError(f"expected at most {limits.MANIFEST_BYTES_MAX} bytes of firmware.toml")
    try:
        document = tomllib.loads(data.decode("utf-8"))
        manifest = _manifest(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedError(
            f"expected firmware.toml of an image, got something else ({error!s:.100})"
        ) from error
    _refuse(manifest)
    if render(manifest).encode() != data:
        raise MalformedError("expected firmware.toml as `catchment-flash image build` writes it")
    return manifest


def _manifest(document: Mapping[str, Any]) -> ImageManifest:
    head = document["firmware"]
    if head["format"] != FORMAT:
        raise ValueError(f"format {head['format']}; this program reads format {FORMAT}")
    files = tuple(
        FileEntry(_text(each["name"]), _text(each["sha256"]), _count(each["size"]))
        for each in document["file"]
    )
    return ImageManifest(
        id=_text(head["id"]),
        version=_text(head["version"]),
        tier=_text(head["tier"]),
        python=_text(head["python"]),
        platform=_text(head["platform"]),
        glibc=_text(head["glibc"]),
        data_format=_count(head["data_format"]),
        data_oldest=_count(head["data_oldest"]),
        unpacked_bytes=_count(head["unpacked_bytes"]),
        unpacked_files=_count(head["unpacked_files"]),
        files=files,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40}, expected a text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r:.40}, expected a count")
    return value


def _refuse(manifest: ImageManifest) -> None:
    """Refuse what is written in the right form and cannot be right."""
    wrong = [
        name
        for name, right in (
            ("id", is_id(manifest.id)),
            ("version", is_version(manifest.version)),
            ("tier", manifest.tier in TIERS),
            ("python", _PYTHON.fullmatch(manifest.python)),
            ("platform", _PLATFORM.fullmatch(manifest.platform)),
            ("glibc", _GLIBC.fullmatch(manifest.glibc)),
            ("data_oldest", 1 <= manifest.data_oldest <= manifest.data_format),
        )
        if not right
    ]
    if wrong:
        raise MalformedError(f"firmware.toml of an image: expected another {', '.join(wrong)}")
    if manifest.unpacked_bytes > limits.UNPACKED_BYTES_MAX:
        raise LimitError(f"expected wheels of at most {limits.UNPACKED_BYTES_MAX} bytes when unpacked")
    if manifest.unpacked_files > limits.UNPACKED_FILES_MAX or len(manifest.files) > limits.IMAGE_FILES_MAX:
        most = f"{limits.IMAGE_FILES_MAX} files, {limits.UNPACKED_FILES_MAX} when unpacked"
        raise LimitError(f"expected an image of at most {most}")
    names = [each.name for each in manifest.files]
    if names != sorted(set(names)):
        raise MalformedError(
            "firmware.toml of an image: expected files in the order of their names, each once"
        )
    for each in manifest.files:
        reason = refusal(each.name)
        if reason or not _SHA256.fullmatch(each.sha256):
            raise MalformedError(f"{each.name[:80]!r} in an image: expected {reason or 'a SHA-256'}")
    if SBOM not in names or not any(name.startswith(f"{WHEELS}/") for name in names):
        raise MalformedError(f"expected {SBOM} and at least one of {WHEELS}/ in an image")


def refusal(name: str) -> str:
    """What was expected instead of this name in an image; empty when it is right.

    >>> refusal("wheels/a-1-py3-none-any.whl"), refusal("defaults/../x"), refusal("run.py")
    ('', 'a plain relative path', 'sbom.cdx.json, wheels/NAME.whl or a file in defaults/')
    """
    if not plain(name) or not name.isascii():
        return "a plain relative path"
    folder, _, rest = name.partition("/")
    wheel = folder == WHEELS and "/" not in rest and rest.endswith(".whl")
    if wheel or name == SBOM or (folder == DEFAULTS and rest):
        return ""
    return f"{SBOM}, {WHEELS}/NAME.whl or a file in {DEFAULTS}/"


def plain(name: str) -> bool:
    """Whether a name stays below the folder it is put into, on every system.

    >>> [plain(name) for name in ("a/b.py", "/a", "a/../b", "a//b", "a\\\\b", "./a", "a/", "C:/a", "")]
    [True, False, False, False, False, False, False, False, False]
    """
    if not 0 < len(name) <= limits.PATH_CHARS_MAX or not name.isprintable() or set(name) & set('\\:*?"<>|'):
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))
