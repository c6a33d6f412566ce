"""What this machine is, in the words of wheels; light, since the supervisor of a small gateway needs it."""

from __future__ import annotations

import os
import shutil
import sys


def running_python() -> str:
    """The interpreter that runs this, as wheels name it."""
    return f"cp{sys.version_info[0]}{sys.version_info[1]}"


def interpreter(python: str) -> str | None:
    """The program of an interpreter as wheels name it; `None` where this machine has none.

    >>> interpreter(running_python()) == sys.executable
    True
    """
    if python == running_python():
        return sys.executable
    return shutil.which(f"python{python[2]}.{python[3:]}")


def machine() -> str:
    """This machine's platform, as wheels name it."""
    return f"linux_{os.uname().machine}"


def glibc() -> tuple[int, ...]:
    """The version of this machine's C library; empty where it is another one than GNU's."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except ValueError:
        return ()
    return tuple(int(part) for part in version.split(".")) if name == "glibc" else ()
