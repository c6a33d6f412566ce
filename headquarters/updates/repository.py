"""The update repository on disk: what is in force, and how another state comes into force.

::

    data/updates/public/metadata/   N.root.json, N.targets.json, ..., timestamp.json: served
    data/updates/public/targets/    apps/acme/<SHA-256>.pump-1.0.0.capp: served
    data/updates/staging/           root metadata that still lacks signatures
    keys/updates/                   the keys that are used without anybody's hand

Rules:
1. A file has its content for good, and a version is given once: what a killed change left is
   never written over. Only `timestamp.json` is replaced, at once and as the last step, so that
   until then clients see the old state and from then on the new one, whole.
2. Everything is durable before anything refers to it.
3. While a new root waits for signatures, what the old root's roles sign is signed for both,
   so that a client that has either accepts it.
4. One process changes the repository at a time; a lock on its folder sees to that.

Source: The Update Framework, specification 1.0.31, clauses 4 (formats) and 6 (repository).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from headquarters.updates.keyfile import KeyRing
from headquarters.updates.terms import DAY_S, Terms
from protocols import limits
from protocols.crash import point
from protocols.durable import remove_durably, write_bytes_durably
from protocols.errors import InputError, Problem, StoreDamagedError, StoreError
from protocols.updates.names import BIN_PREFIX, DIRECTOR, hash_named
from protocols.updates.transfer import flush_folder

FOLDER = "updates"
KEYS = "keys/updates"

LOCK_WAIT_S = 30.0
COPY_BYTES = 1 << 20

ISSUED, ROOT = "issued", "root"
"""Of the timestamp, beside what TUF asks for: when it was signed, and which root it has told of."""

TOP = ("targets", "snapshot", "timestamp")
"""Roles that the root itself delegates."""

_SERIALIZER = JSONSerializer(compact=True)
_VERSIONED = re.compile(r"([1-9][0-9]*)\.(.+)\.json")

Payload = TypeVar("Payload", Root, Timestamp, Snapshot, Targets)
Delegator = Root | Targets


class Disk:
    """Durable changes of files, one after the other; each is a place where power may fail."""

    def put(self, path: Path, data: bytes) -> None:
        """Write a file, or replace it, at once.

        Raises:
            StoreError: The disk failed.
        """
        point("hq:before-updates-write")
        write_bytes_durably(path, data)
        point("hq:after-updates-write")

    def copy(self, source: Path, path: Path) -> None:
        """Copy a file that may be large.

        Raises:
            StoreError: The disk failed.
        """
        point("hq:before-updates-write")
        temporary = path.with_name(path.name + ".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as read, temporary.open("wb") as write:
                while data := read.read(COPY_BYTES):
                    write.write(data)
                write.flush()
                os.fsync(write.fileno())
            temporary.replace(path)
            flush_folder(path.parent)
        except OSError as error:
            raise StoreError(f"cannot copy {source} to {path}: {error.strerror}; free disk space") from error
        point("hq:after-updates-write")

    def remove(self, path: Path) -> None:
        """Remove a file.

        Raises:
            StoreError: The disk failed.
        """
        point("hq:before-updates-write")
        remove_durably(path)
        point("hq:after-updates-write")


class Repository:
    """What is in force, and changes of it.

    Args:
        folder: `data/updates` of headquarters.
        terms: For how long signatures count.
        now: Seconds since 1970.
        disk: Where changes go.
    """

    def __init__(
        self,
        folder: Path,
        terms: Terms,
        now: Callable[[], float] = time.time,
        disk: Disk | None = None,
    ) -> None:
        self.folder = folder
        self.public = folder / "public"
        self.staging = folder / "staging"
        self.terms = terms
        self.now = now
        self.disk = disk or Disk()
        self._metadata = self.public / "metadata"
        self._known: tuple[int, dict[str, int]] = 0, {}

    @property
    def exists(self) -> bool:
        """Whether there is a root, published or waiting for signatures."""
        return (self.staging / "root.json").exists() or bool(self._versions("root"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the repository meanwhile.

        Raises:
            StoreError: Another one goes on changing it, or the disk failed.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(f"cannot use {self.folder}: {error.strerror}; fix its permissions") from error
        try:
            end = time.monotonic() + LOCK_WAIT_S
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if time.monotonic() > end:
                        held = f"another process has been changing {self.folder} for {LOCK_WAIT_S:g} s"
                        raise StoreError(f"{held}; try again") from error
                    time.sleep(0.05)
            yield
        finally:
            os.close(descriptor)

    # -- what is in force ------------------------------------------------------------------

    def root(self) -> Metadata[Root] | None:
        """The newest published root."""
        versions = self._versions("root")
        return self._read(Root, self._metadata / f"{max(versions)}.root.json") if versions else None

    def staged_root(self) -> Metadata[Root] | None:
        """The root that waits for signatures."""
        path = self.staging / "root.json"
        if not path.exists():
            return None
        staged = self._read(Root, path)
        return None if staged.signed.version <= max([0, *self._versions("root")]) else staged

    def timestamp(self) -> Metadata[Timestamp] | None:
        """The timestamp in force."""
        path = self._metadata / "timestamp.json"
        return self._read(Timestamp, path) if path.exists() else None

    def snapshot(self) -> Metadata[Snapshot] | None:
        """The snapshot in force."""
        timestamp = self.timestamp()
        if timestamp is None:
            return None
        version = timestamp.signed.snapshot_meta.version
        return self._read(Snapshot, self._metadata / f"{version}.snapshot.json")

    def role(self, name: str) -> Metadata[Targets] | None:
        """`targets`, or a role below it, in force."""
        version = self.versions().get(name)
        return None if version is None else self._read(Targets, self._metadata / f"{version}.{name}.json")

    def versions(self) -> dict[str, int]:
        """Versions in force, by role; without root, snapshot and timestamp."""
        timestamp = self.timestamp()
        if timestamp is None:
            return {}
        version = timestamp.signed.snapshot_meta.version
        if self._known[0] != version:  # a snapshot never changes under its version
            snapshot = self.snapshot()
            assert snapshot is not None
            names = snapshot.signed.meta.items()
            self._known = version, {name.removesuffix(".json"): meta.version for name, meta in names}
        return dict(self._known[1])

    def need(self, name: str) -> Targets:
        """The payload of a role in force, to be changed.

        Raises:
            InputError: There is none.
        """
        found = self.role(name)
        if found is None:
            expected = "a role that was made; run: catchment-hq updates ceremony, or updates add-publisher"
            raise InputError([Problem("updates", "role", name, expected)])
        return found.signed

    def live_roles(self) -> list[str]:
        """Roles that somebody delegates to: without publishers that were revoked."""
        targets = self.role("targets")
        delegated = (
            set()
            if targets is None or targets.signed.delegations is None
            else {*(targets.signed.delegations.roles or {})}
        )
        return [
            name
            for name in self.versions()
            if name == "targets" or name in delegated or name.startswith(f"{BIN_PREFIX}-")
        ]

    def authorities(self, role: str, changed: Mapping[str, Targets] | None = None) -> list[Delegator]:
        """Who says which keys count for a role: after a change of these payloads."""
        if role in TOP:
            roots = (self.root(), self.staged_root())
            return [root.signed for root in roots if root is not None]
        parent = DIRECTOR if role.startswith(f"{BIN_PREFIX}-") else "targets"
        if changed is not None and parent in changed:
            return [changed[parent]]
        found = self.role(parent)
        return [] if found is None else [found.signed]

    # -- another state ---------------------------------------------------------------------

    def store_target(self, source: Path, path: str) -> TargetFile:
        """Copy a file to where it will be served; nothing refers to it yet.

        Raises:
            InputError: It is not there, or larger than a target may be.
            StoreError: The disk failed.
        """
        try:
            with source.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").digest()
            length = source.stat().st_size
        except OSError as error:
            raise InputError([Problem(str(source), "", error.strerror or "", "a readable file")]) from error
        if length > limits.TARGET_BYTES_MAX:
            expected = f"at most {limits.TARGET_BYTES_MAX} bytes"
            raise InputError([Problem(str(source), "", f"{length} bytes", expected)])
        place = self.public / hash_named(path, sha256)
        if not place.exists():
            self.disk.copy(source, place)
        return TargetFile(length, {"sha256": sha256.hex()}, path)

    def store_bytes(self, data: bytes, path: str) -> TargetFile:
        """The same for a small target in memory."""
        sha256 = hashlib.sha256(data).digest()
        place = self.public / hash_named(path, sha256)
        if not place.exists():
            self.disk.put(place, data)
        return TargetFile(len(data), {"sha256": sha256.hex()}, path)

    def release(
        self,
        changed: Mapping[str, Targets],
        keys: KeyRing,
        ready: Mapping[str, Metadata[Targets]] | None = None,
    ) -> None:
        """Bring changed roles into force, all at once.

        Args:
            changed: Payloads by role; version and expiry are set here, then they are signed.
            keys: What to sign with.
            ready: Roles that were signed elsewhere, verified by who calls.

        Raises:
            InputError: A key is not at hand; nothing was changed.
            StoreError: The disk failed; what was in force stays so.
        """
        ready = ready or {}
        signed: dict[str, Metadata[Targets]] = {}
        for role, payload in changed.items():
            self._date(role, payload)
            signed[role] = self._sign(role, payload, keys, self.authorities(role, changed))
        snapshot, timestamp = self.snapshot(), self.timestamp()
        listing = Snapshot() if snapshot is None else snapshot.signed
        files = {role: metadata.to_bytes(_SERIALIZER) for role, metadata in {**signed, **ready}.items()}
        for role, metadata in {**signed, **ready}.items():
            listing.meta[f"{role}.json"] = _listed_as(role, metadata.signed.version, files[role])
        self._date("snapshot", listing)
        listed = self._sign("snapshot", listing, keys, self.authorities("snapshot")).to_bytes(_SERIALIZER)
        stamp = Timestamp() if timestamp is None else timestamp.signed
        stamp.snapshot_meta = MetaFile(
            listing.version, len(listed), {"sha256": hashlib.sha256(listed).hexdigest()}
        )
        stamp.version = 1 if timestamp is None else stamp.version + 1
        stamp.expires = self.expiry("timestamp")
        stamp.unrecognized_fields[ISSUED] = int(self.now())
        root = self.root()
        stamp.unrecognized_fields[ROOT] = 0 if root is None else root.signed.version
        stamped = self._sign("timestamp", stamp, keys, self.authorities("timestamp"))
        for role, metadata in {**signed, **ready}.items():
            self._put(f"{metadata.signed.version}.{role}.json", files[role])
        self._put(f"{listing.version}.snapshot.json", listed)
        self._put("timestamp.json", stamped.to_bytes(_SERIALIZER))

    def stage_root(self, root: Root) -> None:
        """Keep a root that waits for signatures; those that an earlier draft had are void."""
        self.write_staged(Metadata(root))

    def write_staged(self, root: Metadata[Root]) -> None:
        """Keep the root that waits, with the signatures that it has."""
        self.disk.put(self.staging / "root.json", root.to_bytes(_SERIALIZER))

    def publish_root(self, root: Metadata[Root]) -> None:
        """Bring a root into force. Whoever calls has seen to its signatures, and to those of rule 3."""
        self._put(f"{root.signed.version}.root.json", root.to_bytes(_SERIALIZER))
        self.disk.remove(self.staging / "root.json")

    def next_version(self, role: str) -> int:
        """A version that was never given, whether or not it came into force."""
        return 1 + max([0, self.versions().get(role, 0), *self._versions(role)])

    def prune(self, keep_s: float) -> int:
        """Remove metadata and targets that are no longer in force and older than `keep_s`.

        Roots stay: a client that was away walks them one by one.

        Returns:
            How many files went.
        """
        snapshot = self.snapshot()
        if snapshot is None:
            return 0
        current = {f"{version}.{role}.json" for role, version in self.versions().items()}
        current |= {"timestamp.json", f"{snapshot.signed.version}.snapshot.json"}
        files = [
            f for f in self._metadata.iterdir() if f.name not in current and not f.name.endswith(".root.json")
        ]
        used = {self.public / hash_named(path, sha256) for path, sha256 in self._listed()}
        files += [
            file for file in (self.public / "targets").rglob("*") if file.is_file() and file not in used
        ]
        gone = 0
        for file in files:
            if self.now() - file.stat().st_mtime > keep_s:
                self.disk.remove(file)
                gone += 1
        return gone

    def expiry(self, role: str) -> datetime:
        """When a signature that is made now expires."""
        return datetime.fromtimestamp(int(self.now()) + self.terms.valid_days(role) * DAY_S, UTC)

    def days_left(self, signed: Signed) -> float:
        """Until a payload expires; negative when it has."""
        return (signed.expires.timestamp() - self.now()) / DAY_S

    def _listed(self) -> Iterator[tuple[str, bytes]]:
        for role in self.versions():
            found = self.role(role)
            for path, target in {} if found is None else found.signed.targets.items():
                yield path, bytes.fromhex(target.hashes["sha256"])

    def _date(self, role: str, payload: Targets | Snapshot) -> None:
        payload.version = self.next_version(role)
        payload.expires = self.expiry(role)

    def _sign(
        self, role: str, payload: Payload, keys: KeyRing, authorities: list[Delegator]
    ) -> Metadata[Payload]:
        metadata = Metadata(payload)
        signers: dict[str, Any] = {}
        for authority in authorities:
            wanted: Role = authority.get_delegated_role(role)
            found = keys.signers(wanted.keyids)
            if len(found) < wanted.threshold:
                raise _keys_missing(role, wanted, keys)
            signers.update((signer.public_key.keyid, signer) for signer in found)
        for signer in signers.values():
            metadata.sign(signer, append=True)
        return metadata

    def _put(self, name: str, data: bytes) -> None:
        self.disk.put(self._metadata / name, data)

    def _versions(self, role: str) -> list[int]:
        if not self._metadata.is_dir():
            return []
        found = (_VERSIONED.fullmatch(file.name) for file in self._metadata.iterdir())
        return [int(match[1]) for match in found if match and match[2] == role]

    def _read(self, kind: type[Payload], path: Path) -> Metadata[Payload]:
        try:
            metadata = Metadata[Payload].from_bytes(path.read_bytes())
        except (OSError, RepositoryError) as error:
            raise StoreDamagedError(
                f"cannot read {path}: {error!s:.200}; restore it from a backup"
            ) from error
        if metadata.signed.type != kind.type:
            raise StoreDamagedError(f"expected {kind.type} metadata in {path}; restore it from a backup")
        return metadata


def _listed_as(role: str, version: int, data: bytes) -> MetaFile:
    """A role in the snapshot.

    With its hash a stolen key of a publisher is worth nothing without the online keys as well. Of
    bins the version will do: their key is online like the snapshot's, and hashes would make the
    snapshot, which every gateway downloads at every change, three times as large.
    """
    if role.startswith(f"{BIN_PREFIX}-"):
        return MetaFile(version)
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


def _keys_missing(role: str, wanted: Role, keys: KeyRing) -> InputError:
    missing = [keyid for keyid in wanted.keyids if not keys.has(keyid)]
    names = ", ".join(keyid[:16] for keyid in missing)
    elsewhere = "" if role in TOP else ", or have it signed where the key is (--unsigned, --signed)"
    expected = f"{wanted.threshold} of the keys of {role}; say --key FILE for {names}{elsewhere}"
    return InputError(
        [Problem("updates", f"keys of {role}", f"{len(wanted.keyids) - len(missing)}", expected)]
    )
