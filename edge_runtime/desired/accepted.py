"""The document that a gateway has accepted, sealed with the gateway's own key.

What may be written to devices (grants) is decided by it. It was verified against the update
repository when it came; afterwards the seal says that it is still the same, without the
repository's metadata, which may have expired while headquarters was dark. Whoever can write
files here, but not read the gateway's private keys, cannot make one.

1. A gateway with such a file is *managed*, and so is one that enrolled and has none yet: grants count
   only when its document has them, those of apps and those of commands.
2. A file whose seal does not hold grants nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_runtime.desired import ACCEPTED
from protocols.batch import Signer, Verifier
from protocols.desired import Document, Grant, parse_document
from protocols.errors import PeerError
from protocols.keyfiles import STANDING

ACCEPTED_DOMAIN = b"catchment/accepted/v1\x00"
SIGNATURE_BYTES = 64


def seal(document: Document, signer: Signer) -> bytes:
    """The file's content."""
    packed = document.pack()
    return signer.sign(ACCEPTED_DOMAIN, packed) + packed


def unseal(data: bytes, gateway: str, verifier: Verifier) -> Document | None:
    """The document in a file; `None` when it is not what this gateway sealed."""
    signature, packed = data[:SIGNATURE_BYTES], data[SIGNATURE_BYTES:]
    if not verifier.verify(ACCEPTED_DOMAIN, packed, signature):
        return None
    try:
        document = parse_document(packed)
    except PeerError:
        return None
    return document if document.gateway == gateway else None


def managed(home: Path, gateway: str) -> Document | None:
    """What a gateway has accepted; `None` when it is not managed.

    A file that cannot be trusted, or that an enrolled gateway lacks, counts as a document without items.

    The public key is that of `identity.toml`; the gateway does not start when its private key is
    another one's.

    Raises:
        InputError: The gateway's identity cannot be read.
    """
    path = home / ACCEPTED
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Document(gateway, 0) if (home / STANDING).exists() else None
    except OSError:
        return Document(gateway, 0)
    from protocols.identity import IDENTITY, VerifyKey, read_identities

    verifier = VerifyKey(read_identities(home / IDENTITY)[0].signing)
    return unseal(data, gateway, verifier) or Document(gateway, 0)


def grants_of(document: Document, app: str) -> Mapping[tuple[str, str], Grant]:
    """What a document lets an app write, by instance and output."""
    item = document.by_ref.get(f"app/{app}")
    if item is None or item.app is None:
        return {}
    return {
        (instance, output): grant
        for instance, outputs in item.app.grants.items()
        for output, grant in outputs.items()
    }
