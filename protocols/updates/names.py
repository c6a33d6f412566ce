"""Names in the update repository: of targets, of roles, and of the files that are served.

========================================  ======================  ===============
target                                    signed by the role      its key is held
========================================  ======================  ===============
`apps/<publisher>/<file>`                 `publisher-<publisher>` by the publisher
`models/<publisher>/<file>`               the same                the same
`firmware/<tier>/<file>`                  `firmware`              offline
`config/<file>`                           `config`                online
`gateways/<gateway>/desired.json`         `director`, in bins     online
========================================  ======================  ===============

>>> role_of("apps/acme/pump-1.0.0.capp"), role_of("config/site-3.toml")
('publisher-acme', 'config')
>>> hash_named("apps/acme/pump-1.0.0.capp", bytes(32))[:30]
'targets/apps/acme/000000000000'
>>> is_served("metadata/7.snapshot.json"), is_served("metadata/../keys/root-1.key")
(True, False)
"""

from __future__ import annotations

import re

from protocols import limits
from protocols.batch import is_name
from protocols.errors import MalformedError

TIMESTAMP = "metadata/timestamp.json"
"""The one file whose content changes under its name."""

DIRECTOR = "director"
BIN_PREFIX = "bin"
"""Bins of the director are called `bin-00` and so on."""

PUBLISHER_PREFIX = "publisher-"
PUBLISHED = ("apps", "models")
"""Folders in which each publisher has one."""

FIRMWARE, CONFIG = "firmware", "config"
TIERS = ("edge", "hub", "hq")

PATTERNS = {DIRECTOR: ["gateways/*/*"], FIRMWARE: ["firmware/*/*"], CONFIG: ["config/*"]}
"""What a role that is not a publisher's may sign."""

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}"
_TARGET = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,5}}", re.ASCII)
_METADATA = re.compile(r"metadata/(?:timestamp|[1-9][0-9]{0,17}\.[a-z0-9][a-z0-9_.-]{0,79})\.json", re.ASCII)
_HASHED = re.compile(rf"targets/(?:{_SEGMENT}/){{0,5}}([0-9a-f]{{64}})\.{_SEGMENT}", re.ASCII)


def is_target(path: str) -> bool:
    """Whether a path may name a target: plain segments, none of them hidden or leading up."""
    return len(path) <= limits.TARGET_PATH_CHARS_MAX and _TARGET.fullmatch(path) is not None


def check_target(path: object) -> str:
    """A target's path.

    Raises:
        MalformedError: It is none.
    """
    if not isinstance(path, str) or not is_target(path):
        raise MalformedError(f"expected a target's path such as apps/acme/pump-1.0.0.capp, got {path!r:.120}")
    return path


def is_served(path: str) -> bool:
    """Whether a path may be asked for by the call `file`."""
    return _METADATA.fullmatch(path) is not None or target_hash(path) is not None


def target_hash(path: str) -> bytes | None:
    """The SHA-256 in the name of a served target's file; `None` for any other path."""
    found = _HASHED.fullmatch(path) if len(path) <= limits.TARGET_PATH_CHARS_MAX + 80 else None
    return None if found is None else bytes.fromhex(found[1])


def hash_named(target: str, sha256: bytes) -> str:
    """Under which path a target is served: its hash stands before its file name."""
    folder, slash, name = target.rpartition("/")
    return f"targets/{folder}{slash}{sha256.hex()}.{name}"


def owner_of(path: str) -> str | None:
    """The gateway to which a served file belongs alone; `None` when it is for all.

    >>> owner_of("targets/gateways/unit-1/" + "0" * 64 + ".desired.json")
    'unit-1'
    """
    parts = path.split("/")
    return parts[2] if len(parts) == 4 and parts[:2] == ["targets", "gateways"] else None


def desired_path(gateway: str) -> str:
    """The director's document for a gateway."""
    return f"gateways/{gateway}/desired.json"


def publisher_role(publisher: str) -> str:
    """The role of a publisher."""
    return PUBLISHER_PREFIX + publisher


def patterns_of(role: str) -> list[str]:
    """What a role below `targets` may sign."""
    if role.startswith(PUBLISHER_PREFIX):
        publisher = role.removeprefix(PUBLISHER_PREFIX)
        return [f"{folder}/{publisher}/*" for folder in PUBLISHED]
    return PATTERNS[role]


def role_of(path: str) -> str:
    """Which role signs for a target; the director's bins are `director`.

    Raises:
        MalformedError: No role has such paths.
    """
    parts = check_target(path).split("/")
    if len(parts) == 3 and parts[0] in PUBLISHED and is_name(parts[1]):
        return publisher_role(parts[1])
    if len(parts) == 3 and parts[0] == FIRMWARE and parts[1] in TIERS:
        return FIRMWARE
    if len(parts) == 2 and parts[0] == CONFIG:
        return CONFIG
    if len(parts) == 3 and parts[0] == "gateways" and is_name(parts[1]):
        return DIRECTOR
    raise MalformedError(
        "expected apps/PUBLISHER/FILE, models/PUBLISHER/FILE, firmware/edge|hub|hq/FILE, config/FILE "
        f"or gateways/GATEWAY/FILE, got {path!r:.120}"
    )
