"""What a node does to be sure of what comes down: python-tuf's client over calls.

Rules:
1. Nothing is believed but what the newest root that we know leads to: python-tuf decides, and
   what it refuses is refused here, with the same reason.
2. What was verified once is on the disk, flushed, before anybody acts on it: neither a restart
   nor a power cut lets an older state pass for a new one. python-tuf, which flushes nothing,
   works on a copy in `work/` that is made anew from `trusted/` at each start.
3. While the timestamp is the one that we verified, and nothing that we hold has expired, there
   is nothing new, and one small question is all that is asked.
4. A target is fetched only where the director's document and the target's own role agree.

Importing this module imports python-tuf, which takes 13 MB.

Source: The Update Framework, specification 1.0.31, clause 5 (client workflow); Uptane Standard
2.1.0, clause 5.4.4 (agreement of both repositories, here of two roles).
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Root, Signed, TargetFile, Timestamp
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from protocols import limits
from protocols.calls import CallRefusedError
from protocols.durable import write_bytes_durably
from protocols.errors import IntegrityError, StoreError
from protocols.updates.names import TIMESTAMP, desired_path
from protocols.updates.pace import Pace
from protocols.updates.pieces import NO_SUCH_FILE, Ask, Wanted
from protocols.updates.transfer import ask_piece, fetch_target, look

BASE = "catchment:"
ISSUED = "issued"
"""Of a timestamp, beside what TUF asks for: when it was signed, seconds since 1970."""

ROOTS = "root_history"

T = TypeVar("T")

CONFIG = UpdaterConfig(
    max_root_rotations=limits.ROOT_ROTATIONS_MAX,
    root_max_length=limits.ROOT_BYTES_MAX,
    timestamp_max_length=limits.TIMESTAMP_BYTES_MAX,
    snapshot_max_length=limits.SNAPSHOT_BYTES_MAX,
    targets_max_length=limits.TARGETS_BYTES_MAX,
)

REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ExpiredMetadataError, "expired"),
    (BadVersionNumberError, "older"),
    (UnsignedMetadataError, "unsigned"),
    (LengthOrHashMismatchError, "altered"),
    (DownloadLengthMismatchError, "endless"),
)
"""What is wrong, in one word for programs; any other fault of metadata is `wrong`."""


class UpdateRefusedError(IntegrityError):
    """What was offered is not what those whom we trust have signed.

    Args:
        what: `expired`, `older`, `unsigned`, `altered`, `endless`, `wrong`, `unlisted` or `disagree`.
        text: What was expected, and what came.
    """

    def __init__(self, what: str, text: str) -> None:
        super().__init__(f"update refused ({what}): {text}")
        self.what = what
        self.text = text


class CallFetcher(FetcherInterface):
    """Fetches for python-tuf, piece by piece and within a byte budget."""

    def __init__(self, ask: Ask, pace: Pace) -> None:
        self._ask = ask
        self._pace = pace
        self.path = ""
        """What was asked for last: python-tuf's errors do not always name it."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.path = path = url.removeprefix(f"{BASE}/")
        offset, first = 0, None
        while first is None or offset < first.total:
            wanted = Wanted(path, offset, self._pace.portion(limits.PIECE_BYTES_MAX))
            try:
                piece = ask_piece(self._ask, wanted)
            except CallRefusedError as error:
                if error.code != NO_SUCH_FILE:
                    raise
                raise DownloadHTTPError(f"{path} is not there", 404) from error  # ends the walk of roots
            if first is not None and piece[1:] != first[1:]:
                raise DownloadError(f"{path} changed while it was fetched")
            first = piece
            offset += len(piece.data)
            self._pace.spend(len(piece.data))
            yield piece.data


