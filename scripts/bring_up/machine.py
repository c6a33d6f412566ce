"""A bare machine: an image written to its root, its supervisor, and the program in its slot."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.demo.processes import Child, Children, finish, program, run, wait_for

START_S = 120.0
"""Longest wait for a machine to collect: it checks its slot's files first."""

ISOLATED = (sys.executable, "-I", "-S", "-B")
"""As the service manager starts Python: nothing from outside the slot is on its path."""


def build_image(wheels: Path, output: Path) -> Path:
    """Make a firmware image of wheels.

    Raises:
        DemoError: The wheels do not fit.
    """
    flash = program("catchment-flash")
    run([flash, "image", "build", "--wheels", str(wheels), "--tier", "edge", "--output", str(output)])
    run([flash, "image", "verify", str(output)])
    return output


class Machine:
    """One machine.

    Args:
        root: Its root directory; nothing is there yet.
        children: Ends its supervisor, whatever happens.
    """

    def __init__(self, root: Path, children: Children) -> None:
        self.root = root
        self.home = root / "home"
        self._children = children
        self._supervisor: Child | None = None

    def write(self, image: Path) -> None:
        """Write an image to it, as to a card that is mounted."""
        run([program("catchment-flash"), "image", "write", str(image), "--to", str(self.root)])

    def enroll(self, token: str, *, wait: bool) -> None:
        """Ask to be let in, by the program in the slot.

        Args:
            token: What headquarters gave out.
            wait: Whether approval is there; else it is asked for.
        """
        command = [*ISOLATED, str(self.root / "slots" / "a" / "run.py"), "enroll", "--home", str(self.home)]
        finish([*command, "--token", token, *([] if wait else ["--no-wait"])], (0,) if wait else (3,))
        if wait:
            with (self.home / "gateway.toml").open("a", encoding="utf-8") as config:
                config.write("\n[updates]\npoll_s = 1\n")

    def boot(self) -> None:
        """Start it as its service manager does, and wait until the gateway says something.

        Raises:
            DemoError: It does not come up.
        """
        child = self._children.add(self.root.name, [*ISOLATED, str(self.root / "boot.py")])
        child.start()
        self._supervisor = child
        wait_for("a status of the gateway", lambda: bool(self.status()), START_S, [child])

    def status(self) -> Mapping[str, Any]:
        """What the gateway last said of itself; empty before it said anything."""
        try:
            text = (self.home / "data" / "status.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        status: Mapping[str, Any] = json.loads(text)
        return status

    def stop(self) -> None:
        """Stop it in order.

        Raises:
            DemoError: It does not stop.
        """
        assert self._supervisor is not None
        self._supervisor.ask_to_stop()
        self._supervisor.wait(START_S)
