"""Signing keys of the update repository as files: online ones in the home, others to be taken away.

A key file is TOML with the seed of an Ed25519 key, in the clear or sealed by a passphrase
(scrypt, RFC 7914, and ChaCha20-Poly1305, RFC 8439); its mode is 0600. Beside it lies the public
half, `NAME.pub`, to hand to who is asked to trust the key. Seeds are never printed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from securesystemslib.signer import CryptoSigner, SSlibKey

from protocols.durable import remove_durably, write_durably
from protocols.errors import InputError, Problem

SUFFIX, PUBLIC_SUFFIX = ".key", ".pub"

SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 16, 8, 1
"""64 MiB and about 0.2 s: a passphrase is tried a few times a second, not millions."""

SCRYPT_N_MAX = 1 << 20

_ASSOCIATED = b"catchment/update-key/1"

Passphrase = Callable[[Path], str | None]
"""Asks for the passphrase of a key file; `None` when nobody can say."""


def no_passphrase(path: Path) -> str | None:
    """For programs in which nobody can be asked."""
    return None


class KeyPair:
    """An Ed25519 key in memory.

    Args:
        seed: Its private half, 32 bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self.signer = CryptoSigner(Ed25519PrivateKey.from_private_bytes(seed))
        public = self.signer.public_key
        assert isinstance(public, SSlibKey)
        self.public = public
        self.keyid: str = public.keyid

    def __repr__(self) -> str:
        return f"KeyPair({self.keyid[:16]}, private part not shown)"

    @classmethod
    def new(cls) -> KeyPair:
        """Draw a new one; nothing is written."""
        return cls(os.urandom(32))


def write_key(path: Path, label: str, key: KeyPair, passphrase: str | None = None) -> None:
    """Write a key, and its public half beside it.

    Args:
        path: The key's file; it must not be there yet.
        label: What the key is for, in a word.
        key: The key.
        passphrase: Seals the file, if given.

    Raises:
        InputError: The file is there.
        StoreError: The disk failed.
    """
    if path.exists():
        raise InputError([Problem(str(path), "", "a file", "no file yet; nothing was overwritten")])
    lines = [f'label = "{label}"', f'public = "{key.public.keyval["public"]}"']
    if passphrase is None:
        lines.append(f'seed = "{key.seed.hex()}"')
    else:
        salt, nonce = os.urandom(16), os.urandom(12)
        sealed = ChaCha20Poly1305(_stretch(passphrase, salt, SCRYPT_N)).encrypt(nonce, key.seed, _ASSOCIATED)
        lines += [
            f"scrypt_n = {SCRYPT_N}",
            f'salt = "{salt.hex()}"',
            f'nonce = "{nonce.hex()}"',
            f'sealed = "{sealed.hex()}"',
        ]
    text = f"# The secret key {key.keyid[:16]}. Who has it can sign in its name.\n" + "\n".join(lines) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, text, 0o600)
    write_durably(path.with_suffix(PUBLIC_SUFFIX), public_text(label, key.public))


def public_text(label: str, key: SSlibKey) -> str:
    """The public half as a file."""
    return f'label = "{label}"\nkeyid = "{key.keyid}"\npublic = "{key.keyval["public"]}"\n'


def read_public(path: Path) -> SSlibKey:
    """The public half in a `.pub` file.

    Raises:
        InputError: It is none.
    """
    table = _read(path)
    public = _hex(path, table, "public", 32)
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public))


def read_key(path: Path, passphrase: Passphrase = no_passphrase) -> KeyPair:
    """The key in a file.

    Raises:
        InputError: It is no key file, others can read it, or the passphrase is wrong.
    """
    table = _read(path)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise InputError([Problem(str(path), "permissions", oct(mode), "0600; run: chmod 600 on the file")])
    seed = _unseal(path, table, passphrase) if "sealed" in table else _hex(path, table, "seed", 32)
    key = KeyPair(seed)
    if key.public.keyval["public"] != table.get("public"):
        raise InputError(
            [Problem(str(path), "public", str(table.get("public")), "the public half of the seed")]
        )
    return key


def is_sealed(path: Path) -> bool:
    """Whether a key file wants a passphrase.

    Raises:
        InputError: It is no key file.
    """
    return "sealed" in _read(path)


