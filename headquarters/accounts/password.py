"""Passwords: which are good enough, and how they are kept (argon2id, RFC 9106).

>>> faults("Korrekt-Pferd-7", Terms(), "anna", "Anna Li")
[]
>>> faults("Passw0rd!!!!", Terms(), "anna", "Anna Li")
['a password that is not a common word with figures around it']
"""

from __future__ import annotations

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from headquarters.accounts.terms import PASSWORD_CHARS_MAX, Terms
from protocols.errors import InputError, Problem

DISTINCT_MIN = 6
"""Different characters in a password: `aaaaaaaaaaA1` is none."""

COMMON = frozenset(
    """admin administrator catchment changeme default demo geheim gongchang guanliyuan guest iloveyou
    letmein login manager master mima operator password passwort plant process qwerty qwertyuiop root
    secret service summer superuser system test user welcome winter woaini zaq xsw""".split()  # noqa: SIM905
)
"""What guessing starts with, without the figures that people put around it."""

_LEET = str.maketrans("013457@$!", "oieastasi")


class Hasher:
    """Hashes passwords and compares them; safe between threads.

    Args:
        time_cost: Passes over the memory.
        memory_kib: Memory that one attempt takes.
        lanes: Threads of one attempt.

    The defaults are the second recommendation of RFC 9106 (64 MiB): some 50 ms.
    """

    def __init__(self, time_cost: int = 3, memory_kib: int = 65_536, lanes: int = 4) -> None:
        self._argon = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=lanes)
        self._nobody = self._argon.hash("of nobody")

    def hash(self, password: str) -> str:
        """What is kept of a password, with its salt and the costs."""
        return self._argon.hash(_normal(password))

    def matches(self, kept: str | None, password: str) -> bool:
        """Whether it is this password; takes as long when there is none, so that time tells nothing."""
        if len(password) > PASSWORD_CHARS_MAX:
            password = ""
        try:
            self._argon.verify(kept or self._nobody, _normal(password))
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether it was hashed at other costs than today's."""
        return self._argon.check_needs_rehash(kept)


def faults(password: str, terms: Terms, login: str, name: str) -> list[str]:
    """What a password should be and is not; empty when it is good.

    Args:
        password: As typed.
        terms: Of the installation.
        login: Whose it is to be; it may not be part of it.
        name: The same for the name.
    """
    wanted = []
    if not terms.password_chars_min <= len(password) <= PASSWORD_CHARS_MAX:
        wanted.append(f"{terms.password_chars_min} to {PASSWORD_CHARS_MAX} characters")
    if _classes(password) < terms.password_classes_min:
        wanted.append(
            f"{terms.password_classes_min} of: lower case, upper case, figures, others; Chinese counts as two"
        )
    if len(set(password)) < min(DISTINCT_MIN, terms.password_chars_min):
        wanted.append(f"{DISTINCT_MIN} different characters")
    lower = password.lower()
    if any(len(part) >= 3 and part.lower() in lower for part in (login, *name.split())):
        wanted.append("a password without the login or the name in it")
    if _is_common(lower):
        wanted.append("a password that is not a common word with figures around it")
    return wanted


def check(password: str, terms: Terms, login: str, name: str) -> None:
    """See that a password is good enough; arguments as of `faults`.

    Raises:
        InputError: With everything that it should be; never with the password.
    """
    found = f"{len(password)} characters"
    problems = [Problem("password", "", found, expected) for expected in faults(password, terms, login, name)]
    if problems:
        raise InputError(problems)


def _is_common(lower: str) -> bool:
    begin = next((at for at, c in enumerate(lower) if not c.isdigit()), 0)
    end = next((at for at in range(len(lower), 0, -1) if lower[at - 1].isalpha()), 0)
    texts = (lower, lower[:end], lower[begin:end])
    plain = {"".join(c for c in text.translate(_LEET) if c.isalpha()) for text in texts}
    return bool(COMMON & (plain | {"".join(c for c in lower if c.isalpha())}))


def _classes(password: str) -> int:
    kinds = set()
    for c in password:
        if c.isdigit():
            kinds.add("figure")
        elif c.islower():
            kinds.add("lower")
        elif c.isupper():
            kinds.add("upper")
        elif c.isalpha():
            kinds |= {"ideograph", "ideograph 2"}
        else:
            kinds.add("other")
    return len(kinds)


def _normal(password: str) -> bytes:
    """The same bytes whatever keyboard it was typed on (RFC 8265, OpaqueString)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
