"""OPC UA security and users, with node-opcua: every policy and mode, and what must not get in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from protocols.errors import DeviceError
from protocols.field._opcua_certificate import CERTIFICATE_FILE, KEY_FILE, make
from protocols.field.base import Driver, DriverContext, DriverEvent
from protocols.field.registry import create
from tests.contract.driver_suite import all_bad, read, right
from tests.contract.worlds import QUICK, opcua_world
from tests.peers.foreign import OpcUaPeer

POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
OPERATOR = {"user": "operator", "password": "steam"}


@asynccontextmanager
async def driver(
    peer: OpcUaPeer, keys: Path, settings: dict[str, Any], events: list[DriverEvent] | None = None
) -> AsyncIterator[Driver]:
    context = DriverContext(gateway="unit-1", keys=keys, events=(events if events is not None else []).append)
    given = {"endpoint": peer.endpoint, **QUICK, "timeout_s": 4.0, "connect_timeout_s": 10.0} | settings
    device = create("opcua", given, context)
    try:
        yield device
    finally:
        await device.close()


@pytest.mark.parametrize("mode", ("Sign", "SignAndEncrypt"))
@pytest.mark.parametrize("policy", POLICIES)
async def test_every_policy_and_mode_reads_as_a_user(
    opcua_peer: OpcUaPeer, tmp_path_factory: pytest.TempPathFactory, policy: str, mode: str
) -> None:
    keys = tmp_path_factory.getbasetemp() / "keys-of-unit-1"
    world = opcua_world(opcua_peer.port, opcua_peer.namespace)
    async with driver(
        opcua_peer, keys, {"security_policy": policy, "security_mode": mode, **OPERATOR}
    ) as device:
        await device.connect()
        right(world, await read(device, device.plan(world.points)))


async def test_the_gateway_s_own_certificate_is_made_once_and_told(
    opcua_peer: OpcUaPeer, tmp_path: Path
) -> None:
    events: list[DriverEvent] = []
    secure = {"security_policy": POLICIES[0], "security_mode": "Sign"}
    for _ in range(2):
        async with driver(opcua_peer, tmp_path, secure, events) as device:
            await device.connect()
    assert [event.name for event in events].count("device-certificate-made") == 1
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / CERTIFICATE_FILE).exists()


async def test_an_operator_s_own_certificate_is_used(opcua_peer: OpcUaPeer, tmp_path: Path) -> None:
    own = make(tmp_path / "own", "another-name", 1_767_000_000_000_000)
    settings = {
        "security_policy": POLICIES[0],
        "security_mode": "SignAndEncrypt",
        "certificate": str(own.certificate),
        "private_key": str(own.key),
    }
    async with driver(opcua_peer, tmp_path / "none", settings) as device:
        await device.connect()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "settings",
    (
        {"user": "operator", "password": "water"},
        {"user": "nobody", "password": "steam"},
        {"security_policy": POLICIES[0], "security_mode": "Sign", "user": "operator", "password": "water"},
    ),
)
async def test_wrong_users_stay_out_and_points_are_bad(
    opcua_peer: OpcUaPeer, tmp_path: Path, settings: dict[str, Any]
) -> None:
    world = opcua_world(opcua_peer.port, opcua_peer.namespace)
    async with driver(opcua_peer, tmp_path, settings) as device:
        with pytest.raises(DeviceError):
            await device.connect()
        assert all_bad(await read(device, device.plan(world.points)))
        assert "steam" not in device.status.last_error and "water" not in device.status.last_error


async def test_another_server_s_certificate_is_not_believed(opcua_peer: OpcUaPeer, tmp_path: Path) -> None:
    impostor = make(tmp_path / "impostor", "impostor", 1_767_000_000_000_000)
    settings = {
        "security_policy": POLICIES[0],
        "security_mode": "SignAndEncrypt",
        "server_certificate": str(impostor.certificate),
    }
    async with driver(opcua_peer, tmp_path / "keys", settings) as device:
        with pytest.raises(DeviceError):
            await device.connect()


async def test_security_without_a_place_for_keys_says_what_is_missing(opcua_peer: OpcUaPeer) -> None:
    given = {"endpoint": opcua_peer.endpoint, "security_policy": POLICIES[0], "security_mode": "Sign"}
    device = create("opcua", given, DriverContext(keys=None))
    with pytest.raises(DeviceError, match="certificate"):
        await device.connect()
    await device.close()
