"""What systemd needs to run a supervisor: package data with a few words filled in."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from edge_runtime.slots.tier import Tier
from protocols.errors import InputError, Problem

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_PLACE = re.compile(r"/[A-Za-z0-9._/-]+")

TITLES = {"edge": "gateway", "hub": "hub", "hq": "headquarters"}


def files(tier: Tier, root: Path, user: str) -> dict[str, str]:
    """The files, by their place below the file system's root.

    Args:
        tier: What runs.
        root: The machine's root directory.
        user: Who runs it; made when it is not there.

    Raises:
        InputError: The root or the user cannot stand in a unit.
    """
    place = str(root.absolute())
    problems = []
    if not _PLACE.fullmatch(place):
        expected = "letters, digits, '.', '_', '-' and '/' only, as /opt/catchment"
        problems.append(Problem("command line", "--root", place, expected))
    if not _USER.fullmatch(user):
        problems.append(Problem("command line", "--user", user, "a system user's name, as catchment"))
    if problems:
        raise InputError(problems)
    words = {
        "PROGRAM": tier.program,
        "TITLE": TITLES[tier.name],
        "ROOT": place,
        "USER": user,
        "PYTHON": f"/usr/bin/python{sys.version_info[0]}",
    }
    return {
        f"etc/systemd/system/{tier.program}.service": _filled("supervisor.service", words),
        f"etc/sysusers.d/{user}.conf": _filled("supervisor.sysusers", words),
        "etc/udev/rules.d/60-catchment-watchdog.rules": _filled("watchdog.rules", words),
    }


def _filled(name: str, words: dict[str, str]) -> str:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: words[match[1]], text)
