"""What headquarters publishes: targets, publishers that may, and the director's documents.

A key that is not at hand is no obstacle: what has to be signed is written to a file
(`unsigned`), signed where the key is (`sign_file`), and taken in again (`take_signed`), after
it was verified as a gateway will verify it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from headquarters.updates.keyfile import KeyPair, KeyRing
from headquarters.updates.repository import Repository
from headquarters.updates.roots import succinct_roles
from protocols.batch import is_name
from protocols.errors import InputError, MalformedError, Problem
from protocols.updates.names import (
    BIN_PREFIX,
    CONFIG,
    DIRECTOR,
    FIRMWARE,
    PUBLISHER_PREFIX,
    desired_path,
    hash_named,
    patterns_of,
    publisher_role,
    role_of,
)


@dataclass(frozen=True, slots=True)
class Published:
    """A target in force.

    Args:
        path: Where desired documents find it.
        role: Who signs for it.
        sha256: Its hash.
        length: Its bytes.
    """

    path: str
    role: str
    sha256: bytes
    length: int

    def to_json(self) -> dict[str, object]:
        """As commands print it."""
        return {"path": self.path, "role": self.role, "sha256": self.sha256.hex(), "length": self.length}


def add(repository: Repository, keys: KeyRing, file: Path, path: str) -> Published:
    """Publish a file.

    Args:
        repository: Where.
        keys: Must hold the key of the role that signs for the path.
        file: The file; it is copied.
        path: Where desired documents will find it.

    Raises:
        InputError: No such file, no such role, a path that is taken by another file, or no key.
        StoreError: The disk failed; what was in force stays so.
    """
    role = signing_role(path)
    payload = _payload(repository, role, path)
    target = repository.store_target(file, path)
    known = payload.targets.get(path)
    if known is None or known != target:
        _refuse_other(known, target)
        payload.targets[path] = target
        repository.release({role: payload}, keys)
    return _published(role, target)


def remove(repository: Repository, keys: KeyRing, path: str) -> None:
    """Take a target back: nobody may install it any more.

    Raises:
        InputError: It is not there, or the key is not at hand.
        StoreError: The disk failed; what was in force stays so.
    """
    role = signing_role(path)
    payload = _payload(repository, role, path)
    if path not in payload.targets:
        raise InputError(
            [Problem("updates", "path", path, "a target in force; see: catchment-hq updates list")]
        )
    del payload.targets[path]
    repository.release({role: payload}, keys)


def unsigned(repository: Repository, path: str, file: Path | None) -> bytes:
    """The next metadata of a role, to be signed elsewhere: with a file at a path, or (`None`) without it.

    Raises:
        InputError: No such role or file.
    """
    role = signing_role(path)
    payload = _payload(repository, role, path)
    if file is None:
        payload.targets.pop(path, None)
    else:
        known, target = payload.targets.get(path), TargetFile.from_file(path, str(file), ["sha256"])
        if known != target:
            _refuse_other(known, target)
        payload.targets[path] = target
    payload.version = repository.next_version(role)
    payload.expires = repository.expiry(role)
    return Metadata(payload).to_bytes(JSONSerializer())


def sign_file(path: Path, key: KeyPair) -> bytes:
    """Metadata in a file, with one more signature.

    Raises:
        InputError: It is no metadata.
    """
    metadata = _metadata(path)
    metadata.sign(key.signer, append=True)
    return metadata.to_bytes(JSONSerializer())


def take_signed(
    repository: Repository, keys: KeyRing, role: str, file: Path, targets: Mapping[str, Path]
) -> None:
    """Bring metadata into force that was signed where the role's key is.

    Args:
        repository: Where.
        keys: The ring of the home.
        role: Whose metadata it is.
        file: The metadata.
        targets: Files of targets that are new in it, by path.

    Raises:
        InputError: It is not signed by whom it must be, is no newer than what is in force, signs what
            the role may not sign, or names a file that is neither here nor given.
        StoreError: The disk failed; what was in force stays so.
    """
    metadata = _metadata(file)
    _verify_signed(repository, role, file, metadata)
    for path, target in metadata.signed.targets.items():
        if path in targets:
            stored = repository.store_target(targets[path], path)
            if stored.hashes != target.hashes or stored.length != target.length:
                expected = f"the file that was signed: {target.length} bytes, {target.hashes.get('sha256')}"
                raise InputError([Problem(str(targets[path]), path, stored.hashes["sha256"], expected)])
        elif not (repository.public / hash_named(path, bytes.fromhex(target.hashes["sha256"]))).is_file():
            raise InputError([Problem(str(file), path, target.hashes["sha256"], "the file of it as well")])
    repository.release({}, keys, {role: metadata})


def add_publisher(repository: Repository, keys: KeyRing, name: str, public: SSlibKey) -> None:
    """Let a publisher sign `apps/NAME/*` and `models/NAME/*`.

    Args:
        repository: Where.
        keys: Must hold the key of `targets`; when it holds the publisher's too, the publisher's
            empty list is signed at once, else it comes with the publisher's first target.
        name: The publisher, as it stands in paths.
        public: Its key.

    Raises:
        InputError: The name is wrong or taken, or the key of `targets` is not at hand.
    """
    if not is_name(name):
        raise InputError([Problem("updates", "publisher", name, "a name in lower case, such as 'acme'")])
    role = publisher_role(name)
    targets = repository.need("targets")
    if role in _delegated(targets):
        expected = "a publisher that is not there yet; for another key: catchment-hq updates rotate"
        raise InputError([Problem("updates", "publisher", name, expected)])
    _delegate(targets, role, public)
    changed = {"targets": targets}
    if keys.has(public.keyid):
        changed[role] = Targets()
    repository.release(changed, keys)


def revoke_publisher(repository: Repository, keys: KeyRing, name: str) -> None:
    """Take a publisher's right away: nothing of it is installed any more, anywhere.

    Raises:
        InputError: There is no such publisher, or the key of `targets` is not at hand.
    """
    role = publisher_role(name)
    targets = repository.need("targets")
    if role not in _delegated(targets):
        expected = f"one of {', '.join(publishers(repository)) or 'none'}"
        raise InputError([Problem("updates", "publisher", name, expected)])
    _undelegate(targets, role)
    repository.release({"targets": targets}, keys)


def publishers(repository: Repository) -> list[str]:
    """Who may publish."""
    found = repository.role("targets")
    roles = {} if found is None else _delegated(found.signed)
    return [role.removeprefix(PUBLISHER_PREFIX) for role in roles if role.startswith(PUBLISHER_PREFIX)]


def rotate_delegated(
    repository: Repository, keys: KeyRing, role: str, new: SSlibKey, signed: Path | None = None
) -> None:
    """Give the director, firmware, config or a publisher another key; what they signed is signed anew.

    Args:
        repository: Where.
        keys: Must hold the key of `targets`, and the new key unless `signed` is given.
        role: Which.
        new: The new key.
        signed: The role's next metadata, signed with the new key where it is.

    Raises:
        InputError: There is no such role, or a key is not at hand; nothing was changed.
    """
    targets = repository.need("targets")
    if role not in _delegated(targets):
        expected = f"root, targets, snapshot, timestamp, {DIRECTOR}, {FIRMWARE}, {CONFIG} or a publisher"
        raise InputError([Problem("updates", "KEYROLE", role.removeprefix(PUBLISHER_PREFIX), expected)])
    _undelegate(targets, role)
    _delegate(targets, role, new)
    changed = {"targets": targets}
    ready: dict[str, Metadata[Targets]] = {}
    if signed is not None:
        metadata = _metadata(signed)
        _verify_signed(repository, role, signed, metadata, targets)
        ready[role] = metadata
    elif role == DIRECTOR:
        director = repository.need(DIRECTOR)
        succinct = succinct_roles(director)
        succinct.keyids = [new.keyid]
        director.delegations = Delegations({new.keyid: new}, succinct_roles=succinct)
        changed[DIRECTOR] = director
        changed.update((name, repository.need(name)) for name in succinct.get_roles())
    elif repository.role(role) is not None:
        changed[role] = repository.need(role)
    repository.release(changed, keys, ready)


def direct(
    repository: Repository, keys: KeyRing, documents: Mapping[str, bytes | None]
) -> dict[str, Published]:
    """Say what gateways should be, in one step for all of them.

    Args:
        repository: Where.
        keys: The ring of the home, with the director's key.
        documents: Desired documents by gateway; `None` takes a gateway's away.

    Returns:
        What was published, by gateway.

    Raises:
        InputError: A name is no gateway's, or there is no repository.
        StoreError: The disk failed; what was in force stays so.
    """
    succinct = succinct_roles(repository.need(DIRECTOR))
    bins: dict[str, Targets] = {}
    altered: set[str] = set()
    published: dict[str, Published] = {}
    for gateway, document in documents.items():
        path = desired_path(gateway)
        _role_of(path)
        name = succinct.get_role_for_target(path)
        payload = bins[name] if name in bins else bins.setdefault(name, repository.need(name))
        before = payload.targets.get(path)
        if document is None:
            if payload.targets.pop(path, None) is not None:
                altered.add(name)
            continue
        target = repository.store_bytes(document, path)
        published[gateway] = _published(DIRECTOR, target)
        if before is None or before != target:
            payload.targets[path] = target
            altered.add(name)
    if altered:
        repository.release({name: bins[name] for name in sorted(altered)}, keys)
    return published


def published(repository: Repository) -> list[Published]:
    """Every target in force, sorted by path."""
    found: list[Published] = []
    for name in repository.live_roles():
        metadata = repository.role(name)
        shown = DIRECTOR if name.startswith(f"{BIN_PREFIX}-") else name
        targets: Iterable[TargetFile] = () if metadata is None else metadata.signed.targets.values()
        found += [_published(shown, target) for target in targets]
    return sorted(found, key=lambda each: each.path)


def signing_role(path: str) -> str:
    """Which role signs for a path, where a person names it.

    Raises:
        InputError: None does, or the director does, whose documents are not published by hand.
    """
    role = _role_of(path)
    if role == DIRECTOR:
        expected = "a path of a publisher, firmware or config; the director's come from desired states"
        raise InputError([Problem("updates", "path", path, expected)])
    return role


def _role_of(path: str) -> str:
    try:
        return role_of(path)
    except MalformedError as error:
        raise InputError([Problem("updates", "path", path, str(error).removeprefix("expected "))]) from error


def _payload(repository: Repository, role: str, path: str) -> Targets:
    """The payload of a role that signs for a path: in force, or a first one, also after a revocation."""
    found = repository.role(role)
    targets = repository.need("targets")
    if role not in _delegated(targets):
        publisher = path.split("/")[1] if role.startswith(PUBLISHER_PREFIX) else role
        expected = f"a path of a known publisher; run: catchment-hq updates add-publisher {publisher}"
        raise InputError([Problem("updates", "path", path, expected)])
    if found is None or not targets.get_verification_result(role, found.signed_bytes, found.signatures):
        return Targets()
    return found.signed


def _refuse_other(known: TargetFile | None, target: TargetFile) -> None:
    if known is not None:
        expected = f"another version in the name: {known.hashes['sha256'][:16]} has been published under it"
        raise InputError([Problem("updates", target.path, target.hashes["sha256"][:16], expected)])


def _published(role: str, target: TargetFile) -> Published:
    return Published(target.path, role, bytes.fromhex(target.hashes["sha256"]), target.length)


def _metadata(path: Path) -> Metadata[Targets]:
    try:
        metadata = Metadata[Targets].from_bytes(path.read_bytes())
    except OSError as error:
        raise InputError([Problem(str(path), "", error.strerror or "", "a readable file")]) from error
    except RepositoryError as error:
        raise InputError([Problem(str(path), "", f"{error!s:.120}", "targets metadata of TUF")]) from error
    if metadata.signed.type != "targets":
        raise InputError([Problem(str(path), "_type", metadata.signed.type, "targets")])
    return metadata


def _verify_signed(
    repository: Repository,
    role: str,
    file: Path,
    metadata: Metadata[Targets],
    delegator: Targets | None = None,
) -> None:
    delegator = delegator or repository.need("targets")
    if role not in _delegated(delegator):
        raise InputError([Problem(str(file), "role", role, "a role that targets delegates to")])
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except RepositoryError as error:
        raise InputError([Problem(str(file), "signatures", str(error), f"a signature of {role}")]) from error
    least = repository.next_version(role)
    if metadata.signed.version < least:
        expected = f"{least} at least; sign what --unsigned writes now"
        raise InputError([Problem(str(file), "version", str(metadata.signed.version), expected)])
    left = repository.days_left(metadata.signed)
    if left < repository.terms.window_days:
        expected = f"at least {repository.terms.window_days} days from now"
        raise InputError([Problem(str(file), "expires", f"{left:.0f} days from now", expected)])
    for path, target in metadata.signed.targets.items():
        if signing_role(path) != role or set(target.hashes) != {"sha256"}:
            expected = f"{' or '.join(patterns_of(role))}, with a SHA-256"
            raise InputError([Problem(str(file), "targets", path, expected)])


def _delegated(targets: Targets) -> dict[str, DelegatedRole]:
    delegations = targets.delegations
    return {} if delegations is None or delegations.roles is None else delegations.roles


def _delegate(targets: Targets, role: str, key: SSlibKey) -> None:
    roles = _delegated(targets)
    roles[role] = DelegatedRole(role, [], 1, terminating=True, paths=patterns_of(role))
    targets.add_key(key, role)


def _undelegate(targets: Targets, role: str) -> None:
    for keyid in list(_delegated(targets)[role].keyids):
        targets.revoke_key(keyid, role)
    del _delegated(targets)[role]
