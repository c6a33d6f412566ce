"""Backups into an object store of another vendor, and kills in the middle of a run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pyarrow import fs

from headquarters.config import load
from headquarters.verify import Verification
from hub import schema
from hub.cli import main as hub_cli
from hub.store import Store
from protocols import crash
from tests.backup_parts import operate
from tests.chains import ChainOfBatches
from tests.hub_parts import DATA, accept
from tests.lake_parts import HandGateway, Headquarters, scan
from tests.peers.foreign import ROOT, MissingPeerError, free_port

PYTHON = ROOT / "build/peers/s3/bin/python"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
START_S = 60.0


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 server, moto's, as a process of its own."""
    if not PYTHON.exists():
        raise MissingPeerError(f"expected {PYTHON}; run: make peers")
    port = free_port()
    command = [str(PYTHON), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + START_S
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1.0).close()
                    break
                except OSError:
                    assert server.poll() is None and time.monotonic() < deadline, (
                        "moto's server did not start"
                    )
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def as_process(*arguments: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    """A command, its module first, as a process of its own."""
    command = [sys.executable, "-m", *arguments]
    environment = {**os.environ, **CREDENTIALS, crash.VARIABLE: crash_at}
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=90)


def test_a_run_into_an_object_store_survives_kill_9_and_sends_the_rest_only(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    gateway = HandGateway()
    headquarters = Headquarters(tmp_path / "hq", gateway)
    headquarters.take(gateway.open(), gateway.data(scan(0), scan(1)))
    large = headquarters.home / "data/quarantine"
    large.mkdir()
    for number in range(60):
        (large / f"{number:02d}.payload").write_bytes(os.urandom(70_000))
    bucket = bucket_at(endpoint)
    place = ("--place", "s3://plant/hq", "--endpoint", endpoint)
    where = ("--home", str(headquarters.home), *place, "--key-file", str(tmp_path / "backup.key"))
    assert operate("init", *where) == []

    killed = as_process("headquarters.cli", "backup", "run", *where, crash_at="backup:after-object:0.04:3")
    assert killed.returncode == -9, killed.stderr
    there = [info for info in listed(bucket, "plant/hq/objects") if info.size]
    assert 0 < len(there) < 60 and not listed(bucket, "plant/hq/manifests")

    done = as_process("headquarters.cli", "backup", "run", *where, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["written_bytes"] < told["bytes"] - 70_000 * (len(there) - 1)
    assert operate("verify", *where)[-1]["faults"] == []
    assert operate("drill", *where)[-1]["rows"]["samples"] == {"expected": 6, "found": 6}

    path = max(listed(bucket, "plant/hq/objects"), key=lambda info: info.size).path
    damage(bucket, path)
    [fault] = operate("verify", *where, code=1)[-1]["faults"]
    assert fault["object"] == path.removeprefix("plant/hq/") and "bytes 0 to" in fault["fault"]
    operate("run", *where, "--full")
    operate("prune", *where, "--keep-last", "1", "--keep-daily", "0", "--keep-monthly", "0")
    operate("restore", *where, "--to", str(tmp_path / "new"))
    assert Verification(load(tmp_path / "new")).run().faults == []


def test_a_hub_comes_back_from_an_object_store_with_what_it_held(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    bucket = bucket_at(endpoint)
    home, restored = tmp_path / "hub", tmp_path / "restored"
    made = CliRunner().invoke(hub_cli, ["init", "--home", str(home), "--id", "hub"])
    assert made.exit_code == 0, made.output
    with (home / "hub.toml").open("a", encoding="utf-8") as config:
        config.write(
            f'\n[backup]\nplace = "s3://plant/hub"\nendpoint = "{endpoint}"\nkey_file = "../hub.key"\n'
        )
    (home / "data").mkdir()
    kept = ChainOfBatches(*DATA).grow(os.urandom(50_000) for _ in range(60)).batches
    with closing(schema.connect(home / "data/hub.db")) as connection:
        Store(connection).append(accept(kept))
    where = ("--home", str(home))
    operate("init", *where, program=hub_cli)

    killed = as_process("hub.cli", "backup", "run", *where, crash_at="backup:after-object:1:1")
    assert killed.returncode == -9, killed.stderr
    assert listed(bucket, "plant/hub/objects") and not listed(bucket, "plant/hub/manifests")
    done = as_process("hub.cli", "backup", "run", *where, "--json")
    assert done.returncode == 0, done.stderr
    assert operate("verify", *where, program=hub_cli)[-1]["faults"] == []
    operate("restore", *where, "--to", str(restored), program=hub_cli)
    with closing(schema.connect(restored / "data/hub.db")) as connection:
        row = Store(connection).chains.get(DATA)
        assert row is not None and (row.floor, row.next) == (0, len(kept))

    path = max(listed(bucket, "plant/hub/objects"), key=lambda info: info.size).path
    damage(bucket, path)
    [fault] = operate("verify", *where, code=1, program=hub_cli)[-1]["faults"]
    assert fault["object"] == path.removeprefix("plant/hub/")
    refused = CliRunner().invoke(hub_cli, ["backup", "restore", *where, "--to", str(tmp_path / "no")])
    assert refused.exit_code != 0 and not (tmp_path / "no").exists()


def bucket_at(endpoint: str) -> Any:
    """The server's files, with a bucket `plant`."""
    bucket = fs.S3FileSystem(
        endpoint_override=endpoint.removeprefix("http://"), scheme="http", allow_bucket_creation=True
    )
    bucket.create_dir("plant")
    return bucket


def damage(bucket: Any, path: str) -> None:
    """Change one byte of an object."""
    content = bytearray(bucket.open_input_file(path).read())
    content[500] ^= 1
    with bucket.open_output_stream(path) as stream:
        stream.write(bytes(content))


def listed(bucket: Any, prefix: str) -> list[Any]:
    found = bucket.get_file_info(fs.FileSelector(prefix, recursive=True, allow_not_found=True))
    return [info for info in found if info.type == fs.FileType.File]