class KeyRing:
    """The keys at hand: those in the home, and those that a holder brought.

    Args:
        folder: The online keys, one file each.
        given: Further key files, named on the command line.
        passphrase: Asked for sealed files among the given.

    Raises:
        InputError: A file is no key file.
    """

    def __init__(
        self, folder: Path, given: Iterable[Path] = (), passphrase: Passphrase = no_passphrase
    ) -> None:
        self.folder = folder
        self._files: dict[str, Path] = {}
        self._keys: dict[str, KeyPair] = {}
        for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else ():
            if not is_sealed(path):
                key = read_key(path)
                self._files[key.keyid] = path
                self.hold(key)
        for path in given:
            self.hold(read_key(path, passphrase))

    def hold(self, key: KeyPair) -> None:
        """Have a key at hand, without writing it."""
        self._keys[key.keyid] = key

    def add(self, label: str, key: KeyPair) -> None:
        """Keep a key in the home.

        Raises:
            StoreError: The disk failed.
        """
        path = self.folder / f"{label}-{key.keyid[:8]}{SUFFIX}"
        write_key(path, label, key)
        remove_durably(path.with_suffix(PUBLIC_SUFFIX))
        self._files[key.keyid] = path
        self.hold(key)

    def made_here(self, label: str) -> KeyPair | None:
        """The key of the home with this label, if there is just one."""
        found = [keyid for keyid, path in self._files.items() if path.stem.rpartition("-")[0] == label]
        return self._keys[found[0]] if len(found) == 1 else None

    def drop_but(self, keyids: Iterable[str], labels: Iterable[str]) -> list[str]:
        """Delete keys of the home that no role has any more, among those that were made here.

        Args:
            keyids: Those still in use.
            labels: Of keys that are made here; what a person put here is left.

        Returns:
            The names of the files that went.
        """
        wanted, made = set(keyids), set(labels)
        names = []
        for keyid in [keyid for keyid in self._files if keyid not in wanted]:
            path = self._files[keyid]
            if path.stem.rpartition("-")[0] not in made:
                continue
            del self._files[keyid]
            self._keys.pop(keyid, None)
            remove_durably(path)
            names.append(path.name)
        return names

    def signers(self, keyids: Iterable[str]) -> list[CryptoSigner]:
        """Those of these keys that are at hand."""
        return [self._keys[keyid].signer for keyid in keyids if keyid in self._keys]

    def has(self, keyid: str) -> bool:
        """Whether a key is at hand."""
        return keyid in self._keys


def _stretch(passphrase: str, salt: bytes, n: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=SCRYPT_R, p=SCRYPT_P).derive(passphrase.encode())


def _unseal(path: Path, table: dict[str, Any], passphrase: Passphrase) -> bytes:
    n = table.get("scrypt_n")
    if type(n) is not int or not 2 <= n <= SCRYPT_N_MAX or n & (n - 1):
        raise InputError([Problem(str(path), "scrypt_n", str(n), f"a power of two up to {SCRYPT_N_MAX}")])
    salt, nonce = _hex(path, table, "salt", 16), _hex(path, table, "nonce", 12)
    sealed = _hex(path, table, "sealed", 48)
    said = passphrase(path)
    if said is None:
        expected = "its passphrase: this key is sealed; run the command where it can be typed"
        raise InputError([Problem(str(path), "", "nothing", expected)])
    try:
        return ChaCha20Poly1305(_stretch(said, salt, n)).decrypt(nonce, sealed, _ASSOCIATED)
    except InvalidTag as error:
        raise InputError(
            [Problem(str(path), "", "a wrong passphrase", "the one it was sealed with")]
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError([Problem(str(path), "", "", "a key file")]) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError([Problem(str(path), "", f"{error!s:.120}", "a readable key file")]) from error


def _hex(path: Path, table: dict[str, Any], name: str, size: int) -> bytes:
    text = table.get(name)
    try:
        found = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        found = b""
    if len(found) != size:
        shown = str(text) if name == "public" else type(text).__name__
        raise InputError([Problem(str(path), name, shown, f"{2 * size} hexadecimal digits")])
    return found
