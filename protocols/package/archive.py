"""The archive of an app package: one file, the same bytes for the same content, safe to read.

Rules:
1. It is a zip file whose entries are stored, not compressed: `unzip`, `python -m zipfile`
   and `sha256sum -c MANIFEST.sha256` open and check it, and nothing in it can grow.
2. The first entry is `MANIFEST.sha256`: the SHA-256 of every other file, sorted by name.
   All others follow in that order. Times, owners and permissions are constants.
3. An archive is accepted only when it is, byte for byte, what `pack` makes of its files:
   there is no second place for names or sizes that other readers could believe.

The version of the archive is its hash; see `docs/decisions/0030-packages-are-stored-zip.md`.

>>> data = pack({"app.toml": b"", "programs/a.st": b"PROGRAM a END_PROGRAM"})
>>> sorted(unpack(data)), digest(data)[:8]
(['app.toml', 'programs/a.st'], 'b90c064c')
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence

from protocols import limits
from protocols.errors import IntegrityError, LimitError, MalformedError
from protocols.package.names import refusal
from protocols.storedzip import LOCAL_BYTES, LOCAL_MARK, Stored, directory, local_header, parse_local

MANIFEST = "MANIFEST.sha256"
"""The list of hashes, in the form of `sha256sum`."""

Entry = tuple[str, bytes]


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal: the hash by which a package is known."""
    return hashlib.sha256(data).hexdigest()


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of some files.

    Args:
        files: Contents by name; the names are right (see `names`).

    Raises:
        LimitError: There are too many, or they are too large.
    """
    if len(files) > limits.PACKAGE_FILES_MAX:
        raise LimitError(f"expected at most {limits.PACKAGE_FILES_MAX} files, got {len(files)}")
    data = _zip([(MANIFEST, _manifest(files)), *sorted(files.items())])
    if len(data) > limits.PACKAGE_BYTES_MAX:
        raise LimitError(f"expected a package of at most {limits.PACKAGE_BYTES_MAX} bytes, got {len(data)}")
    return data


def unpack(data: bytes) -> dict[str, bytes]:
    """The files of an archive, without its manifest of hashes.

    Raises:
        LimitError: It is too large.
        MalformedError: It is not what `pack` makes.
        IntegrityError: A file is not the one in the manifest.
    """
    if len(data) > limits.PACKAGE_BYTES_MAX:
        raise LimitError(f"expected a package of at most {limits.PACKAGE_BYTES_MAX} bytes, got {len(data)}")
    entries = _entries(data)
    names = [name for name, _ in entries]
    if names[:1] != [MANIFEST] or names[1:] != sorted(set(names[1:])):
        raise MalformedError(f"expected {MANIFEST} and then files in the order of their names, each once")
    _refuse_names(names[1:])
    files = dict(entries[1:])
    _compare(entries[0][1], files)
    if _zip(entries) != data:
        raise MalformedError(
            "expected a package as `catchment-edge app pack` writes it, got another zip file"
        )
    return files


def _refuse_names(names: Sequence[str]) -> None:
    folded: set[str] = set()
    for name in names:
        reason = refusal(name)
        if not reason and name.lower() in folded:
            reason = "names that differ in more than capitals"
        if reason:
            raise MalformedError(f"{name[: limits.PACKAGE_PATH_CHARS_MAX]!r} in a package: expected {reason}")
        folded.add(name.lower())


def _manifest(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{digest(content)}  {name}\n" for name, content in sorted(files.items())).encode("ascii")


def _compare(manifest: bytes, files: Mapping[str, bytes]) -> None:
    expected = _manifest(files)
    if manifest == expected:
        return
    listed = set(manifest.split(b"\n"))
    wrong = [
        name for name, line in zip(sorted(files), expected.split(b"\n"), strict=False) if line not in listed
    ]
    what = f"{wrong[0]!r} is not the file" if wrong else "its files are not those"
    raise IntegrityError(f"{what} that {MANIFEST} of the package lists")


# -- the form ------------------------------------------------------------------------------------


def _zip(entries: Sequence[Entry]) -> bytes:
    body = bytearray()
    stored: list[Stored] = []
    for name, content in entries:
        stored.append(Stored(name, zlib.crc32(content), len(content), len(body)))
        body += local_header(stored[-1]) + content
    return bytes(body) + directory(stored, len(body))


def _entries(data: bytes) -> list[Entry]:
    """Names and contents, from the front to the directory; the rest is compared by the caller."""
    if not data.startswith(LOCAL_MARK):
        raise MalformedError("expected an app package (.capp), got something else")
    entries: list[Entry] = []
    at = 0
    while data.startswith(LOCAL_MARK, at):
        size, name_size = parse_local(data[at : at + LOCAL_BYTES])[1:]
        start = at + LOCAL_BYTES + name_size
        if start + size > len(data):
            raise MalformedError("expected a whole package, got one that was cut off")
        raw = data[at + LOCAL_BYTES : start]
        if not raw.isascii():
            raise MalformedError("expected names of files in ASCII")
        entries.append((raw.decode("ascii"), data[start : start + size]))
        if len(entries) > limits.PACKAGE_FILES_MAX + 1:
            raise LimitError(f"expected at most {limits.PACKAGE_FILES_MAX} files in a package")
        at = start + size
    return entries
