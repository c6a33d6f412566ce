"""The root of the update repository: the ceremony that makes it, and every later version.

A root version counts when as many holders signed it as the threshold says, of the root before
it and of itself. Holders come one after the other, each with a key file; between them the
root waits in `staging/`. Meanwhile what the roles of the root sign is signed for both roots.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

from securesystemslib.signer import SSlibKey
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    Root,
    RootVerificationResult,
    SuccinctRoles,
    Targets,
)

from headquarters.updates.keyfile import KeyPair, KeyRing
from headquarters.updates.repository import ROOT, TOP, Repository
from protocols.errors import InputError, Problem
from protocols.updates.names import BIN_PREFIX, CONFIG, DIRECTOR, FIRMWARE, patterns_of

ONLINE = ("snapshot", "timestamp", DIRECTOR, CONFIG)
"""Roles whose keys are made in the home; `config` may be taken away like any other."""

BIN_BITS = 6
"""64 bins: with 1,000 gateways a change costs each 2.2 kB of snapshot and 2.5 kB of bin, the least
of all powers of two (16: 9.8 kB, 1,024: 31 kB, one role for all: 70 kB)."""

STAGED_TARGETS = "targets.json"

HOLDERS_MAX = 9


def begin(
    repository: Repository,
    keys: KeyRing,
    holders: Sequence[SSlibKey],
    threshold: int,
    targets_key: SSlibKey,
    firmware_key: SSlibKey,
) -> None:
    """Make the first root, and everything below it; the root waits for signatures.

    Args:
        repository: An empty one.
        keys: The ring of the home; it must hold the targets and firmware keys for the moment.
        holders: Keys of those who hold the root.
        threshold: How many of them must sign.
        targets_key: The key that says who may publish.
        firmware_key: The key that signs firmware.

    Raises:
        InputError: There is a repository, or the numbers do not fit.
    """
    check_beginning(repository, holders, threshold)
    online = make_online_keys(keys)
    root = Root(version=1, expires=repository.expiry("root"), consistent_snapshot=True)
    for holder in holders:
        root.add_key(holder, "root")
    root.roles["root"].threshold = threshold
    root.add_key(targets_key, "targets")
    root.add_key(online["snapshot"], "snapshot")
    root.add_key(online["timestamp"], "timestamp")
    repository.stage_root(root)
    changed = {
        "targets": _first_targets(
            {DIRECTOR: online[DIRECTOR], CONFIG: online[CONFIG], FIRMWARE: firmware_key}
        ),
        DIRECTOR: _first_director(online[DIRECTOR]),
        CONFIG: Targets(),
        FIRMWARE: Targets(),
    }
    succinct = succinct_roles(changed[DIRECTOR])
    repository.release({**changed, **{name: Targets() for name in succinct.get_roles()}}, keys)


def check_beginning(repository: Repository, holders: Sequence[SSlibKey], threshold: int) -> None:
    """See whether `begin` would do.

    Raises:
        InputError: There is a repository, or the numbers do not fit.
    """
    if repository.root() is not None or repository.snapshot() is not None:
        expected = "no repository yet; for another root version: catchment-hq updates rotate, or sign-root"
        raise InputError([Problem(str(repository.folder), "", "a repository", expected)])
    different = len({key.keyid for key in holders})
    if different != len(holders) or not 1 <= different <= HOLDERS_MAX:
        expected = f"1 to {HOLDERS_MAX} different keys"
        raise InputError([Problem("updates", "holders", f"{len(holders)}, {different} different", expected)])
    if not 1 <= threshold <= different:
        expected = f"1 to {different}, the number of holders"
        raise InputError([Problem("--threshold", "", str(threshold), expected)])


def make_online_keys(keys: KeyRing) -> dict[str, SSlibKey]:
    """The keys that are used without anybody's hand, made where they are missing; by role.

    Raises:
        StoreError: The disk failed.
    """
    online: dict[str, SSlibKey] = {}
    for role in ONLINE:
        key = keys.made_here(role)
        if key is None:
            key = KeyPair.new()
            keys.add(role, key)
        online[role] = key.public
    return online


def succinct_roles(director: Targets) -> SuccinctRoles:
    """The bins of the director."""
    assert director.delegations is not None and director.delegations.succinct_roles is not None
    return director.delegations.succinct_roles


def draft(repository: Repository) -> Root:
    """The root that waits, or a next version of the one in force, with a new expiry.

    Raises:
        InputError: There is none.
    """
    staged, root = repository.staged_root(), repository.root()
    if staged is not None:
        return staged.signed
    if root is None:
        expected = "a root; run: catchment-hq updates ceremony"
        raise InputError([Problem(str(repository.folder), "", "nothing", expected)])
    following = copy.deepcopy(root.signed)
    following.version += 1
    following.expires = repository.expiry("root")
    return following


def sign(repository: Repository, keys: KeyRing, holders: Sequence[KeyPair]) -> RootVerificationResult | None:
    """Add holders' signatures to the root that waits; without one, to a renewal of the one in force.

    Args:
        repository: Where it waits.
        keys: The ring of the home, to sign what a published root takes along.
        holders: The keys that were brought.

    Returns:
        Who signed and who did not, or `None` when the root is published.

    Raises:
        InputError: A key is not a holder's.
    """
    waiting = repository.staged_root() or Metadata(draft(repository))
    before = repository.root()
    known = set(waiting.signed.roles["root"].keyids)
    known |= set() if before is None else set(before.signed.roles["root"].keyids)
    for holder in holders:
        if holder.keyid not in known:
            expected = f"the key of a holder: {', '.join(sorted(keyid[:16] for keyid in known))}"
            raise InputError([Problem("updates", "root key", holder.keyid[:16], expected)])
    for holder in holders:
        waiting.sign(holder.signer, append=True)
    repository.write_staged(waiting)
    result = verification(repository, waiting)
    if not result:
        return result
    publish(repository, keys, waiting)
    return None


def verification(repository: Repository, waiting: Metadata[Root]) -> RootVerificationResult:
    """Who has signed a root that waits."""
    before = repository.root()
    return waiting.signed.get_root_verification_result(
        None if before is None else before.signed, waiting.signed_bytes, waiting.signatures
    )


def publish(repository: Repository, keys: KeyRing, waiting: Metadata[Root]) -> None:
    """Bring a root that holders signed into force, with what its roles signed for it.

    Raises:
        InputError: `targets` is not signed for it.
    """
    if _unsigned(repository, waiting.signed, "targets") and _staged_targets(repository) is None:
        expected = (
            "signatures for the new root: run catchment-hq updates rotate targets again, with both keys"
        )
        raise InputError([Problem("updates", "targets", "signatures for the old root only", expected)])
    if any(_unsigned(repository, waiting.signed, role) for role in ("snapshot", "timestamp")):
        repository.release({}, keys)
    repository.publish_root(waiting)
    complete(repository, keys)


def complete(repository: Repository, keys: KeyRing) -> bool:
    """Finish what a killed change of the root left; then a timestamp tells clients of it.

    Returns:
        Whether there was something to do.
    """
    root = repository.root()
    if root is None or repository.snapshot() is None:
        return False
    ready = {}
    staged = _staged_targets(repository)
    if staged is not None and _unsigned(repository, root.signed, "targets"):
        root.signed.verify_delegate("targets", staged.signed_bytes, staged.signatures)
        ready["targets"] = staged
    leftover = repository.staging / "root.json"
    stale = leftover.exists() and repository.staged_root() is None
    surplus = repository.staged_root() is None and any(
        set(metadata.signatures) - set(root.signed.roles[role].keyids)
        for role, metadata in (("timestamp", repository.timestamp()), ("snapshot", repository.snapshot()))
        if metadata is not None
    )
    behind = any(_unsigned(repository, root.signed, role) for role in ("snapshot", "timestamp"))
    told = repository.timestamp()
    untold = told is not None and told.signed.unrecognized_fields.get(ROOT) != root.signed.version
    if not (ready or stale or surplus or behind or untold):
        return False
    repository.release({}, keys, ready)
    if ready:
        repository.disk.remove(repository.staging / STAGED_TARGETS)
    if stale:
        repository.disk.remove(leftover)
    return True


def keyids_in_use(repository: Repository) -> set[str]:
    """Keys of roles that count, or will count when the root that waits is published."""
    used: set[str] = set()
    for metadata in (repository.root(), repository.staged_root()):
        if metadata is not None:
            used |= set(metadata.signed.keys)
    for role in ("targets", DIRECTOR):
        found = repository.role(role)
        if found is not None and found.signed.delegations is not None:
            used |= set(found.signed.delegations.keys)
    return used


def rotate_top(
    repository: Repository, keys: KeyRing, role: str, new: SSlibKey, *, old_is_lost: bool = False
) -> None:
    """Give `targets`, `snapshot` or `timestamp` another key: a root version that waits for signatures.

    Args:
        repository: Where.
        keys: Must hold the new key, and, unless it is lost, the old one.
        role: Which.
        new: The new key.
        old_is_lost: Only for `targets`: it is signed with the new key alone, and comes into force
            right after the root does. Until then nothing that needs the old key can be changed.

    Raises:
        InputError: A key is not at hand.
    """
    assert role in TOP
    root = draft(repository)
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    root.add_key(new, role)
    if role == "targets" and old_is_lost:
        payload = repository.need("targets")
        payload.version = repository.next_version("targets")
        payload.expires = repository.expiry("targets")
        metadata = Metadata(payload)
        for signer in keys.signers([new.keyid]):
            metadata.sign(signer, append=True)
        root.verify_delegate("targets", metadata.signed_bytes, metadata.signatures)
        repository.disk.put(repository.staging / STAGED_TARGETS, metadata.to_bytes())
        repository.stage_root(root)
        return
    if role == "targets":
        _both_at_hand(repository, keys, new)
    repository.stage_root(root)
    changed = {"targets": repository.need("targets")} if role == "targets" else {}
    repository.release(changed, keys)


def rotate_holder(repository: Repository, old_keyid: str, new: SSlibKey) -> None:
    """Put another holder in the place of one: a root version that waits for signatures.

    Raises:
        InputError: There is no such holder, or there is the new one already.
    """
    root = draft(repository)
    holders = root.roles["root"].keyids
    found = [keyid for keyid in holders if keyid.startswith(old_keyid)]
    if len(found) != 1 or len(old_keyid) < 8:
        expected = f"the beginning of one of {', '.join(keyid[:16] for keyid in holders)}"
        raise InputError([Problem("updates", "holder", old_keyid, expected)])
    if new.keyid in holders:
        raise InputError([Problem("updates", "new holder", new.keyid[:16], "a key that is no holder's yet")])
    root.revoke_key(found[0], "root")
    root.add_key(new, "root")
    repository.stage_root(root)


def _both_at_hand(repository: Repository, keys: KeyRing, new: SSlibKey) -> None:
    root = repository.root()
    wanted = [] if root is None else root.signed.roles["targets"].keyids
    if not keys.signers(wanted) or not keys.has(new.keyid):
        expected = "the old and the new key: --key OLD; if the old one is lost, say --lost"
        raise InputError([Problem("updates", "keys of targets", "not both", expected)])


def _unsigned(repository: Repository, root: Root, role: str) -> bool:
    metadata: Metadata[Targets] | Metadata[Root] | object | None = {
        "targets": lambda: repository.role("targets"),
        "snapshot": repository.snapshot,
        "timestamp": repository.timestamp,
    }[role]()
    assert isinstance(metadata, Metadata)
    return not root.get_verification_result(role, metadata.signed_bytes, metadata.signatures)


def _staged_targets(repository: Repository) -> Metadata[Targets] | None:
    path: Path = repository.staging / STAGED_TARGETS
    return Metadata[Targets].from_file(str(path)) if path.exists() else None


def _first_targets(delegates: dict[str, SSlibKey]) -> Targets:
    targets = Targets()
    roles = {
        name: DelegatedRole(name, [key.keyid], 1, terminating=True, paths=patterns_of(name))
        for name, key in delegates.items()
    }
    targets.delegations = Delegations({key.keyid: key for key in delegates.values()}, roles)
    return targets


def _first_director(key: SSlibKey) -> Targets:
    director = Targets()
    succinct = SuccinctRoles([key.keyid], 1, BIN_BITS, BIN_PREFIX)
    director.delegations = Delegations({key.keyid: key}, succinct_roles=succinct)
    return director
