"""What a node knows of its own certificate without reading it, in `keys/standing.json`.

A gateway that never renews needs no X.509 parser in its memory for months; so what it must know at
each start is written down beside the certificate, and switched together with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from protocols.durable import write_durably
from protocols.errors import InputError, Problem
from protocols.keyfiles import STANDING

RENEW_PART = 3
"""With one third of its life left, a certificate is renewed."""


@dataclass(frozen=True, slots=True)
class OwnStanding:
    """How a node stands by its own certificate.

    Args:
        serial: Of the certificate.
        not_before: Seconds since 1970.
        not_after: Seconds since 1970.
        authority: The Ed25519 key of the authority that gave it, hexadecimal.
        generation: Of that authority.
        confirmed: Whether headquarters knows that it is in use.
        token: The id of the token that let the node in, hexadecimal; empty after a renewal.
    """

    serial: int
    not_before: float
    not_after: float
    authority: str
    generation: int
    confirmed: bool
    token: str = ""

    @property
    def renew_at(self) -> float:
        """When to ask for the next one."""
        return self.not_after - (self.not_after - self.not_before) / RENEW_PART

    def text(self) -> str:
        """As it is written down."""
        return json.dumps(asdict(self)) + "\n"


def read_standing(home: Path) -> OwnStanding | None:
    """How the node of a home stands; `None` for one without certificate.

    Raises:
        InputError: The file is damaged.
    """
    path = home / STANDING
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return OwnStanding(
            int(found["serial"]),
            float(found["not_before"]),
            float(found["not_after"]),
            bytes.fromhex(found["authority"]).hex(),
            int(found["generation"]),
            bool(found["confirmed"]),
            str(found.get("token", "")),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = "what enrol wrote; enrol anew"
        raise InputError([Problem(str(path), "", type(error).__name__, expected)]) from error


def note_confirmed(home: Path, standing: OwnStanding) -> None:
    """Write down that headquarters knows that this certificate is in use.

    Raises:
        StoreError: The disk failed.
    """
    write_durably(home / STANDING, replace(standing, confirmed=True).text())
