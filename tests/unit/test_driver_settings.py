"""Settings of drivers: what is accepted, and every fault told at once."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import pytest

from protocols.errors import InputError
from protocols.field import registry
from protocols.field.base import FieldType
from protocols.field.settings import Kind, Setting, validate

SETTINGS = (
    Setting("host", Kind.TEXT, "Host.", required=True, low=1, high=5),
    Setting("port", Kind.INTEGER, "Port.", 502, low=1, high=65535),
    Setting("timeout_s", Kind.NUMBER, "Wait.", 1.0, low=0.1, unit="s"),
    Setting("fast", Kind.BOOLEAN, "Fast.", False),
    Setting("order", Kind.TEXT, "Order.", "A", choices=("A", "B")),
    Setting("password", Kind.SECRET, "Secret.", high=8),
)


def test_what_is_left_out_is_filled_in() -> None:
    settings, problems = validate(SETTINGS, {"host": "plc"}, "g.toml", "[device.x]")
    assert problems == []
    assert settings.text("host") == "plc" and settings.integer("port") == 502
    assert settings.number("timeout_s") == 1.0 and settings.boolean("fast") is False
    assert settings.text("password") == ""


def test_every_fault_is_told_at_once_with_its_place() -> None:
    given = {"prot": 1, "port": 0, "timeout_s": "1", "fast": 1, "order": "C", "password": "much too long"}
    _, problems = validate(SETTINGS, given, "g.toml", "[device.x]")
    assert [problem.place.removeprefix("[device.x] ") for problem in problems] == [
        "prot", "host", "port", "timeout_s", "fast", "order", "password",
    ]  # fmt: skip
    assert "did you mean 'port'" in problems[0].expected
    assert "much too long" not in str(problems[-1])


@pytest.mark.parametrize(
    ("name", "value"),
    (
        ("port", True),
        ("port", 1.0),
        ("timeout_s", float("nan")),
        ("timeout_s", float("inf")),
        ("host", ""),
        ("host", 5),
    ),
)
def test_a_value_of_the_wrong_kind_is_refused(name: str, value: object) -> None:
    given = {"host": "plc"} | {name: value}
    assert [p.place for p in validate(SETTINGS, given, "f", "[d]")[1]] == [f"[d] {name}"]


def test_a_whole_number_is_a_number() -> None:
    settings, problems = validate(SETTINGS, {"host": "plc", "timeout_s": 2}, "f", "[d]")
    assert problems == [] and isinstance(settings.number("timeout_s"), float)


def test_settings_never_print_their_values() -> None:
    settings, _ = validate(SETTINGS, {"host": "plc", "password": "hush"}, "f", "[d]")
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("name", registry.names())
def test_every_setting_of_every_driver_teaches(name: str) -> None:
    kind = registry.driver_type(name)
    assert (
        kind.name == name and kind.title and kind.maturity in ("simulated", "peer-tested", "hardware-tested")
    )
    for setting in kind.settings:
        assert setting.help.endswith("."), setting.name
        assert setting.required or setting.default is None or setting.accept(setting.default)[0], setting.name


@pytest.mark.parametrize(
    ("driver", "given", "place"),
    (
        ("modbus-tcp", {"host": "plc", "text_encoding": "klingon"}, "text_encoding"),
        ("modbus-tcp", {"host": "plc", "text_encoding": "hex"}, "text_encoding"),
        ("modbus-tcp", {"host": "plc", "reconnect_longest_s": 0.1}, "reconnect_longest_s"),
        ("opcua", {"endpoint": "http://plc:4840"}, "endpoint"),
        ("opcua", {"endpoint": "opc.tcp://plc:99999"}, "endpoint"),
        ("opcua", {"endpoint": "opc.tcp://plc:4840", "security_mode": "Sign"}, "security_mode"),
        ("opcua", {"endpoint": "opc.tcp://plc:4840", "certificate": "c.der"}, "private_key"),
        ("opcua", {"endpoint": "opc.tcp://plc:4840", "password": "p"}, "user"),
        ("opcua", {"endpoint": "opc.tcp://plc:4840", "reconnect_longest_s": 0.1}, "reconnect_longest_s"),
    ),
)
def test_settings_that_contradict_each_other_are_refused(
    driver: str, given: dict[str, Any], place: str
) -> None:
    with pytest.raises(InputError) as refusal:
        registry.create(driver, given)
    assert [problem.place for problem in refusal.value.problems] == [f"[device.device] {place}"]


def test_an_unknown_driver_is_told_which_there_are() -> None:
    with pytest.raises(InputError, match="did you mean 'modbus-tcp'"):
        registry.driver_type("modbus-tpc")


def test_a_driver_that_another_package_brings_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "abacus"

        def load(self) -> object:
            return registry.driver_type("modbus-tcp")

    def entry_points(group: str, name: str = "") -> list[Entry]:
        assert group == "catchment.drivers"
        return [Entry()] if name in ("", "abacus") else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert "abacus" in registry.names()
    assert registry.driver_type("abacus").expect("holding:1", FieldType.INT16) is None


def test_a_driver_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN, "abacus", "no_such_package:DRIVER")
    with pytest.raises(InputError, match=r"install catchment\[edge\]"):
        registry.driver_type("abacus")


@pytest.mark.parametrize("name", ["pasword", "passwort", "apiToken", "client_secret"])
def test_a_misspelt_secret_is_not_shown(name: str) -> None:
    _, [problem] = validate((), {name: "hunter2"}, "gateway.toml", "[device.dcs]")
    assert problem.value == "(secret)" and "hunter2" not in str(problem)
