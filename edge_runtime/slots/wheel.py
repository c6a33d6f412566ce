"""Unpacks a wheel: a zip file with a `RECORD` of every file's hash and size.

Rules:
1. What is not in `RECORD`, or twice, is refused before anything is written; so are paths that
   leave the folder, links, compiled files, and more bytes or files than the image declares.
2. Of no entry more is decompressed than `RECORD` says; a bomb stops at its first byte too many.
3. Every file's hash is compared while it is written.

Source: Binary Distribution Format, PyPA specifications; PEP 427 (RECORD, `.data`), PEP 376 (RECORD).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from edge_runtime.slots import limits
from edge_runtime.slots.firmware import plain
from edge_runtime.slots.image import CHUNK_BYTES, Part
from protocols.errors import IntegrityError, LimitError, MalformedError

SIGNATURES = ("RECORD.jws", "RECORD.p7s")
"""Beside RECORD, and not in it; nobody makes them any more."""

ALGORITHMS = ("sha256", "sha384", "sha512")

SKIPPED = ("scripts", "headers", "data")
"""Parts of a wheel's `.data` that a slot has no use for: programs start with run.py alone."""

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    NotImplementedError,
    OverflowError,
    EOFError,
    RuntimeError,
)
"""What the zip reader raises over an archive that is none: a place before its begin is a `ValueError`."""


class Recorded(NamedTuple):
    """A line of RECORD.

    Args:
        algorithm: Name of the hash; empty for RECORD itself.
        digest: Of the content.
        size: Bytes, at most.
    """

    algorithm: str
    digest: bytes
    size: int


@dataclass(slots=True)
class Budget:
    """What all wheels of one image may become.

    Args:
        bytes_left: Bytes.
        files_left: Files.
        written: SHA-256 of the files that are there, by name.
    """

    bytes_left: int
    files_left: int
    written: dict[str, str] = field(default_factory=dict)


