"""New keys for headquarters itself: the identity that signs receipts and commands, and its link key.

Rules:
1. Nodes take other keys of headquarters only from an authority of a higher generation
   (`protocols.stations`): so these are drawn together with a new authority, which takes the root's key.
2. The new keys take effect by one rename; cut before it the old ones are in force, and the same command
   does all of it again.
3. What the old keys signed stays in the ledger and is verified for ever; they sign nothing more.
"""

from __future__ import annotations

from pathlib import Path

from headquarters.security.registry import AuditRow, KeyState, Registry
from protocols import keyfiles
from protocols.enrolment import fingerprint
from protocols.identity import SIGNING_KEY, Identity, NewKeys, PublicIdentity
from protocols.renewal import switched_files


def draw(home: Path, registry: Registry, operator: str, now: float) -> PublicIdentity:
    """Give headquarters new keys; the old ones are out of force from its next start on.

    Args:
        home: The home of headquarters, which does not run.
        registry: Its register.
        operator: Who decides, for the audit.
        now: Seconds since 1970.

    Returns:
        Who it is now.

    Raises:
        InputError: The keys cannot be read, or their passphrase is missing.
        StoreError: The disk failed; the old keys or the new ones are in force.
    """
    old = Identity.load(home).public
    sealed = keyfiles.is_sealed(home / SIGNING_KEY)
    passphrase = keyfiles.required_passphrase(str(home / SIGNING_KEY)) if sealed else None
    drawn = NewKeys.draw(old.id, old.role, old.site)
    new = drawn.identity.public
    keyfiles.discard_next(home)
    keyfiles.place_next(home, {**drawn.files(passphrase), **switched_files(home, new)})
    keyfiles.switch(home)
    with registry.change():
        for row in registry.keys_of(old.id):
            if row.state is not KeyState.REVOKED:
                registry.move_keys(row.serial, KeyState.REVOKED, now)
        registry.audit(AuditRow(now, "headquarters-rekeyed", old.id, operator, fingerprint(new)))
    return new
