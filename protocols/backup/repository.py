"""A backup's place, opened: pieces and manifests by name, each proved as it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from protocols import crash
from protocols.backup import keys
from protocols.backup.keys import DESCRIPTION, BackupKey, Description
from protocols.backup.manifest import FOLDER, OBJECTS, Manifest, manifest_name, object_name, parse
from protocols.backup.sealed import DamagedError, open_sealed, seal
from protocols.backup.store import MissingError, ObjectStore
from protocols.errors import InputError, Problem
from protocols.identity import SigningKey


class Unreadable(NamedTuple):
    """A manifest that cannot be read, and why."""

    id: str
    error: DamagedError


class Repository:
    """One node's backup.

    Args:
        store: Where it lies.
        description: What `repository.json` says.
        key: Opens it.
        signers: Whose manifests count; none: those of whoever holds the key.
    """

    def __init__(
        self, store: ObjectStore, description: Description, key: BackupKey, signers: Sequence[bytes] = ()
    ) -> None:
        self.store = store
        self.description = description
        self._key = key
        self._signers = signers

    @classmethod
    def create(cls, store: ObjectStore, node: str, role: str, made: str, key_file: Path | None) -> Repository:
        """Begin a backup at an empty place.

        Args:
            store: The place.
            node: Whose backup.
            role: Its role.
            made: Now, ISO 8601.
            key_file: Where the key is written; `None`: it is sealed by the environment's passphrase.

        Raises:
            InputError: The place has a backup already, or there is no passphrase.
            StoreError: The place or the disk refused.
        """
        try:
            store.get(DESCRIPTION)
        except MissingError:
            pass
        else:
            raise InputError([Problem(store.where, "", "a backup", "an empty place; choose another")])
        given = None if key_file is not None else keys.passphrase()
        if key_file is None and given is None:
            expected = f"a passphrase in {keys.PASSPHRASE}, or in the file that {keys.PASSPHRASE_FILE} names"
            raise InputError([Problem("backup init", "--passphrase", "", expected)])
        description, secret = keys.draw(node, role, made, given)
        if key_file is not None:
            keys.write_key_file(key_file, description, secret)
        key = BackupKey.of(secret)
        store.put(DESCRIPTION, description.pack(key))
        return cls(store, description, key)

    @classmethod
    def open(cls, store: ObjectStore, key_file: Path | None, signers: Sequence[bytes] = ()) -> Repository:
        """Open a backup.

        Raises:
            InputError: There is none, or the key is not its key.
            DamagedError: `repository.json` is not what was written.
            StoreError: The place cannot be read.
        """
        try:
            data = store.get(DESCRIPTION)
        except MissingError as error:
            expected = "a backup; make one with: backup init"
            raise InputError([Problem(store.where, "", "", expected)]) from error
        description = keys.parse_description(data)
        key = keys.unlock(description, key_file)
        description.prove(key, data)
        return cls(store, description, key, signers)

    # -- pieces ------------------------------------------------------------------------------

    def name_of(self, content: bytes) -> str:
        """What a piece is called."""
        return self._key.name_of(content)

    def held(self) -> set[str]:
        """Names of all pieces that are there.

        Raises:
            StoreError: The place cannot be read.
        """
        return {name.rpartition("/")[2] for name in self.store.names(OBJECTS)}

    def put_piece(self, piece: str, content: bytes) -> int:
        """Store a piece; returns how many bytes it took.

        Raises:
            StoreError: The place refused.
        """
        name = object_name(piece)
        data = seal(self._key.sealing, name, content)
        self.store.put(name, data)
        crash.point("backup:after-object")
        return len(data)

    def piece(self, piece: str) -> bytes:
        """A piece, proved.

        Raises:
            DamagedError: It is missing, or not what was written.
            StoreError: The place cannot be read.
        """
        name = object_name(piece)
        content = self._open(name)
        if self._key.name_of(content) != piece:
            raise DamagedError(name, "what is in it has another hash than its name says")
        return content

    # -- manifests ---------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """Names of all runs, the oldest first.

        Raises:
            StoreError: The place cannot be read.
        """
        return sorted(name.rpartition("/")[2] for name in self.store.names(FOLDER))

    def manifest(self, id: str) -> Manifest:
        """One run.

        Raises:
            DamagedError: It is missing, not what was written, or not signed as it must be.
            StoreError: The place cannot be read.
        """
        return parse(id, self._open(manifest_name(id)), self._signers)

    def manifests(self) -> Iterator[Manifest | Unreadable]:
        """All runs, the newest first.

        Raises:
            StoreError: The place cannot be read.
        """
        for id in reversed(self.ids()):
            try:
                yield self.manifest(id)
            except DamagedError as error:
                yield Unreadable(id, error)

    def put_manifest(self, manifest: Manifest, signer: SigningKey) -> None:
        """Store a manifest, after everything that it names.

        Raises:
            StoreError: The place refused.
        """
        crash.point("backup:before-manifest")
        self.store.put(manifest.name, seal(self._key.sealing, manifest.name, manifest.pack(signer)))
        crash.point("backup:after-manifest")

    def delete_manifest(self, id: str) -> None:
        """Forget a run; its pieces stay until `delete_piece`."""
        self.store.delete(manifest_name(id))

    def delete_piece(self, piece: str) -> None:
        """Remove a piece."""
        self.store.delete(object_name(piece))

    def _open(self, name: str) -> bytes:
        try:
            data = self.store.get(name)
        except MissingError as error:
            raise DamagedError(name, "it is not there") from error
        return open_sealed(self._key.sealing, name, data)