class Wheel:
    """A wheel, opened and its directory checked.

    Args:
        name: Its file name, for messages.
        source: The wheel.

    Raises:
        MalformedError, LimitError: It is not a wheel that can be taken.
    """

    def __init__(self, name: str, source: IO[bytes] | Part) -> None:
        self.name = name
        self._refuse_long_directory(source)
        try:
            self._zip = zipfile.ZipFile(source)
        except (*BROKEN, OSError) as error:
            raise MalformedError(f"{name}: expected a wheel, got something else ({error})") from error
        self._entries = self._check_entries()
        self._info = self._find_info()
        self.record = self._read_record()

    def _refuse_long_directory(self, source: IO[bytes] | Part) -> None:
        """The directory is read as a whole: bound it first (its length stands in the last record)."""
        source.seek(0, 2)
        source.seek(max(0, source.tell() - 65_557))
        tail = source.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or int.from_bytes(tail[at + 12 : at + 16], "little") > limits.WHEEL_DIRECTORY_BYTES_MAX:
            raise MalformedError(f"{self.name}: expected a wheel, got something else or one that was cut off")

    def _check_entries(self) -> dict[str, zipfile.ZipInfo]:
        entries: dict[str, zipfile.ZipInfo] = {}
        infos = self._zip.infolist()
        if len(infos) > limits.UNPACKED_FILES_MAX:
            raise LimitError(f"{self.name}: expected at most {limits.UNPACKED_FILES_MAX} files")
        for info in infos:
            name = info.orig_filename
            if name.endswith("/") and not info.file_size:
                continue  # a folder; those that are needed are made
            kind = stat.S_IFMT(info.external_attr >> 16)
            reason = ""
            if not plain(name):
                reason = "a plain relative path"
            elif kind not in (0, stat.S_IFREG):
                reason = "a plain file, no link"
            elif name.endswith((".pyc", ".pyo")) or "__pycache__" in name.split("/"):
                reason = "sources, nothing compiled by Python"
            elif name in entries or info.flag_bits & 1:
                reason = "each file once, not encrypted"
            if reason:
                raise MalformedError(f"{self.name}: {name[:80]!r} in it: expected {reason}")
            entries[name] = info
        return entries

    def _find_info(self) -> str:
        folders = {name.split("/")[0] for name in self._entries if name.endswith(".dist-info/RECORD")}
        if len(folders) != 1:
            raise MalformedError(f"{self.name}: expected a wheel with one NAME-VERSION.dist-info/RECORD")
        return folders.pop()

    def _read_record(self) -> dict[str, Recorded]:
        own = f"{self._info}/RECORD"
        rows = csv.reader(io.StringIO(self.text("RECORD")))
        record: dict[str, Recorded] = {}
        try:
            for path, digest, size in rows:
                if path == own or path.removeprefix(f"{self._info}/") in SIGNATURES:
                    continue
                record[path] = _recorded(digest, size)
        except (ValueError, csv.Error) as error:
            raise MalformedError(f"{self.name}: expected a RECORD of hashes and sizes ({error})") from error
        unsigned = {own, *(f"{self._info}/{name}" for name in SIGNATURES)}
        unlisted = sorted(self._entries.keys() - record.keys() - unsigned)
        missing = sorted(record.keys() - self._entries.keys())
        if unlisted or missing:
            what = f"{unlisted[0]!r}, which its RECORD does not list" if unlisted else f"no {missing[0]!r}"
            raise MalformedError(f"{self.name}: has {what[:120]}; make the wheel anew")
        return record

    def text(self, name: str) -> str:
        """A text file of the wheel's .dist-info, of bounded size; empty when it is not there.

        Raises:
            MalformedError: It is too long, or no text.
        """
        info = self._entries.get(f"{self._info}/{name}")
        if info is None:
            return ""
        try:
            with self._zip.open(info) as stream:
                data = stream.read(limits.SBOM_BYTES_MAX + 1)
            if len(data) > limits.SBOM_BYTES_MAX:
                raise MalformedError(
                    f"{self.name}: expected a {name} of at most {limits.SBOM_BYTES_MAX} bytes"
                )
            return data.decode("utf-8", "strict")
        except BROKEN as error:
            raise MalformedError(f"{self.name}: its {name} cannot be read ({error})") from error

    def content(self, name: str) -> bytes | None:
        """A small file outside .dist-info; `None` when there is none.

        Raises:
            IntegrityError, MalformedError: It is not the one in RECORD.
        """
        if name not in self.record:
            return None
        return b"".join(self._checked(name, self.record[name]))

    @property
    def size(self) -> tuple[int, int]:
        """Bytes and files that it becomes."""
        kept = [recorded.size for name, recorded in self.record.items() if self._target(name)]
        own = self._entries[f"{self._info}/RECORD"].file_size
        return sum(kept) + own, len(kept) + 1

    def verify(self) -> None:
        """Read every file and compare it with RECORD.

        Raises:
            IntegrityError, MalformedError: One is not what RECORD says.
        """
        for name, recorded in self.record.items():
            for _ in self._checked(name, recorded):
                pass

    def unpack(self, folder: Path, budget: Budget) -> None:
        """Write its files below a folder.

        Args:
            folder: Of the libraries.
            budget: What is left to all wheels; counted down.

        Raises:
            IntegrityError, MalformedError, LimitError: A file is not what RECORD says; some may
                have been written.
            OSError: The disk failed.
        """
        size, files = self.size
        if size > budget.bytes_left or files > budget.files_left:
            raise LimitError(f"{self.name}: is larger, unpacked, than its image declares")
        budget.bytes_left -= size
        budget.files_left -= files
        made: set[Path] = set()
        for name in sorted(self.record):
            target = self._target(name)
            if target:
                self._write(folder / target, target, self._checked(name, self.record[name]), budget, made)
        own = f"{self._info}/RECORD"
        self._write(folder / own, own, iter([self.text("RECORD").encode()]), budget, made)

    def _target(self, name: str) -> str:
        """Where a file goes, below the libraries; empty when it is not needed."""
        folder, _, rest = name.partition("/")
        if not folder.endswith(".data"):
            return name
        part, _, rest = rest.partition("/")
        if part in ("purelib", "platlib"):
            return rest
        if part not in SKIPPED:
            raise MalformedError(f"{self.name}: {name!r} in it: expected a known part of .data")
        return ""

    def _write(
        self, path: Path, target: str, chunks: Iterator[bytes], budget: Budget, made: set[Path]
    ) -> None:
        if not plain(target):
            raise MalformedError(f"{self.name}: {target[:80]!r} in it: expected a plain relative path")
        digest = hashlib.sha256()
        if target in budget.written:  # a file that several wheels share must be the same
            for chunk in chunks:
                digest.update(chunk)
            if digest.hexdigest() != budget.written[target]:
                raise MalformedError(f"{self.name}: {target!r} is in another wheel with another content")
            return
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        with path.open("xb") as stream:
            for chunk in chunks:
                digest.update(chunk)
                stream.write(chunk)
        budget.written[target] = digest.hexdigest()

    def _checked(self, name: str, recorded: Recorded) -> Iterator[bytes]:
        digest, left = hashlib.new(recorded.algorithm), recorded.size
        try:
            with self._zip.open(self._entries[name]) as stream:
                while chunk := stream.read(min(left + 1, CHUNK_BYTES)):
                    left -= len(chunk)
                    if left < 0:
                        raise IntegrityError(f"{self.name}: {name!r} is longer than its RECORD says")
                    digest.update(chunk)
                    yield chunk
        except BROKEN as error:
            raise MalformedError(f"{self.name}: {name!r} in it cannot be read ({error})") from error
        if left or digest.digest() != recorded.digest:
            raise IntegrityError(f"{self.name}: {name!r} is not the file that its RECORD lists")


def _recorded(digest: str, size: str) -> Recorded:
    algorithm, _, value = digest.partition("=")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"a hash {algorithm!r:.40}; expected one of {', '.join(ALGORITHMS)}")
    count = int(size)
    if not 0 <= count <= limits.UNPACKED_BYTES_MAX:
        raise ValueError(f"a size of {count}")
    return Recorded(algorithm, base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), count)


def hashes(folder: Path, names: Mapping[str, str]) -> Iterator[str]:
    """Names of files that are missing or have another SHA-256 than they should.

    Args:
        folder: What the names are below.
        names: SHA-256 by name.
    """
    for name, expected in names.items():
        try:
            with (folder / name).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError:
            found = ""
        if found != expected:
            yield name
