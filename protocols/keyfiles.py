"""A node's key files: private ones 0600 and perhaps sealed, and all of them switched by one rename.

Rules:
1. New keys are written beside the old ones (`keys/next/`), flushed, and take effect by the rename of
   that folder to `keys/ready/`. From then on `finish` moves them into place, as often as it takes:
   whoever reads keys calls it first. A cut at any step leaves the old keys or the new ones, whole.
2. What is in `keys/next/` alone has no effect; it is used again by whoever asks for a certificate
   anew, so that an answer that was lost costs nothing.
3. A private file that others may read is refused.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from protocols import sealing
from protocols.durable import make_folder_durably, move_durably, remove_folder_durably, write_durably
from protocols.errors import InputError, Problem

SIGNING_KEY = "keys/signing.key"
LINK_KEY = "keys/link.key"
FORMER_KEY = "keys/former.key"
"""The link key that a station had before: who knows it by that one is told the new ones."""
CERTIFICATE = "keys/certificate.pem"
ROOT = "keys/root.pem"
STANDING = "keys/standing.json"
IDENTITY = "identity.toml"

NEXT = "keys/next"
READY = "keys/ready"

_PLACES = {
    Path(name).name: name
    for name in (SIGNING_KEY, LINK_KEY, FORMER_KEY, CERTIFICATE, ROOT, STANDING, IDENTITY)
}
_PRIVATE = frozenset((Path(SIGNING_KEY).name, Path(LINK_KEY).name, Path(FORMER_KEY).name))


def place_next(home: Path, files: Mapping[str, str]) -> None:
    """Write files beside those in force; nothing changes by it.

    Args:
        home: The node's home directory.
        files: Texts by their file's name, such as `signing.key`.

    Raises:
        StoreError: The disk failed.
    """
    folder = home / NEXT
    make_folder_durably(home / "keys", 0o700)
    make_folder_durably(folder, 0o700)
    for name, text in files.items():
        assert name in _PLACES
        write_durably(folder / name, text, 0o600 if name in _PRIVATE else 0o644)


def read_next(home: Path, name: str) -> str | None:
    """A file that was placed and did not take effect yet; `None` where there is none."""
    try:
        return (home / NEXT / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def discard_next(home: Path) -> None:
    """Forget what was placed.

    Raises:
        StoreError: The disk failed.
    """
    remove_folder_durably(home / NEXT)


def switch(home: Path) -> None:
    """Put what was placed in force.

    Raises:
        StoreError: The disk failed; the old files or the new ones are in force.
    """
    finish(home)
    move_durably(home / NEXT, home / READY, missing_ok=True)
    finish(home)


def finish(home: Path) -> None:
    """Finish a switch that was cut after it took effect; without one, nothing is touched.

    Raises:
        StoreError: The disk failed.
    """
    ready = home / READY
    if not ready.exists():
        return
    for path in sorted(ready.iterdir()):
        place = _PLACES.get(path.name)
        if place is not None:  # anything else is a torn file of a write that was cut
            move_durably(path, home / place, missing_ok=True)
    remove_folder_durably(ready)


def read_root(home: Path) -> bytes:
    """The root certificate that a home trusts, DER; read without an X.509 parser.

    Raises:
        InputError: It is missing or damaged.
    """
    path = home / ROOT
    try:
        lines = path.read_text(encoding="ascii").split("\n")
        if lines[0] != "-----BEGIN CERTIFICATE-----":
            raise ValueError("no certificate")
        return base64.b64decode("".join(lines[1 : lines.index("-----END CERTIFICATE-----")]), validate=True)
    except (OSError, ValueError) as error:
        expected = "the root certificate that enroll wrote; enroll anew"
        raise InputError([Problem(str(path), "", type(error).__name__, expected)]) from error


def private_text(text: str, passphrase: str | None) -> str:
    """A private key as its file holds it."""
    return (text if passphrase is None else sealing.seal(text.encode("ascii"), passphrase)) + "\n"


def stored_private(path: Path) -> str:
    """A private key as its file holds it, sealed where it is sealed.

    Raises:
        InputError: The file is missing, damaged or readable by others.
    """
    return _stored(path) + "\n"


def read_private(path: Path) -> str:
    """Read a private key from the first line of its file, unsealed where it is sealed.

    Raises:
        InputError: The file is missing, damaged or readable by others, or the passphrase is.
    """
    text = _stored(path)
    return open_sealed(text, str(path)) if sealing.is_sealed(text) else text


def _stored(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").partition("\n")[0].strip()
    except FileNotFoundError as error:
        raise InputError([Problem(str(path), "", "", "the key that init writes")]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(path), "", type(error).__name__, "a readable key file")]) from error
    if mode & 0o077:
        raise InputError(
            [Problem(str(path), "permissions", oct(mode & 0o777), "0600; run: chmod 600 on the file")]
        )
    return text


def is_sealed(path: Path) -> bool:
    """Whether a private key lies there sealed."""
    try:
        return sealing.is_sealed(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        return False


def required_passphrase(place: str) -> str:
    """The passphrase of this machine.

    Raises:
        InputError: None is given.
    """
    given = sealing.passphrase()
    if given is None:
        expected = (
            f"its passphrase in {sealing.PASSPHRASE}, in the file that {sealing.PASSPHRASE_FILE} names, "
            f"or as systemd credential {sealing.CREDENTIAL}"
        )
        raise InputError([Problem(place, "passphrase", "", expected)])
    return given


def open_sealed(text: str, place: str) -> str:
    """A sealed key's text, opened with the passphrase of this machine.

    Raises:
        InputError: No passphrase is given, or it does not open the key.
    """
    try:
        return sealing.unseal(text, required_passphrase(place)).decode("ascii")
    except ValueError as error:
        expected = "a key sealed by the passphrase that is given here"
        raise InputError([Problem(place, "passphrase", "one that does not open it", expected)]) from error
