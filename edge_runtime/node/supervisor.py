"""Runs a rule program on a board, scan by scan, and lives on when it is a bad one.

Rules:
1. The newest program is tried first; one that cannot be loaded, fails, or is too slow ten times in
   a row is given up for good: `state.json` says which and why, and the one before runs instead.
2. A program under which the watchdog bit `BITES_MAX` times before it had done `PROVEN_SCANS` scans
   is given up too. Only the watchdog counts: switching the board off and on does not.
3. Without any program that runs, outputs have their safe values and the board waits to be flashed.
4. A flash that was not finished (`manifest.json` names a file that is not as it should be) starts
   nothing: the board says so and waits.
"""

import json
import sys

from .program import Program
from .ring import Ring

RULES = ("rules", "rules_old")
"""Modules of programs, the newest first."""

SLOW_MAX = 10
PROVEN_SCANS = 20
BITES_MAX = 3

SCAN_MS = 1000
LOG_BYTES = 8192


def load_json(path: str, absent):
    """What a file holds; `absent` without one, or with one that is torn."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return absent


class Supervisor:
    """What a board does.

    Args:
        folder: Where its files lie; ends in a slash, or is empty.
        clock: Its clock and watchdog.
        surroundings: Makes inputs and outputs of (folder, inputs, outputs, clock).
        load: Gives a module by its name, freshly loaded.
        out: Takes each line of the log.
    """

    def __init__(self, folder: str, clock, surroundings, load, out) -> None:
        self._folder = folder
        self.clock = clock
        self._load = load
        config = load_json(folder + "node.json", {})
        self.config = config if isinstance(config, dict) else {}
        self._scan_ms = self.config.get("scan_ms", SCAN_MS)
        self._ring = Ring(folder, self.config.get("log_bytes", LOG_BYTES), out)
        self._inputs = self.config.get("inputs", {})
        self._outputs = self.config.get("outputs", {})
        self._io = surroundings(folder, self._inputs, self._outputs, clock)
        state = load_json(folder + "state.json", {})
        self._state = state if isinstance(state, dict) else {}
        self._state.setdefault("bad", {})
        self.program: Program | None = None
        self._hash = ""
        self._scans = self._slow = self.overruns = 0

    def say(self, level: str, text: str) -> None:
        """Write a line into the log."""
        self._ring.say(self.clock.now_ms(), level, text)

    def start(self) -> None:
        """Choose a program."""
        self.say("info", "started, scans of %d ms" % self._scan_ms)
        self._count_bite()
        self._choose()
        dog_ms = self.config.get("watchdog_ms", 0)
        if dog_ms and self.program is not None:
            self.clock.guard(dog_ms)

    def _count_bite(self) -> None:
        trying = self._state.get("trying")
        if not trying or not self.clock.bitten():
            return
        self._state["bites"] = self._state.get("bites", 0) + 1
        self.say("warning", "the watchdog bit while %s was tried" % trying[:12])
        if self._state["bites"] >= BITES_MAX:
            self._give_up(trying, "the watchdog bit %d times" % BITES_MAX)
        else:
            self._save()

    def _choose(self) -> None:
        self.program = None
        for name in RULES:
            described = load_json(self._folder + name + ".json", None)
            if not isinstance(described, dict):
                continue
            self._hash = described.get("hash", "")
            why = self._state["bad"].get(self._hash)
            if why:
                self.say("warning", "not running %s: %s" % (described.get("name"), why))
                continue
            try:
                self._begin(name, described)
            except Exception as error:
                self._give_up(self._hash, "cannot be loaded: " + repr(error))
                continue
            return
        self.say("error", "no program runs; outputs are safe, flash the board")
        self._write_safe()

    def _begin(self, name: str, described: dict) -> None:
        module = self._load(name)
        program = Program(described, module, self.config.get("parameters", {}))
        self.program = program
        self._scans = self._slow = 0
        if self._state.get("proven") != self._hash and self._state.get("trying") != self._hash:
            self._state["trying"] = self._hash
            self._state["bites"] = 0
            self._save()
        self.say("info", "running %s (%s)" % (program.name, name))

    def scan(self) -> None:
        """One scan."""
        self.clock.feed()
        if self.program is None:
            return
        begun = self.clock.now_ms()
        try:
            readings = [self._io.read(each[0]) for each in self.program.inputs]
            events = self.program.scan(begun, readings)
            self._write(self.program)
        except Exception as error:
            self._fail("failed: " + repr(error))
            return
        for path, kind, text, value, quality in events:
            self.say("event", "%s %s %s %r quality %d" % (kind, path, text, value, quality))
        self._judge(self.clock.now_ms() - begun)

    def _judge(self, took_ms: int) -> None:
        self._scans += 1
        if took_ms > self._scan_ms:
            self._slow += 1
            self.overruns += 1
            self.say("warning", "a scan took %d ms of %d" % (took_ms, self._scan_ms))
        else:
            self._slow = 0
        if self._slow >= SLOW_MAX:
            self._fail("too slow %d times in a row" % SLOW_MAX)
        elif self._scans == PROVEN_SCANS and self._state.get("proven") != self._hash:
            self._state["proven"] = self._hash
            self._state["trying"] = ""
            self._save()
            self.say("info", "proven after %d scans" % PROVEN_SCANS)

    def _fail(self, why: str) -> None:
        self._write_safe()
        self._give_up(self._hash, why)
        self._choose()

    def _give_up(self, hash: str, why: str) -> None:
        # Only what may come up again is remembered: the programs that are there.
        known = []
        for name in RULES:
            described = load_json(self._folder + name + ".json", None)
            if isinstance(described, dict):
                known.append(described.get("hash", ""))
        self._state["bad"] = {key: text for key, text in self._state["bad"].items() if key in known}
        self._state["bad"][hash] = why
        self._state["trying"] = ""
        if self._state.get("proven") == hash:
            self._state["proven"] = ""
        self._save()
        self.say("error", "given up %s: %s" % (hash[:12], why))

    def _save(self) -> None:
        import os

        path = self._folder + "state.json"
        try:
            with open(path + ".new", "w") as file:
                json.dump(self._state, file)
            os.rename(path + ".new", path)
        except OSError as error:
            self.say("warning", "state is not kept: " + repr(error))

    def _write(self, program: Program) -> None:
        found = {}
        for index, each in enumerate(program.outputs):
            if each[0] in self._outputs:
                value = program.values[index][0]
                found[each[0]] = (value, program.quality(index))
        self._io.write(found)

    def _write_safe(self) -> None:
        try:
            self._io.write({name: (each["safe"], 0) for name, each in self._outputs.items()})
        except Exception as error:
            self.say("error", "outputs cannot be written: " + repr(error))

    def run(self) -> None:
        """Scan at the multiples of the period, for good."""
        next_ms = self.clock.now_ms()
        while True:
            self.scan()
            next_ms += self._scan_ms
            wait = next_ms - self.clock.now_ms()
            if wait > 0:
                self.clock.sleep_ms(wait)
            else:
                next_ms -= wait  # scans that were missed are not made up for


def unfinished(folder: str) -> str:
    """Which file of the manifest is not as it should be; empty when all are."""
    from binascii import hexlify
    from hashlib import sha256

    manifest = load_json(folder + "manifest.json", None)
    if not isinstance(manifest, dict):
        return "manifest.json"
    for name, wanted in manifest["files"].items():
        found = sha256()
        try:
            with open(folder + name, "rb") as file:
                while True:
                    data = file.read(256)
                    if not data:
                        break
                    found.update(data)
        except OSError:
            return str(name)
        if hexlify(found.digest()).decode() != wanted:
            return str(name)
    return ""


def _fresh(name: str):
    sys.modules.pop(name, None)
    return __import__(name)


def main(folder: str = "") -> None:
    """What `main.py` on a board calls; comes back only when there is nothing to run."""
    from .clock import Clock

    clock = Clock()
    ring = Ring(folder, LOG_BYTES, sys.stdout.write)
    broken = unfinished(folder)
    if broken:
        text = "the flash was not finished (%s); flash the board again" % broken
        ring.say(clock.now_ms(), "error", text)
        return
    config = load_json(folder + "node.json", None)
    if not isinstance(config, dict):
        ring.say(clock.now_ms(), "error", "waiting for node.json; configure the board")
        return
    try:
        supervisor = Supervisor(folder, clock, _surroundings(config), _fresh, sys.stdout.write)
    except Exception as error:
        ring.say(clock.now_ms(), "error", "waiting: cannot be wired as node.json says: " + repr(error))
        return
    supervisor.start()
    supervisor.run()


def _surroundings(config: dict) -> type:
    if config.get("board", "pins") == "bench":
        from .bench import Bench

        return Bench
    from .pins import Pins

    return Pins
