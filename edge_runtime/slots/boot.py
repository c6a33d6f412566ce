"""Starts the supervisor of a machine: boot.py [ARGUMENTS], in the root directory.

Called as `python3 -I -S -B ROOT/boot.py` by the service manager. It never changes with a
firmware, so it does little: it reads which slot is good and becomes that slot's supervisor. When
that supervisor ended by itself since the machine booted, before it had run for a while, the one of
the other slot is taken for this once: it runs the good slot's program as well.
"""

import json
import os
import shutil
import sys
from pathlib import Path

SLOTS = ("a", "b")


def boot_id() -> str:
    """Names this boot of the machine; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def order(slots: Path) -> list[str]:
    """Slots with a launcher, the one to take first."""
    try:
        good = json.loads((slots / "state").read_text(encoding="utf-8"))["good"]
    except (OSError, ValueError, KeyError, TypeError):
        good = SLOTS[0]
    found = [slot for slot in sorted(SLOTS, key=lambda slot: slot != good) if whole(slots / slot)]
    try:
        begun = json.loads((slots / "starting").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        begun = None
    if isinstance(begun, dict) and begun.get("boot") == boot_id() and found[:1] == [begun.get("slot")]:
        found.reverse()
    return found


def whole(slot: Path) -> bool:
    """Whether a slot was unpacked to its end."""
    return all((slot / name).is_file() for name in ("run.py", "firmware.toml", "files.sha256"))


def interpreter(slot: Path) -> str:
    """The Python that a slot was made for, or the one that runs this."""
    import tomllib

    tag = tomllib.loads((slot / "firmware.toml").read_text(encoding="utf-8"))["firmware"]["python"]
    if tag == f"cp{sys.version_info[0]}{sys.version_info[1]}":
        return sys.executable
    return shutil.which(f"python{tag[2]}.{tag[3:]}") or sys.executable


def main() -> None:
    """Become the supervisor."""
    root = Path(__file__).resolve().parent
    slots = root / "slots"
    for slot in order(slots):
        mark = slots / "starting.new"
        try:
            mark.write_text(json.dumps({"boot": boot_id(), "slot": slot}), encoding="utf-8")
            mark.replace(slots / "starting")
        except OSError:
            pass  # a full or failing disk is no reason not to start
        command = [interpreter(slots / slot), "-I", "-S", "-B", str(slots / slot / "run.py")]
        os.execv(command[0], [*command, "supervise", "--root", str(root), *sys.argv[1:]])  # noqa: S606
    raise SystemExit(f"{slots}: found no slot with a firmware; write one: catchment-flash image write")


if __name__ == "__main__":
    main()
