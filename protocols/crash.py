"""Named places where a test may make a process die.

Rules:
1. `point(name)` costs one comparison and does nothing unless a crash was armed.
2. Armed by the environment, the process is killed with SIGKILL at the point: nothing is
   flushed, no handler runs, as at a power cut of the machine's owner.
3. Armed by `install`, a test's own function is called with the name instead; it may
   raise, which is how a deterministic simulation crashes a world inside one process.

``CATCHMENT_CRASH="edge:before-commit:0.01:7,hub:after-commit:0.5"`` kills at the first
point with probability 0.01 a visit (random seed 7) and at the second with 0.5.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Mapping

from protocols.errors import InputError, Problem

VARIABLE = "CATCHMENT_CRASH"

Hook = Callable[[str], None]

_hook: Hook | None = None


def point(name: str) -> None:
    """Mark a place where a crash is interesting; `name` is `tier:what`."""
    if _hook is not None:
        _hook(name)


def install(hook: Hook | None) -> Hook | None:
    """Call `hook` at every point from now on (`None`: nothing). Returns what was installed before."""
    global _hook
    previous, _hook = _hook, hook
    return previous


def arm(environment: Mapping[str, str], kill: Callable[[str], None]) -> Hook | None:
    """The hook that an environment asks for, or `None`.

    Args:
        environment: Usually `os.environ`.
        kill: What to do when the dice fall, given the point's name.

    Raises:
        InputError: The variable is not a list of `tier:what:probability[:seed]`.
    """
    text = environment.get(VARIABLE, "")
    dice = dict(_die(entry) for entry in text.split(",") if entry)
    if not dice:
        return None

    def hook(name: str) -> None:
        die = dice.get(name)
        if die is not None and die():
            kill(name)

    return hook


def _die(entry: str) -> tuple[str, Callable[[], bool]]:
    """Read `tier:what:probability[:seed]` into the point's name and a throw of its die."""
    fields = entry.split(":")
    try:
        tier, what, chance = fields[0], fields[1], float(fields[2])
        generator = random.Random(int(fields[3])) if len(fields) > 3 else random.Random()
        if len(fields) > 4 or not 0.0 <= chance <= 1.0:
            raise ValueError
    except (IndexError, ValueError) as error:
        expected = "tier:what:probability[:seed], for example hub:before-commit:0.01:7"
        raise InputError([Problem("environment", VARIABLE, entry, expected)]) from error
    return f"{tier}:{what}", lambda: generator.random() < chance


def _kill(name: str) -> None:
    os.write(2, f'{{"level": "warning", "event": "crash-point", "name": "{name}"}}\n'.encode())
    os.kill(os.getpid(), signal.SIGKILL)


install(arm(os.environ, _kill))
