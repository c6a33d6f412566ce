"""Starts a program of the slot that this file lies in: run.py ARGUMENTS.

Called as `python3 -I -S -B run.py ...`: no environment variable, no user's or system's packages
are looked at. The interpreter's own library comes first on the path, then the slot's; nothing
else does. Under a supervisor the program ends with it, and goes first when memory is short.
"""

import importlib
import os
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

PROGRAMS = {
    "edge": ("edge_runtime.cli", "catchment-edge"),
    "hub": ("hub.cli", "catchment-hub"),
    "hq": ("headquarters.cli", "catchment-hq"),
}
SUPERVISOR = "CATCHMENT_SUPERVISOR"


def end_with(supervisor: int) -> None:
    """Let the kernel kill this process when its supervisor ends, however that happens."""
    import ctypes
    import signal

    ctypes.CDLL(None, use_errno=True).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != supervisor:  # it has ended already
        raise SystemExit(f"run.py: supervisor {supervisor} is gone; start it again")
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def main() -> None:
    """Find the tier's program in the slot and hand the arguments over."""
    slot = Path(__file__).resolve().parent
    supervisor = os.environ.pop(SUPERVISOR, "")
    if supervisor:
        end_with(int(supervisor))
    manifest = tomllib.loads((slot / "firmware.toml").read_text(encoding="utf-8"))
    module, program = PROGRAMS[manifest["firmware"]["tier"]]
    sys.path[:] = [*(entry for entry in sys.path if entry), str(slot / "lib")]
    sys.argv[0] = program
    importlib.import_module(module).main()


if __name__ == "__main__":
    main()
