"""What commands fetch: no secrets, bounded, and brought up in pieces that nobody can change."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge_runtime.commands import bundle
from edge_runtime.commands.loglines import log_lines
from edge_runtime.commands.outbox import Outbox
from protocols import limits
from protocols.blobs import PART, Blobs
from protocols.calls import CallRefusedError, CallTimeoutError
from protocols.commandcalls import Piece
from protocols.errors import IntegrityError, LimitError, MalformedError
from protocols.identity import Identity
from tests.gateway_home import GATEWAY_TOML, make_home

SECRETS = """
[device.dcs]
driver = "opcua"
endpoint = "opc.tcp://li:hunter2@dcs.example:4840"
username = "li"
password = "hunter2"  # hunter2 it is
"""


def unpacked(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_diagnostics_hold_what_helps_and_no_secret(tmp_path: Path) -> None:
    home = make_home(tmp_path / "gw", GATEWAY_TOML + SECRETS)
    identity = Identity.create(home, "unit-1", "gateway")
    (home / "apps").mkdir()
    (home / "apps" / "gas.toml").write_text('api_token = "hunter2"\nscan = "fast"\n', encoding="utf-8")
    lines = [
        json.dumps({"event": "login", "password": "hunter2", "deep": {"secret": "hunter2"}}),
        json.dumps({"event": "device-lost", "peer": "opc.tcp://li:hunter2@dcs:4840"}),
        "not json: passwd=hunter2 token: 'hunter2'",
    ]
    data = bundle.diagnostics_bundle(home, {"gateway": "unit-1"}, lines, [], [])
    files = unpacked(data)
    assert set(files) >= {
        "status.json",
        "gateway.log",
        "gateway.toml",
        "points.csv",
        "identity.toml",
        "apps/gas.toml",
    }
    everything = "\n".join(files.values())
    assert "hunter2" not in everything
    assert json.loads(files["gateway.toml"])["device"]["dcs"]["username"] == "li"
    for key in ("signing.key", "link.key"):
        secret = (home / "keys" / key).read_text().strip()
        assert secret not in everything
    assert identity.public.signing.hex() in everything
    assert bundle.diagnostics_bundle(home, {"gateway": "unit-1"}, lines, [], []) == data


def test_a_configuration_that_does_not_parse_is_not_shown(tmp_path: Path) -> None:
    home = make_home(tmp_path / "gw", 'password = "hunter2\n')
    assert "hunter2" not in "".join(unpacked(bundle.diagnostics_bundle(home, {}, [], [], [])).values())


def test_a_log_that_is_too_long_keeps_its_newest_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LOG_BYTES_MAX", 1000)
    lines = [json.dumps({"event": f"e{number}"}) for number in range(1000)]
    kept = unpacked(bundle.log_bundle(lines))["gateway.log"].splitlines()
    assert json.loads(kept[0])["event"] == "older-lines-left-out"
    assert json.loads(kept[-1])["event"] == "e999" and len(kept) < 80


def test_what_does_not_shrink_is_cut_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BLOB_BYTES_MAX", 20_000)
    noise = Random(1)
    lines = [json.dumps({"event": noise.randbytes(50).hex()}) for _ in range(1000)]
    data = bundle.log_bundle(lines)
    assert len(data) <= 20_000
    assert unpacked(data)["gateway.log"].splitlines()[-1] == lines[-1]


def test_log_files_are_read_the_oldest_first(tmp_path: Path) -> None:
    for age, (name, text) in enumerate(
        [("gateway.log", "3\n4"), ("gateway.log.1", "2"), ("gateway.log.2", "1")]
    ):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert log_lines(tmp_path, ["memory"]) == ["1", "2", "3", "4"]
    assert log_lines(None, ["memory"]) == ["memory"]


class Up:
    """Takes pieces into a folder; loses and breaks as told."""

    def __init__(self, blobs: Blobs, lose_each: int = 0) -> None:
        self._blobs = blobs
        self._lose_each = lose_each
        self.calls = 0
        self.full = False
        self.back = False

    def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> Any:
        self.calls += 1
        if self.full:
            raise CallRefusedError("too-large", "no room")
        if self._lose_each and not self.calls % self._lose_each:
            raise CallTimeoutError("no answer")
        if self.back:
            return 0
        piece = Piece.parse(argument)
        return self._blobs.take(piece.gateway, piece.sha256, piece.size, piece.offset, piece.data)


def test_a_file_comes_up_whole_over_a_way_that_breaks_again_and_again(tmp_path: Path) -> None:
    outbox, blobs = Outbox(tmp_path / "gw", "unit-1"), Blobs(tmp_path / "hq")
    data = Random(1).randbytes(10 * limits.BLOB_PIECE_BYTES + 17)
    sha256 = outbox.put(data)
    up = Up(blobs, lose_each=4)
    while outbox.waiting:
        try:
            outbox.step(up, 60.0)
        except CallTimeoutError:
            outbox = Outbox(tmp_path / "gw", "unit-1")
    found = blobs.find("unit-1", sha256)
    assert found is not None and found.read_bytes() == data
    assert up.calls < 40, "it went on from where it broke"


def test_where_there_is_no_room_the_file_stays(tmp_path: Path) -> None:
    outbox, up = Outbox(tmp_path / "gw", "unit-1"), Up(Blobs(tmp_path / "hq"))
    outbox.put(b"logs")
    up.full = True
    outbox.step(up, 60.0)
    assert outbox.waiting


def test_an_upstream_that_never_moves_on_is_given_up(tmp_path: Path) -> None:
    outbox, up = Outbox(tmp_path / "gw", "unit-1"), Up(Blobs(tmp_path / "hq"))
    outbox.put(b"logs")
    up.back = True
    with pytest.raises(MalformedError, match="4 bytes to be there, got 0"):
        outbox.step(up, 60.0)
    assert outbox.waiting


def test_of_many_files_the_oldest_goes(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "unit-1")
    hashes = []
    for number in range(10):
        hashes.append(outbox.put(bytes([number])))
        path = outbox.find(hashes[-1])
        assert path is not None
        os.utime(path, (1000 + number, 1000 + number))
    assert [outbox.find(each) is not None for each in hashes] == [False] * 2 + [True] * 8


class TestBlobs:
    def test_what_has_another_hash_is_gone_and_can_be_sent_again(self, tmp_path: Path) -> None:
        blobs, sha256 = Blobs(tmp_path), hashlib.sha256(b"right").digest()
        with pytest.raises(IntegrityError):
            blobs.take("unit-1", sha256, 5, 0, b"wrong")
        assert blobs.take("unit-1", sha256, 5, 0, b"") == 0
        assert blobs.take("unit-1", sha256, 5, 0, b"right") == 5
        assert blobs.take("unit-1", sha256, 5, 0, b"other") == 5, "it is there already"

    def test_pieces_out_of_their_order_change_nothing(self, tmp_path: Path) -> None:
        blobs, sha256 = Blobs(tmp_path), hashlib.sha256(b"abcdef").digest()
        assert blobs.take("unit-1", sha256, 6, 3, b"def") == 0
        assert blobs.take("unit-1", sha256, 6, 0, b"abc") == 3
        assert blobs.take("unit-1", sha256, 6, 0, b"xyz") == 3
        assert blobs.find("unit-1", sha256) is None
        assert blobs.take("unit-1", sha256, 6, 3, b"def") == 6

    def test_all_owners_together_and_each_have_a_bound(self, tmp_path: Path) -> None:
        blobs = Blobs(tmp_path, total_bytes_max=100)
        blobs.take("unit-1", hashlib.sha256(b"a" * 60).digest(), 60, 0, b"a" * 60)
        with pytest.raises(LimitError):
            blobs.take("unit-2", hashlib.sha256(b"b" * 60).digest(), 60, 0, b"b" * 60)
        for number in range(20):  # begun and never ended
            blobs.take("unit-3", bytes([number]) * 32, 30, 0, b"c")
        assert len(list((tmp_path / "unit-3").glob(f"*{PART}"))) <= 8

    def test_what_is_old_is_swept(self, tmp_path: Path) -> None:
        blobs = Blobs(tmp_path)
        blobs.take("unit-1", hashlib.sha256(b"x").digest(), 1, 0, b"x")
        assert blobs.sweep(3600) == 0 and blobs.sweep(3600, now_s=10**11) == 1
        assert list(blobs.whole()) == []
