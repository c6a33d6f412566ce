"""What the console does for a host, call by call. No line and no socket in here.

Rules:
1. Every call may come twice, since a cable may be pulled before its answer is through: a second
   time changes nothing more.
2. A call does what it says or is refused with a text; only a bug raises anything else.
3. No call gives a private key or the token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from edge_runtime.config import CONFIG
from edge_runtime.provision import console_clock, console_config, console_diagnostics, network, provisionfile
from edge_runtime.provision.console_clock import Clock
from edge_runtime.provision.console_config import INCOMING
from edge_runtime.provision.console_reset import Fate, reset
from edge_runtime.provision.console_store import Incoming
from edge_runtime.statusview import view
from protocols import limits
from protocols.console.calls import Answer, Call
from protocols.durable import write_durably
from protocols.enrolment import fingerprint
from protocols.errors import CatchmentError, InputError, MalformedError, Problem
from protocols.identity import IDENTITY, read_identities

Value = TypeVar("Value")
Arguments = Mapping[str, Any]


class Slots(NamedTuple):
    """The slots of a machine that has some.

    Args:
        install: Checks an image and unpacks it into the idle slot; gives what it then is.
        state: Which slot runs, and how the last one did.
    """

    install: Callable[[Path], dict[str, Any]]
    state: Callable[[], dict[str, Any]]


class Console:
    """The calls of one gateway.

    Args:
        home: Its home.
        clock: Its clock.
        slots: Its slots, if it has some.
        product: This program's version.
    """

    def __init__(self, home: Path, clock: Clock, slots: Slots | None = None, product: str = "") -> None:
        self._home = home
        self._clock = clock
        self._slots = slots
        self._product = product or version("catchment")
        self._incoming = Incoming(home / INCOMING)
        self._calls: dict[str, Callable[[Arguments], object]] = {
            "info": lambda _: self.info(),
            "health": lambda _: view(home, clock.utc_us() / 1e6).fields(),
            "network": self._network,
            "time": lambda _: console_clock.read(clock),
            "set-time": self._set_time,
            "provision": self._provision,
            "begin": self._begin,
            "piece": self._piece,
            "config": self._config,
            "image": self._image,
            "diagnostics": lambda _: self._diagnostics(),
            "read": self._read,
            "reset": self._reset,
        }

    def answer(self, call: Call) -> Answer:
        """Do what a host asks for."""
        handler = self._calls.get(call.name)
        if handler is None:
            known = ", ".join(sorted(self._calls))
            return Answer(call.number, False, f"expected one of {known}, got {call.name!r:.60}")
        try:
            return Answer(call.number, True, handler(call.arguments))
        except CatchmentError as error:
            return Answer(call.number, False, str(error))
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return Answer(call.number, False, f"{where}{error.strerror or error}; expected a disk with room")

    def info(self) -> dict[str, Any]:
        """Who the gateway is, and what it was given."""
        given = provisionfile.read(self._home)
        return {
            "identity": self._identity(),
            "version": self._product,
            "configured": (self._home / CONFIG).exists(),
            "hub": {"address": given.address, "link": given.link, "token_given": bool(given.token)},
            "network": (self._home / network.FILE).exists(),
            "slots": self._slots.state() if self._slots else None,
        }

    def _identity(self) -> dict[str, str] | None:
        path = self._home / IDENTITY
        if not path.exists():
            return None
        public = read_identities(path)[0]
        return {
            "id": public.id,
            "role": public.role,
            "site": public.site,
            "signing": public.signing.hex(),
            "link": public.link.decode(),
            "fingerprint": fingerprint(public),
        }

    def _network(self, arguments: Arguments) -> object:
        text = _argument(arguments, "toml", str, "")
        path = self._home / network.FILE
        if text:
            network.parse(text)
            write_durably(path, text)
        return {"toml": path.read_text(encoding="utf-8") if path.exists() else ""}

    def _set_time(self, arguments: Arguments) -> object:
        zero_us, boot = _argument(arguments, "zero_us", int), _argument(arguments, "boot", str)
        return console_clock.set_zero(self._clock, zero_us, boot)

    def _provision(self, arguments: Arguments) -> object:
        fields = {name: _argument(arguments, name, str, "") for name in ("address", "link", "token")}
        given = provisionfile.read(self._home).with_given(provisionfile.checked(**fields))
        provisionfile.write(self._home, given)
        return self.info()["hub"]

    # -- files -------------------------------------------------------------------------------

    def _begin(self, arguments: Arguments) -> object:
        held = self._incoming.begin(_argument(arguments, "sha256", bytes), _argument(arguments, "size", int))
        return held._asdict()

    def _piece(self, arguments: Arguments) -> object:
        data = _argument(arguments, "data", bytes)
        if len(data) > limits.CONSOLE_CHUNK_BYTES_MAX:
            raise MalformedError(f"expected pieces of at most {limits.CONSOLE_CHUNK_BYTES_MAX} bytes")
        sha256, offset = _argument(arguments, "sha256", bytes), _argument(arguments, "offset", int)
        return {"held": self._incoming.take(sha256, offset, data)}

    def _config(self, arguments: Arguments) -> object:
        hashes = _argument(arguments, "files", dict)
        given = {}
        for name, sha256 in hashes.items():
            if not isinstance(sha256, bytes) or len(sha256) != 32:
                raise MalformedError("expected a SHA-256 for each file")
            given[str(name)] = self._incoming.whole(sha256).read_bytes()
        return console_config.take(self._home, given)

    def _image(self, arguments: Arguments) -> object:
        sha256 = _argument(arguments, "sha256", bytes)
        if self._slots is None:
            expected = "a console started with --root, on a machine with slots"
            raise InputError([Problem("image", "", "a machine without slots", expected)])
        installed = self._slots.install(self._incoming.whole(sha256))
        self._incoming.drop(sha256)
        return installed

    def _diagnostics(self) -> object:
        target = self._home / INCOMING / "diagnostics.zip"
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        names = console_diagnostics.collect(self._home, target, self.info())
        with target.open("rb") as stream:
            sha256 = file_digest(stream, "sha256").digest()
        kept = target.with_name(f"{sha256.hex()}.sent")
        for old in target.parent.glob("*.sent"):
            old.unlink()
        target.replace(kept)
        return {"sha256": sha256, "size": kept.stat().st_size, "names": names}

    def _read(self, arguments: Arguments) -> object:
        sha256, offset = _argument(arguments, "sha256", bytes), _argument(arguments, "offset", int)
        size = min(_argument(arguments, "size", int), limits.CONSOLE_CHUNK_BYTES_MAX)
        path = self._home / INCOMING / f"{sha256.hex()}.sent"
        if not path.exists() or offset < 0 or size < 1:
            raise MalformedError("expected diagnostics that were collected just now; collect them again")
        with path.open("rb") as stream:
            stream.seek(offset)
            return {"data": stream.read(size)}

    def _reset(self, arguments: Arguments) -> object:
        fate, confirmed = _argument(arguments, "data", str), _argument(arguments, "confirm", str)
        identity = self._identity()
        wanted = identity["id"] if identity else "bare"
        if confirmed != wanted:
            raise InputError([Problem("reset", "confirmation", confirmed, f"the gateway's id, {wanted!r}")])
        if fate not in list(Fate):
            raise InputError([Problem("reset", "data", fate, " or ".join(Fate))])
        return {"gone": reset(self._home, Fate(fate))}


_NEEDED = object()


def _argument(arguments: Arguments, name: str, kind: type[Value], default: object = _NEEDED) -> Value:
    value = arguments.get(name, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MalformedError(
            f"expected an argument {name} of type {kind.__name__}, got {type(value).__name__}"
        )
    return value
