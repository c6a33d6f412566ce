"""Updates through real processes: headquarters and hub killed, commands killed at their writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.push_down import APP, Tiers, begin, mirror, running, until, wait_for_state
from edge_runtime.updates import GatewaySource, adopt_root
from headquarters.updates import Updates
from headquarters.updates.keyfile import KeyPair, write_key
from protocols.calls import CallTimeoutError, ServiceAddress
from protocols.identity import Identity

GATEWAYS = [Identity.generate(f"unit-{number}", "gateway") for number in range(3)]


@pytest.fixture
def tiers(tmp_path: Path) -> Iterator[Tiers]:
    with running(tmp_path, GATEWAYS) as started:
        yield started


def gateway(folder: Path, identity: Identity, tiers: Tiers, root: bytes) -> GatewaySource:
    home = folder / f"{identity.id}-{len(list(folder.iterdir()))}"
    home.mkdir()
    adopt_root(home, root)
    return GatewaySource(home, identity.id, identity.link, [ServiceAddress("hub", tiers.address, tiers.link)])


def test_a_gateway_reboots_and_installs_while_headquarters_is_dead(tiers: Tiers, tmp_path: Path) -> None:
    desk = begin(tmp_path / "hq")
    file = tmp_path / "app"
    file.write_bytes(os.urandom(700_000))
    app = desk.add(file, APP)
    desk.direct({each.id: each.id.encode() for each in GATEWAYS})
    wait_for_state(tiers, desk)
    first = gateway(tmp_path, GATEWAYS[0], tiers, desk.root())
    assert first.desired() == b"unit-0"
    assert first.fetch(app.path, app.sha256, app.length).read_bytes() == file.read_bytes()
    os.kill(tiers.headquarters, signal.SIGKILL)
    until(lambda: mirror(tiers)["headquarters_silent_s"] is not None)
    second = gateway(tmp_path, GATEWAYS[1], tiers, desk.root())
    assert second.desired() == b"unit-1"
    assert second.fetch(app.path, app.sha256, app.length).read_bytes() == file.read_bytes()
    for source in (first, second):
        source.close()


def test_a_key_that_the_hub_does_not_know_is_not_answered(tiers: Tiers, tmp_path: Path) -> None:
    desk = begin(tmp_path / "hq")
    desk.direct({GATEWAYS[0].id: b"secret"})
    wait_for_state(tiers, desk)
    stranger = Identity.generate("unit-0", "gateway")
    source = gateway(tmp_path, stranger, tiers, desk.root())
    assert source._upward is not None
    with pytest.raises(CallTimeoutError):
        source._upward.call("file", ("metadata/timestamp.json", 0, 100), 1.0)
    source.close()


def test_commands_killed_at_their_writes_leave_what_gateways_accept(tiers: Tiers, tmp_path: Path) -> None:
    desk = begin(tmp_path / "hq")
    acme = KeyPair.new()
    write_key(tmp_path / "keys" / "acme.key", "acme", acme)
    desk.keys.hold(acme)
    desk.rotate("acme", acme.public)
    file = tmp_path / "app"
    file.write_bytes(b"an app")
    source = gateway(tmp_path, GATEWAYS[0], tiers, desk.root())
    killed = 0
    for attempt in range(12):
        command = ["updates", "add", str(file), "--as", f"apps/acme/pump-{attempt}.capp"]
        arguments = ["--home", str(tmp_path / "hq"), "--key", str(tmp_path / "keys" / "acme.key")]
        environment = os.environ | {"CATCHMENT_CRASH": f"hq:before-updates-write:0.3:{attempt}"}
        ran = subprocess.run(
            [sys.executable, "-m", "headquarters.cli", *command, *arguments],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert ran.returncode in (0, -signal.SIGKILL), ran.stderr
        killed += ran.returncode != 0
        wait_for_state(tiers, Updates(tmp_path / "hq", 90))
        source.desired()  # verifies all of it
    assert 2 <= killed <= 10
    published = Updates(tmp_path / "hq", 90).published()
    assert len(published) == 12 - killed
    for each in published:
        assert source.fetch(each.path, each.sha256, each.length).read_bytes() == b"an app"
    source.close()
