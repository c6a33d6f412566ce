"""Who a node is: its two key pairs, its public identity and the allow-list of its peers.

A node has an Ed25519 key that signs what it says, and a CURVE key that encrypts its
links. `init` makes both; the private files are readable by their owner only and are
refused when they are not. The public half is one small TOML file to hand to peers, who
append it to their allow-list. Nothing here ever prints a private key.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import zmq
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols import keyfiles
from protocols.addresses import is_link
from protocols.batch import is_name
from protocols.durable import write_durably
from protocols.errors import InputError, Problem
from protocols.keyfiles import IDENTITY as IDENTITY
from protocols.keyfiles import LINK_KEY as LINK_KEY
from protocols.keyfiles import SIGNING_KEY as SIGNING_KEY

ROLES = ("gateway", "hub", "headquarters")
LEVEL_OF = {"headquarters": 1, "hub": 2, "gateway": 3}
"""The level of the group that each role works at."""
ALLOW = "allow.toml"


class SigningKey:
    """An Ed25519 private key in memory (RFC 8032)."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id.hex()}, private part not shown)"

    def sign(self, domain: bytes, message: bytes) -> bytes:
        """Ed25519 over `domain + message`; 64 bytes."""
        return self._key.sign(domain + message)


class VerifyKey:
    """An Ed25519 public key."""

    def __init__(self, public: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(public)
        self.public = public
        self.key_id = key_id_of(public)

    def verify(self, domain: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the signature holds; never raises for wrong bytes."""
        try:
            self._key.verify(signature, domain + message)
        except InvalidSignature:
            return False
        return True


def key_id_of(public: bytes) -> bytes:
    """First 8 bytes of the SHA-256 of a public key: how headers name it."""
    return hashlib.sha256(public).digest()[:8]


@dataclass(frozen=True, slots=True)
class LinkKey:
    """A CURVE key pair, Z85-encoded (ZeroMQ RFC 32) as libzmq takes it."""

    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """What a peer may know of a node.

    Args:
        id: The node's name, unique in the group.
        role: `gateway`, `hub` or `headquarters`.
        signing: Ed25519 public key, 32 bytes.
        link: CURVE public key, Z85, 40 characters.
        site: The site a gateway belongs to; empty for others.
    """

    id: str
    role: str
    signing: bytes
    link: bytes
    site: str = ""

    def to_toml(self, table: str = "") -> str:
        """The identity as TOML; `table` puts it under a `[[table]]` heading."""
        heading = f"[[{table}]]\n" if table else ""
        return (
            f'{heading}id = "{self.id}"\nrole = "{self.role}"\nsite = "{self.site}"\n'
            f'signing = "{self.signing.hex()}"\nlink = "{self.link.decode()}"\n'
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's own keys and name."""

    public: PublicIdentity
    signing: SigningKey
    link: LinkKey

    @property
    def id(self) -> str:
        """The node's name."""
        return self.public.id

    @classmethod
    def generate(cls, id: str, role: str, site: str = "") -> Identity:
        """Draw new keys; nothing is written."""
        assert is_name(id) and role in ROLES
        return NewKeys.draw(id, role, site).identity

    @classmethod
    def create(
        cls, home: Path, id: str, role: str, site: str = "", passphrase: str | None = None
    ) -> Identity:
        """Draw new keys and write them under `home`, private files with mode 0600.

        Args:
            home: The node's home directory.
            id: Its name.
            role: `gateway`, `hub` or `headquarters`.
            site: The site of a gateway.
            passphrase: Seals the private keys; `None` leaves them readable by their owner.

        Raises:
            InputError: The name is not allowed, or `home` has keys already.
            StoreError: The disk failed.
        """
        if not is_name(id):
            expected = (
                "lower-case letters, digits, '-', '_' or '.', at most 63, starting with a letter or digit"
            )
            raise InputError([Problem(str(home), "id", id, expected)])
        for name in (SIGNING_KEY, LINK_KEY):
            if (home / name).exists():
                raise InputError(
                    [Problem(str(home / name), "", "a key", "no key yet; choose another directory")]
                )
        drawn = NewKeys.draw(id, role, site)
        keyfiles.discard_next(home)
        keyfiles.place_next(home, drawn.files(passphrase))
        keyfiles.switch(home)
        return drawn.identity

    @classmethod
    def load(cls, home: Path) -> Identity:
        """Read the keys that `create` wrote, or those that took their place since.

        Raises:
            InputError: A file is missing, damaged, or readable by others.
            StoreError: A switch to other keys was cut and cannot be finished.
        """
        keyfiles.finish(home)
        seed = keyfiles.read_private(home / SIGNING_KEY)
        secret = keyfiles.read_private(home / LINK_KEY)
        public = read_identities(home / IDENTITY)[0]
        try:
            signing = SigningKey(bytes.fromhex(seed))
            link = LinkKey(zmq.curve_public(secret.encode()), secret.encode())
        except (ValueError, zmq.ZMQError) as error:
            raise InputError(
                [Problem(str(home / "keys"), "", "damaged keys", "the files that init wrote")]
            ) from error
        if signing.public != public.signing or link.public != public.link:
            place = str(home / IDENTITY)
            raise InputError(
                [Problem(place, "signing, link", public.id, "the public halves of the keys in keys/")]
            )
        return cls(public, signing, link)


@dataclass(frozen=True, slots=True)
class NewKeys:
    """Keys that were just drawn, with what is needed to write them down.

    Args:
        identity: The keys.
        seed: The Ed25519 private key, 32 bytes.
    """

    identity: Identity
    seed: bytes = field(repr=False)

    @classmethod
    def draw(cls, id: str, role: str, site: str = "") -> NewKeys:
        """Draw keys; nothing is written."""
        link_public, link_secret = zmq.curve_keypair()
        seed = os.urandom(32)
        signing = SigningKey(seed)
        public = PublicIdentity(id, role, signing.public, link_public, site)
        return cls(Identity(public, signing, LinkKey(link_public, link_secret)), seed)

    def files(self, passphrase: str | None) -> dict[str, str]:
        """The texts of its files, by name: see `keyfiles.place_next`."""
        secret = self.identity.link.secret.decode()
        return {
            Path(SIGNING_KEY).name: keyfiles.private_text(self.seed.hex(), passphrase),
            Path(LINK_KEY).name: keyfiles.private_text(secret, passphrase),
            IDENTITY: self.identity.public.to_toml(),
        }

    @classmethod
    def read(cls, public: PublicIdentity, seed: str, secret: str) -> NewKeys:
        """Keys from the texts of their files.

        Raises:
            ValueError: They are none.
        """
        signing = SigningKey(bytes.fromhex(seed))
        try:
            link = zmq.curve_public(secret.encode())
        except zmq.ZMQError as error:
            raise ValueError("not a CURVE key") from error
        named = replace(public, signing=signing.public, link=link)
        return cls(Identity(named, signing, LinkKey(link, secret.encode())), bytes.fromhex(seed))


class AllowList:
    """The peers a node listens to, found by link key or by signing key.

    Args:
        identities: Who may connect and sign.
        retired: Whose signatures count as well, for what they signed before.
        limited: Link keys (Z85) of those that may deliver and renew, and nothing else.
    """

    def __init__(
        self,
        identities: Iterable[PublicIdentity],
        retired: Iterable[PublicIdentity] = (),
        limited: Iterable[bytes] = (),
    ) -> None:
        self.identities = tuple(identities)
        self.retired = tuple(retired)
        self._by_link = {identity.link: identity for identity in self.identities}
        self.limited = frozenset(limited)
        signers = [*self.retired, *self.identities]
        self._by_key_id = {key_id_of(identity.signing): identity for identity in signers}
        self._verify = {key_id_of(identity.signing): VerifyKey(identity.signing) for identity in signers}

    @classmethod
    def load(cls, path: Path) -> AllowList:
        """Read an allow-list: `[[node]]` tables as `identity.toml` has them. A missing file allows nobody.

        Raises:
            InputError: The file is not such a list.
        """
        return cls(read_identities(path) if path.exists() else ())

    def by_link(self, link: bytes) -> PublicIdentity | None:
        """Who has this CURVE key (Z85), if allowed."""
        return self._by_link.get(link)

    def is_limited(self, link: bytes) -> bool:
        """Whether this key may deliver and renew only, because its certificate expired."""
        return link in self.limited

    def by_key_id(self, key_id: bytes) -> PublicIdentity | None:
        """Who signs with this key, if allowed."""
        return self._by_key_id.get(key_id)

    def verifier(self, key_id: bytes) -> VerifyKey | None:
        """The signing key with this id, if allowed."""
        return self._verify.get(key_id)


def allow(path: Path, identity: PublicIdentity) -> None:
    """Append a peer to an allow-list file, replacing an entry of the same id.

    Raises:
        InputError: The file is there and is not an allow-list.
        StoreError: It cannot be written.
    """
    others = [known for known in read_identities(path) if known.id != identity.id] if path.exists() else []
    text = "\n".join(known.to_toml("node") for known in [*others, identity])
    write_durably(path, text)


def read_identities(path: Path) -> list[PublicIdentity]:
    """Read one identity, or a list of `[[node]]` tables.

    Raises:
        InputError: With the place of every fault.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError([Problem(str(path), "", "", "the file that init writes")]) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError([Problem(str(path), "", str(error), "a TOML file")]) from error
    tables = document.get("node", [document])
    if not isinstance(tables, list):
        raise InputError([Problem(str(path), "node", str(tables), "[[node]] tables")])
    problems: list[Problem] = []
    identities = [
        _identity(str(path), f"node {i + 1}", table, problems) for i, table in enumerate(tables) if table
    ]
    if problems:
        raise InputError(problems)
    return [identity for identity in identities if identity is not None]


def read_peers(path: Path) -> list[PublicIdentity]:
    """Read what another node handed over: one identity at least.

    Raises:
        InputError: With the place of every fault.
    """
    found = read_identities(path)
    if not found:
        raise InputError([Problem(str(path), "", "nothing", "the identity.toml that the node's init wrote")])
    return found


def _identity(file: str, place: str, table: object, problems: list[Problem]) -> PublicIdentity | None:
    if not isinstance(table, dict):
        problems.append(Problem(file, place, str(table), "a table with id, role, signing and link"))
        return None
    before = len(problems)
    id_, role, site = table.get("id", ""), table.get("role", ""), table.get("site", "")
    signing, link = table.get("signing", ""), table.get("link", "")
    if not isinstance(id_, str) or not is_name(id_):
        problems.append(Problem(file, f"{place}, id", str(id_), "a node name such as 'unit-1'"))
    if role not in ROLES:
        problems.append(Problem(file, f"{place}, role", str(role), " or ".join(ROLES)))
    if not isinstance(site, str) or not (site == "" or is_name(site)):
        problems.append(
            Problem(file, f"{place}, site", str(site), "a site name such as 'plant-a', or nothing")
        )
    if not isinstance(signing, str) or not _is_hex(signing, 32):
        problems.append(Problem(file, f"{place}, signing", str(signing), "64 hexadecimal digits"))
    if not isinstance(link, str) or not is_link(link):
        problems.append(Problem(file, f"{place}, link", str(link), "a CURVE key of 40 Z85 characters"))
    if len(problems) > before:
        return None
    return PublicIdentity(id_, role, bytes.fromhex(signing), link.encode(), site)


def _is_hex(text: str, size: int) -> bool:
    try:
        return len(bytes.fromhex(text)) == size
    except ValueError:
        return False
