"""The control door: commands to the running gateway through a Unix socket in its data directory.

Rules:
1. A request is one line of JSON, `{"command": NAME, "arguments": {...}}`; the answer is one
   line, `{"result": ...}` or `{"error": TEXT}`. One request a connection.
2. Only the owner of the data directory may connect: the socket's mode is 0600.
3. Whatever comes in, the gateway goes on: a request is bounded in bytes and time, rubbish
   is answered with what was expected, and one client is served after the other.
4. Commands are registered by name; `dispatch` knows nothing of sockets.

>>> dispatch({"echo": lambda arguments: arguments}, b'{"command": "echo", "arguments": {"a": 1}}')
b'{"result": {"a": 1}}\\n'
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_runtime import limits
from protocols.errors import CatchmentError, InputError, PeerError, Problem, StoreError

SOCKET = "control.sock"

TIMEOUT_S = 5.0
"""For a client to send its line and take its answer; others wait meanwhile."""

ANSWER_S = 30.0
"""How long a client waits: for those before it, and for a command over many alarms."""

Command = Callable[[Mapping[str, Any]], object]
"""Takes the arguments and gives what JSON can hold; raises one of our errors to refuse."""


class ControlError(PeerError):
    """The gateway does not run, or does not answer."""


def dispatch(commands: Mapping[str, Command], line: bytes) -> bytes:
    """Answer one request; a wrong one is answered with what is wrong."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return _line({"error": "expected one line of JSON"})
    if not isinstance(request, dict) or not isinstance(request.get("arguments", {}), dict):
        return _line({"error": "expected a JSON object with command and arguments"})
    command = request.get("command")
    if not isinstance(command, str) or command not in commands:
        known = ", ".join(sorted(commands))
        return _line({"error": f"expected a command this gateway knows ({known}), got {command!r:.80}"})
    try:
        answer = _line({"result": commands[command](request.get("arguments", {}))})
    except CatchmentError as error:
        return _line({"error": str(error)})
    if len(answer) > limits.CONTROL_ANSWER_BYTES_MAX:
        return _line({"error": f"the answer has {len(answer)} bytes; ask for less"})
    return answer


def _line(document: object) -> bytes:
    return json.dumps(document).encode() + b"\n"


class Door:
    """Serves the control socket of a running gateway.

    Args:
        data: The gateway's data directory.
        commands: By name; others may be registered until `start`.
        failed: Told of an error that only a bug can cause; the door goes on.

    Raises:
        StoreError: The socket cannot be made.
    """

    def __init__(
        self, data: Path, commands: Mapping[str, Command], failed: Callable[[BaseException], None]
    ) -> None:
        self.commands = dict(commands)
        known = self.commands

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                line = None
                with contextlib.suppress(OSError):  # the client went away, or was too slow
                    line = read_line(self.request, time.monotonic)
                if line is None:
                    return
                answer = dispatch(known, line)
                with contextlib.suppress(OSError):  # it does not take its answer
                    self.request.settimeout(TIMEOUT_S)
                    self.request.sendall(answer)

        class Server(socketserver.UnixStreamServer):
            request_queue_size = limits.CONTROL_CLIENTS_WAITING_MAX

            def handle_error(self, request: object, client_address: object) -> None:
                error = sys.exception()
                assert error is not None, "called while one is handled"
                failed(error)

        self._path = data / SOCKET
        self._path.unlink(missing_ok=True)
        try:
            with bound_path(data) as path:
                self._server = Server(path, Handler, bind_and_activate=False)
                os.fchmod(self._server.fileno(), 0o600)  # before it has a name that others could use
                self._server.server_bind()
                self._server.server_activate()
        except OSError as error:
            raise StoreError(f"expected to open {self._path}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.2)


def read_line(client: socket.socket, monotonic: Callable[[], float]) -> bytes:
    """One line of a client, or what it sent before it ended; nothing of what is too long.

    Raises:
        OSError: It took longer than `TIMEOUT_S`, or went away.
    """
    end = monotonic() + TIMEOUT_S
    line = b""
    while not line.endswith(b"\n"):
        left = end - monotonic()
        if left <= 0:
            raise TimeoutError("expected a line in time")
        client.settimeout(left)
        part = client.recv(limits.CONTROL_REQUEST_BYTES_MAX)
        line += part
        if not part:
            break
        if len(line) > limits.CONTROL_REQUEST_BYTES_MAX:
            return b""
    return line


def ask(data: Path, command: str, arguments: Mapping[str, Any]) -> Any:
    """Have the running gateway execute a command.

    Args:
        data: Its data directory.
        command: The command's name.
        arguments: What it takes.

    Returns:
        Its result.

    Raises:
        ControlError: No gateway answers.
        InputError: The gateway refused; the message says why.
    """
    line = _line({"command": command, "arguments": dict(arguments)})
    if len(line) > limits.CONTROL_REQUEST_BYTES_MAX:
        expected = f"at most {limits.CONTROL_REQUEST_BYTES_MAX} bytes; name fewer at a time, or use a pattern"
        raise InputError([Problem("command line", command, f"{len(line)} bytes", expected)])
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(ANSWER_S)
    try:
        with bound_path(data) as path, client:
            client.connect(path)
            client.sendall(line)
            with client.makefile("rb") as reply:
                document = json.loads(reply.readline(limits.CONTROL_ANSWER_BYTES_MAX + 1))
    except (OSError, ValueError) as error:
        raise ControlError(
            f"expected a running gateway in {data.parent}, got none ({_why(error)}); "
            "start it with catchment-edge run"
        ) from error
    if "error" in document:
        raise InputError([Problem("gateway", command, "a refusal", str(document["error"]))])
    return document["result"]


def _why(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "its socket belongs to another user"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return error.strerror or str(error) if isinstance(error, OSError) else "its answer is cut short"


@contextlib.contextmanager
def bound_path(data: Path) -> Iterator[str]:
    """A short path to the socket: one may have 107 characters, and a home directory more."""
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)