class Source:
    """Verified updates for one node; used by one thread.

    Args:
        folder: Where to keep metadata and targets; nobody else writes there.
        node: Whose desired document is meant.
        root: Root metadata to begin with, as it was handed over at enrolment.
        ask: Asks the hub, or headquarters: `CallClient.call`.
        pace: The byte budget.
        now: Seconds since 1970; python-tuf looks at the system's clock itself.

    Raises:
        UpdateRefusedError: `root` is no root metadata.
        StoreError: The disk failed.
    """

    def __init__(
        self,
        folder: Path,
        node: str,
        root: bytes,
        ask: Ask,
        pace: Pace | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.node = node
        self._ask = ask
        self._pace = pace or Pace()
        self._now = now
        self._trusted = folder / "trusted"
        self._work = folder / "work"
        self._targets = folder / "targets"
        self._fetcher = CallFetcher(ask, self._pace)
        self._updater: Updater | None = None
        self._expires = 0.0
        self._issued: float | None = None
        self._versions: dict[str, int] = {}
        self._in_force: dict[str, int] = {}
        self._desired: tuple[bytes, bytes] | None = None
        try:
            shutil.rmtree(self._work, ignore_errors=True)
            (self._trusted / ROOTS).mkdir(parents=True, exist_ok=True)
            self._targets.mkdir(exist_ok=True)
            shutil.copytree(self._trusted, self._work, symlinks=False)
        except OSError as error:
            raise StoreError(
                f"cannot use {folder}: {error.strerror}; free disk space, or fix its permissions"
            ) from error
        self._root = self._newest_root(root)

    def refresh(self) -> bool:
        """Ask for newer metadata, and verify it.

        Returns:
            Whether there was something new.

        Raises:
            UpdateRefusedError: What came is not to be trusted; what was before stays in force.
            CallRefusedError, CallTimeoutError, MalformedError, IntegrityError: The hub does not serve.
            StoreError: The disk failed.
        """
        if self._updater is not None and not self._expired():
            seen = look(self._ask, TIMESTAMP)
            held = _read(self._work / "timestamp.json")
            if held is not None and hashlib.sha256(held).digest() == seen.sha256:
                return False
        self._updater = None  # nothing is fetched by what a refresh has left half-way
        updater = self._guarded(self._begin)
        try:
            self._guarded(updater.refresh)
        finally:
            self._keep()
        self._updater = updater
        before, self._in_force = self._in_force, dict(self._versions)
        return self._in_force != before

    def desired(self) -> bytes | None:
        """The newest desired document of this node; `None` where the director has none for it.

        Raises:
            As `refresh` and `fetch` do.
        """
        self.refresh()
        path = desired_path(self.node)
        info = self._info(path)
        if info is None:
            return None
        sha256 = bytes.fromhex(info.hashes["sha256"])
        if self._desired is None or self._desired[0] != sha256:
            self._desired = sha256, self._get(path, info).read_bytes()
        return self._desired[1]

    def fetch(self, path: str, sha256: bytes, length: int) -> Path:
        """A target that a desired document names, verified, as a local file.

        Args:
            path: Its path in the repository.
            sha256: Its hash, as the director names it.
            length: Its bytes, as the director names them.

        Raises:
            UpdateRefusedError: No role that may sign it lists it, or not with this hash and length.
            CallRefusedError, CallTimeoutError, MalformedError, IntegrityError: The hub does not
                serve it; what came is kept, and the next call goes on there.
            StoreError: The disk failed.
        """
        known = self._updater is not None and not self._expired()
        if not known:
            self.refresh()
        info = self._info(path)
        if known and not _agree(info, sha256, length) and self.refresh():
            info = self._info(path)  # it may have been published since we looked
        if info is None:
            text = f"no role that may sign {path} lists it: removed, or its publisher is revoked"
            raise UpdateRefusedError("unlisted", text)
        if not _agree(info, sha256, length):
            listed = info.hashes.get("sha256", "none")
            raise UpdateRefusedError(
                "disagree",
                f"{path}: the director asks for {length} bytes with SHA-256 {sha256.hex()}, "
                f"its publisher signed {info.length} with {listed}",
            )
        return self._get(path, info)

    def keep(self, hashes: Collection[bytes]) -> int:
        """Remove fetched targets but those of these hashes; returns how many went."""
        wanted = {sha256.hex() for sha256 in hashes}
        if self._desired is not None:
            wanted.add(self._desired[0].hex())
        gone = 0
        for folder in (self._targets, self._targets / "partial"):
            for file in sorted(folder.glob("*")) if folder.is_dir() else ():
                if file.is_file() and file.name not in wanted:
                    file.unlink(missing_ok=True)
                    gone += 1
        return gone

    def describe(self) -> dict[str, object]:
        """For a status: versions in force, how old what we know is, and when it expires."""
        issued = self._issued
        return {
            "versions": dict(self._versions),
            "age_s": None if issued is None else round(max(0.0, self._now() - issued), 1),
            "expires": self._expires or None,
        }

    def _expired(self) -> bool:
        return self._now() >= self._expires

    def _begin(self) -> Updater:
        return Updater(
            str(self._work),
            f"{BASE}/metadata/",
            str(self._targets),
            f"{BASE}/targets/",
            fetcher=self._fetcher,
            config=CONFIG,
            bootstrap=self._root,
        )

    def _info(self, path: str) -> TargetFile | None:
        updater = self._updater
        assert updater is not None
        try:
            return self._guarded(lambda: updater.get_targetinfo(path))
        finally:
            self._keep()

    def _get(self, path: str, info: TargetFile) -> Path:
        listed = info.hashes.get("sha256")
        served = None if listed is None else bytes.fromhex(listed)
        if served is None or info.length > limits.TARGET_BYTES_MAX:
            text = f"{path}: expected a SHA-256 and at most {limits.TARGET_BYTES_MAX} bytes in its metadata"
            raise UpdateRefusedError("wrong", text)
        return fetch_target(self._ask, path, served, info.length, self._targets, self._pace)

    def _guarded(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except (RepositoryError, DownloadError) as error:
            what = next((word for kind, word in REASONS if isinstance(error, kind)), "wrong")
            text = f"{self._fetcher.path or 'metadata'}: {error!s:.300}"
            raise UpdateRefusedError(what, text) from error
        except OSError as error:
            raise StoreError(f"cannot keep metadata in {self.folder}: {error.strerror}") from error

    def _keep(self) -> None:
        """Put what python-tuf verified where a power cut leaves it, and read what we tell of it."""
        versions: dict[str, int] = {}
        expires = float("inf")
        for file in sorted(self._work.glob("*.json")):
            data = _read(file)
            if data is None:
                continue
            if file.name != "root.json" and _read(self._trusted / file.name) != data:
                write_bytes_durably(self._trusted / file.name, data)
            signed: Signed = Metadata[Any].from_bytes(data).signed
            versions[file.stem] = signed.version
            if signed.type != "targets" or file.stem == "targets":
                expires = min(expires, signed.expires.timestamp())
            if isinstance(signed, Timestamp):
                self._issued = _issued(signed)
        for file in (self._work / ROOTS).glob("*.root.json"):
            data = file.read_bytes()
            if _read(self._trusted / ROOTS / file.name) != data:
                write_bytes_durably(self._trusted / ROOTS / file.name, data)
        self._versions, self._expires = versions, expires

    def _newest_root(self, given: bytes) -> bytes:
        roots = [given]
        roots += [file.read_bytes() for file in (self._trusted / ROOTS).glob("*.root.json")]
        try:
            return max(roots, key=lambda data: Metadata[Root].from_bytes(data).signed.version)
        except RepositoryError as error:
            raise UpdateRefusedError(
                "wrong", f"expected root metadata to begin with: {error!s:.200}"
            ) from error


def _agree(info: TargetFile | None, sha256: bytes, length: int) -> bool:
    """Whether a target is listed with just this hash and length."""
    return info is not None and info.hashes.get("sha256") == sha256.hex() and info.length == length


def _issued(timestamp: Timestamp) -> float | None:
    found = timestamp.unrecognized_fields.get(ISSUED)
    return float(found) if isinstance(found, int) and not isinstance(found, bool) else None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
