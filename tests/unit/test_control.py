"""The control door: one line in, one line out, and nothing that comes in harms the gateway."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime import control, limits
from edge_runtime.control import SOCKET, ControlError, Door, ask, bound_path, dispatch, read_line
from protocols.errors import InputError, StoreError

BUGS: list[BaseException] = []


def refuse(arguments: Mapping[str, Any]) -> object:
    raise StoreError("expected room on the disk, got none")


def broken(arguments: Mapping[str, Any]) -> object:
    raise ZeroDivisionError


def astray(arguments: Mapping[str, Any]) -> object:
    raise FileNotFoundError("an error of ours, not of the client's socket")


COMMANDS: dict[str, control.Command] = {
    "echo": dict,
    "refuse": refuse,
    "large": lambda arguments: "x" * (limits.CONTROL_ANSWER_BYTES_MAX + 1),
    "broken": broken,
    "astray": astray,
}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Path]:
    BUGS.clear()
    data = tmp_path / ("a-rather-long-name-" * 8)
    data.mkdir()
    served = Door(data, COMMANDS, BUGS.append)
    served.start()
    yield data
    served.close()


def talk(data: Path, sent: bytes) -> bytes:
    """Send something, say that it is all, and read everything that comes."""
    with bound_path(data) as path, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as reply:
            return reply.read()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b'{"command": "echo", "arguments": {"a": [1]}}', {"result": {"a": [1]}}),
        (b'{"command": "echo"}\n', {"result": {}}),
        (b"", {"error": "expected one line of JSON"}),
        (b"\xff\xfe", {"error": "expected one line of JSON"}),
        (b"[" * 100_000, {"error": "expected one line of JSON"}),
        (b"[]", {"error": "expected a JSON object with command and arguments"}),
        (
            b'{"command": "echo", "arguments": []}',
            {"error": "expected a JSON object with command and arguments"},
        ),
        (b'{"command": "refuse"}', {"error": "expected room on the disk, got none"}),
    ],
)
def test_every_line_has_an_answer(line: bytes, answer: object) -> None:
    assert json.loads(dispatch(COMMANDS, line)) == answer


@pytest.mark.parametrize("command", [b'"fly"', b"7", b"null", b'["echo"]', b'"' + b"x" * 5000 + b'"'])
def test_an_unknown_command_is_answered_with_the_known_ones(command: bytes) -> None:
    answer = json.loads(dispatch(COMMANDS, b'{"command": ' + command + b"}"))
    assert "broken, echo, large, refuse" in answer["error"]
    assert len(answer["error"]) < 300


def test_an_answer_beyond_the_bound_is_not_sent() -> None:
    assert "ask for less" in json.loads(dispatch(COMMANDS, b'{"command": "large"}'))["error"]


@given(st.binary(max_size=200))
def test_rubbish_is_answered_with_an_error(rubbish: bytes) -> None:
    assert list(json.loads(dispatch({}, rubbish))) == ["error"]


def test_a_command_goes_through_the_door_and_back(door: Path) -> None:
    assert ask(door, "echo", {"名": "值"}) == {"名": "值"}
    with pytest.raises(InputError, match="expected room on the disk"):
        ask(door, "refuse", {})


def test_only_the_owner_may_use_it(door: Path) -> None:
    assert stat.S_IMODE((door / SOCKET).stat().st_mode) == 0o600


@pytest.mark.parametrize("sent", [b"", b"\n", b"rubbish", b"x" * (limits.CONTROL_REQUEST_BYTES_MAX + 10)])
def test_the_door_stands_what_comes_in(door: Path, sent: bytes) -> None:
    assert b"error" in talk(door, sent)
    assert ask(door, "echo", {}) == {}
    assert not BUGS


def test_a_bug_in_a_command_is_told_and_the_door_goes_on(door: Path) -> None:
    for command in ("broken", "astray"):
        with pytest.raises(ControlError):
            ask(door, command, {})
    assert [type(bug) for bug in BUGS] == [ZeroDivisionError, FileNotFoundError]
    assert ask(door, "echo", {}) == {}


def test_many_clients_are_served_one_after_the_other(door: Path) -> None:
    answers: list[object] = []
    clients = [
        threading.Thread(target=lambda n=n: answers.append(ask(door, "echo", {"n": n})["n"]))
        for n in range(20)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert sorted(answers, key=str) == sorted(range(20), key=str)


def test_a_client_that_is_slow_loses_its_turn() -> None:
    ours, theirs = socket.socketpair()
    seconds = iter([0.0, 1.0, control.TIMEOUT_S + 1])
    with ours, theirs:
        theirs.sendall(b'{"comm')
        with pytest.raises(TimeoutError):
            read_line(ours, lambda: next(seconds))


def test_without_a_gateway_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="start it with catchment-edge run"):
        ask(tmp_path, "echo", {})
    dead = Door(tmp_path, COMMANDS, BUGS.append)
    dead.close()
    with pytest.raises(ControlError):
        ask(tmp_path, "echo", {})


def test_a_socket_that_a_killed_gateway_left_is_replaced(tmp_path: Path) -> None:
    with bound_path(tmp_path) as path:
        left = socket.socket(socket.AF_UNIX)
        left.bind(path)
        left.close()
    served = Door(tmp_path, COMMANDS, BUGS.append)
    served.start()
    assert ask(tmp_path, "echo", {"a": 1}) == {"a": 1}
    served.close()
    assert not (tmp_path / SOCKET).exists()


def test_a_request_that_no_gateway_would_read_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="use a pattern"):
        ask(tmp_path, "echo", {"a": "x" * limits.CONTROL_REQUEST_BYTES_MAX})
