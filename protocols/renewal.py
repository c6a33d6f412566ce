"""A node renews its certificate by itself, and makes new keys when it is asked to.

Rules:
1. With a third of its life left, or when its authority was replaced, the node asks for the next
   certificate; again and again, until it has one. A hub that cannot reach headquarters says so, and
   the old one stays in force.
2. For new keys the node writes them beside the old ones first. Whatever is cut after that is taken up
   again with the same keys: headquarters gives the same certificate for them.
3. The new certificate and its keys take effect by one rename (`keyfiles`). Only then, signed by them,
   does the node tell headquarters to forget the old ones.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

from protocols import keyfiles
from protocols.calls import Calls
from protocols.enrolment import (
    Grant,
    Request,
    State,
    open_grant,
    parse_answer,
    sign_renewal,
)
from protocols.errors import InputError, Problem
from protocols.identity import IDENTITY, LINK_KEY, SIGNING_KEY, Identity, NewKeys, PublicIdentity
from protocols.keyfiles import CERTIFICATE, FORMER_KEY, ROOT, STANDING
from protocols.standing import OwnStanding, note_confirmed, read_standing


class Step(Enum):
    """What came of a step."""

    NOTHING = 0
    """Nothing was due."""
    WAITING = 1
    """Headquarters is out of reach; ask again."""
    CONFIRMED = 2
    """Headquarters knows that the new certificate is in use."""
    RENEWED = 3
    """A new certificate for the same keys is in force."""
    ROTATED = 4
    """New keys are in force: begin anew with them."""


class Renewal:
    """Renews the certificate of one home.

    Args:
        home: The node's home directory.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def is_due(self, now: float, rotate: bool, renew: bool = False) -> bool:
        """Whether there is something to do.

        Args:
            now: Seconds since 1970.
            rotate: Whether headquarters asks for new keys.
            renew: Whether a new certificate is wanted before it is time.

        Raises:
            InputError: The file beside the certificate is damaged.
        """
        standing = read_standing(self._home)
        if standing is None:
            return False
        wanted = rotate or renew or are_drawn(self._home)
        return not standing.confirmed or wanted or now >= standing.renew_at

    def step(self, calls: Calls, now: float, rotate: bool, renew: bool = False) -> Step:
        """Do what is due.

        Args:
            calls: The upstream.
            now: Seconds since 1970.
            rotate: Whether headquarters asks for new keys.
            renew: Whether a new certificate is wanted before it is time.

        Raises:
            CallRefusedError: Headquarters does not renew it.
            CallTimeoutError: No answer came.
            PeerError: The answer does not hold.
            InputError: The keys cannot be read.
            StoreError: The disk failed; the old certificate or the new one is in force.
        """
        if not self.is_due(now, rotate, renew):
            return Step.NOTHING
        standing = read_standing(self._home)
        assert standing is not None, "what is due has a certificate"
        identity = Identity.load(self._home)
        if not standing.confirmed:
            return self._confirm(calls, identity, standing, now)
        keys = next_keys(self._home, identity.public) if rotate or are_drawn(self._home) else None
        wanted = identity if keys is None else keys.identity
        request = Request(wanted.public, now, os.urandom(16), serial=standing.serial)
        argument = sign_renewal(request, identity.signing, wanted.signing)
        state, _, signed = parse_answer(calls.call("renew", argument))
        if state is State.PENDING:
            return Step.WAITING
        grant = open_grant(signed, request.pack(), root_hash(self._home), now, standing.generation)
        files = grant_files(grant)
        if keys is None:  # half a set of keys may be left of a drawing that was cut
            keyfiles.discard_next(self._home)
        else:
            files |= switched_files(self._home, wanted.public)
        keyfiles.place_next(self._home, files)
        keyfiles.switch(self._home)
        return Step.RENEWED if keys is None else Step.ROTATED

    def _confirm(self, calls: Calls, identity: Identity, standing: OwnStanding, now: float) -> Step:
        request = Request(identity.public, now, os.urandom(16), serial=standing.serial, confirms=True)
        state, _, _ = parse_answer(
            calls.call("renew", sign_renewal(request, identity.signing, identity.signing))
        )
        if state is State.PENDING:
            return Step.WAITING
        note_confirmed(self._home, standing)
        return Step.CONFIRMED


SIGNING_KEY_NAME = Path(SIGNING_KEY).name
LINK_KEY_NAME = Path(LINK_KEY).name


def are_drawn(home: Path) -> bool:
    """Whether new keys were drawn that are not in force yet."""
    return keyfiles.read_next(home, LINK_KEY_NAME) is not None


def next_keys(home: Path, public: PublicIdentity) -> NewKeys:
    """The new keys that were drawn before, or others, written beside those in force.

    Args:
        home: The node's home directory.
        public: Who the node is.

    Raises:
        InputError: They are damaged, or the passphrase that seals them is missing.
        StoreError: The disk failed.
    """
    folder = home / keyfiles.NEXT
    if are_drawn(home):
        seed = keyfiles.read_private(folder / SIGNING_KEY_NAME)
        secret = keyfiles.read_private(folder / LINK_KEY_NAME)
        try:
            return NewKeys.read(public, seed, secret)
        except ValueError as error:
            expected = "the keys that were drawn; remove the folder to draw others"
            raise InputError([Problem(str(folder), "", "damaged keys", expected)]) from error
    sealed = keyfiles.is_sealed(home / SIGNING_KEY)
    passphrase = keyfiles.required_passphrase(str(home / SIGNING_KEY)) if sealed else None
    keys = NewKeys.draw(public.id, public.role, public.site)
    texts = keys.files(passphrase)
    # The link key comes last: with it, the new keys are there whole.
    for name in (SIGNING_KEY_NAME, LINK_KEY_NAME):
        keyfiles.place_next(home, {name: texts[name]})
    return keys


def grant_files(grant: Grant, confirmed: bool = False, token: str = "") -> dict[str, str]:
    """The files of a grant that was verified, by name: certificate, root and standing.

    Args:
        grant: What came.
        confirmed: Whether headquarters knows that it is in use.
        token: The id of the token that it was given for, hexadecimal; empty for a renewal.
    """
    from protocols import certificates

    node, authority = certificates.parse(grant.chain[0]), certificates.parse(grant.chain[1])
    standing = OwnStanding(
        node.serial,
        node.not_before,
        node.not_after,
        authority.key.hex(),
        authority.generation or 0,
        confirmed,
        token,
    )
    return {
        Path(CERTIFICATE).name: certificates.to_pem(grant.chain),
        Path(ROOT).name: certificates.to_pem([grant.root]),
        Path(STANDING).name: standing.text(),
    }


def switched_files(home: Path, wanted: PublicIdentity) -> dict[str, str]:
    """What is switched with new keys, by name: who the node is, and of a station the link key it had.

    Whoever knows a station by its old key learns the new ones behind that door (`protocols.calls.former`).

    Raises:
        InputError: The key that is replaced cannot be read.
    """
    files = {IDENTITY: wanted.to_toml()}
    if wanted.role != "gateway":
        files[Path(FORMER_KEY).name] = keyfiles.stored_private(home / LINK_KEY)
    return files


def root_hash(home: Path) -> bytes:
    """SHA-256 of the root certificate that a home trusts.

    Raises:
        InputError: It is missing or damaged.
    """
    import hashlib

    return hashlib.sha256(keyfiles.read_root(home)).digest()
