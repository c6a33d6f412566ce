"""What a gateway's console does for a host: each call, twice, refused, and cut."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import limits
from edge_runtime.provision import console_config, console_reset, network, provisionfile
from edge_runtime.provision.console import finish_what_was_cut
from edge_runtime.provision.console_calls import Console, Slots
from edge_runtime.provision.console_reset import MARKER, Fate
from edge_runtime.provision.enrol import token_for
from protocols.console.calls import Call
from protocols.daemon import EventLog, alone, write_status
from protocols.enrolment import Token, unpack_link
from protocols.errors import InputError
from protocols.identity import LINK_KEY, SIGNING_KEY, Identity
from tests.gateway_home import GATEWAY_TOML, POINTS_CSV, token_of

QUIET = EventLog(stream=None)
TOKEN = token_of()


class FakeClock:
    """A machine whose clock is an hour behind."""

    def __init__(self) -> None:
        self.now_us = 1_760_000_000_000_000
        self.since_us = 5_000_000
        self.boots = "boot-1"

    def utc_us(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        return self.since_us

    def boot(self) -> str:
        return self.boots

    def set(self, utc_us: int) -> None:
        self.now_us = utc_us

    def wait(self, us: int) -> None:
        self.now_us += us
        self.since_us += us


class Bench:
    """A console of a home, called by name."""

    def __init__(self, home: Path, slots: Slots | None = None) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        self.clock = FakeClock()
        self.console = Console(home, self.clock, slots, "9.9")

    def call(self, name: str, **arguments: Any) -> Any:
        answer = self.console.answer(Call(1, name, arguments))
        assert answer.ok, answer.result
        return answer.result

    def refused(self, name: str, **arguments: Any) -> str:
        answer = self.console.answer(Call(1, name, arguments))
        assert not answer.ok
        return str(answer.result)

    def send(self, data: bytes, piece: int = 1000) -> bytes:
        sha256 = hashlib.sha256(data).digest()
        held = self.call("begin", sha256=sha256, size=len(data))["held"]
        while held < len(data):
            held = self.call("piece", sha256=sha256, offset=held, data=data[held : held + piece])["held"]
        return sha256

    def configure(self, config: str | None = GATEWAY_TOML, points: str | None = POINTS_CSV) -> Any:
        return self.call("config", files=self.files(config, points))

    def files(self, config: str | None, points: str | None) -> dict[str, bytes]:
        given = {"gateway.toml": config, "points.csv": points}
        return {name: self.send(text.encode()) for name, text in given.items() if text is not None}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "home")


def snapshot(home: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file() and "incoming" not in path.parts
    }


def test_a_bare_gateway_is_named_by_its_first_configuration(bench: Bench) -> None:
    assert bench.call("info")["identity"] is None
    taken = bench.configure()
    assert taken["new_identity"] and taken["id"] == "unit-1" and taken["points"] == 6
    info = bench.call("info")
    assert info["identity"]["id"] == "unit-1" and info["identity"]["site"] == "plant-a"
    assert info["configured"] and info["version"] == "9.9"
    Identity.load(bench.home)  # complete, and readable by its owner only
    keys = (bench.home / SIGNING_KEY).read_bytes()
    assert not bench.configure()["new_identity"]
    assert (bench.home / SIGNING_KEY).read_bytes() == keys


def test_no_call_gives_a_private_key_or_the_token(bench: Bench) -> None:
    bench.configure(GATEWAY_TOML.replace("unit = 3", "unit = 3\n# comment\n"))
    bench.call("provision", token=TOKEN, address="tcp://hub:7502")
    write_status(_data(bench.home) / "status.json", {"state": "running"})
    said = repr(
        [bench.call(name) for name in ("info", "health", "network", "time", "provision", "diagnostics")]
    )
    secrets = [(bench.home / name).read_text().strip() for name in (SIGNING_KEY, LINK_KEY)]
    made = bench.call("diagnostics")
    data = bench.call("read", sha256=made["sha256"], offset=0, size=made["size"])["data"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        said += "".join(archive.read(name).decode() for name in archive.namelist())
        assert sorted(archive.namelist()) == sorted(made["names"])
    assert not [secret for secret in (*secrets, TOKEN) if secret in said]
    assert "tcp://hub:7502" in said


def _data(home: Path) -> Path:
    (home / "data").mkdir(exist_ok=True)
    return home / "data"


def test_diagnostics_mask_passwords_however_they_are_kept(bench: Bench) -> None:
    from edge_runtime.provision.console_diagnostics import collect

    logs = bench.home / "logs"
    logs.mkdir()
    (logs / "gateway.log").write_text("the last words\n")
    (bench.home / "gateway.toml").write_text(
        '[log]\ndirectory = "logs"\n[device.dcs]\npassword = """many\nlines"""\nendpoint = "opc.tcp://u:hunter2@dcs"\n'
    )
    target = bench.home / "d.zip"
    collect(bench.home, target, {})
    with zipfile.ZipFile(target) as archive:
        text = archive.read("gateway.json").decode()
        assert archive.read("logs/gateway.log") == b"the last words\n"
        assert "points.csv.missing.txt" in archive.namelist()
    assert "many" not in text and "hunter2" not in text and "(not shown)" in text


@pytest.mark.parametrize(
    ("config", "points", "says"),
    [
        (GATEWAY_TOML, None, "points.csv"),
        (GATEWAY_TOML.replace("period_s = 1\n", "period_s = 0\n"), POINTS_CSV, "gateway.toml: line 6"),
        (GATEWAY_TOML, POINTS_CSV.replace("holding:0", "holding:x"), "points.csv: row 2"),
        ("[gateway", None, "gateway.toml"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_changes_nothing(
    bench: Bench, config: str, points: str | None, says: str
) -> None:
    before = snapshot(bench.home)
    text = bench.refused("config", files=bench.files(config, points))
    assert says in text and str(bench.home) not in text
    assert snapshot(bench.home) == before


def test_a_wrong_configuration_leaves_a_configured_gateway_as_it_was(bench: Bench) -> None:
    bench.configure()
    before = snapshot(bench.home)
    bench.refused("config", files=bench.files(GATEWAY_TOML.replace("unit-1", "unit-2"), None))
    bench.refused("config", files={"keys/signing.key": bench.send(b"x")})
    assert snapshot(bench.home) == before
    bench.configure(GATEWAY_TOML.replace("period_s = 10", "period_s = 20"), None)
    assert "period_s = 20" in (bench.home / "gateway.toml").read_text()


class CutError(Exception):
    """The power went."""


def test_a_configuration_that_was_cut_is_taken_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at every rename: what is replaced on a disk is replaced by one."""
    new = GATEWAY_TOML.replace("period_s = 10", "period_s = 20"), POINTS_CSV.replace("FT-101", "FT-201")
    outcomes = set()
    for cut in range(100):
        bench = Bench(tmp_path / f"home-{cut}")
        bench.configure()
        old = snapshot(bench.home)
        files = bench.files(*new)
        left = [cut]
        whole = False
        with monkeypatch.context() as patched:
            for name in ("rename", "replace"):
                patched.setattr(Path, name, _cutting(getattr(Path, name), left))
            try:
                bench.call("config", files=files)
                whole = True
            except CutError:
                pass
        finish_what_was_cut(bench.home, QUIET)
        now = snapshot(bench.home)
        changed = {name for name in now if now[name] != old.get(name)}
        assert changed in (set(), {"gateway.toml", "points.csv"}), f"cut {cut}"
        assert not console_config.finish(bench.home)
        outcomes.add(bool(changed))
        if whole:
            assert changed
            break
    else:
        raise AssertionError("it never came through")
    assert outcomes == {True, False} and cut >= 5


def _cutting(original: Any, left: list[int]) -> Any:
    def run(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise CutError
        return original(*arguments)

    return run


def test_a_first_configuration_that_was_cut_leaves_no_half_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cut in range(100):
        bench = Bench(tmp_path / f"home-{cut}")
        files = bench.files(GATEWAY_TOML, POINTS_CSV)
        left = [cut]
        with monkeypatch.context() as patched:
            for name in ("rename", "replace"):
                patched.setattr(Path, name, _cutting(getattr(Path, name), left))
            try:
                bench.call("config", files=files)
                break
            except CutError:
                pass
        finish_what_was_cut(bench.home, QUIET)
        bench.call("config", files=files)
        Identity.load(bench.home)
    assert cut >= 5


def test_a_file_goes_on_where_it_was_left(bench: Bench) -> None:
    data = os.urandom(5000)
    sha256 = hashlib.sha256(data).digest()
    bench.call("begin", sha256=sha256, size=5000)
    bench.call("piece", sha256=sha256, offset=0, data=data[:3000])
    again = Bench(bench.home)  # the console was started anew
    assert "begun" in again.refused("piece", sha256=sha256, offset=3000, data=data[3000:])
    held = again.call("begin", sha256=sha256, size=5000)
    assert held == {"held": 3000, "sha256": hashlib.sha256(data[:3000]).digest()}
    assert again.call("piece", sha256=sha256, offset=3000, data=data[3000:]) == {"held": 5000}
    assert again.call("begin", sha256=sha256, size=5000)["held"] == 5000


def test_a_file_that_is_another_than_announced_is_dropped(bench: Bench) -> None:
    sha256 = hashlib.sha256(b"right").digest()
    bench.call("begin", sha256=sha256, size=5)
    assert "announced" in bench.refused("piece", sha256=sha256, offset=0, data=b"wrong")
    assert bench.call("begin", sha256=sha256, size=5)["held"] == 0
    assert "send it first" in bench.refused("config", files={"gateway.toml": sha256})


@pytest.mark.parametrize(
    ("offset", "data"), [(1, b"abc"), (4, b"abc"), (0, b""), (0, b"far more than was announced"), (-1, b"a")]
)
def test_a_piece_that_does_not_follow_is_refused(bench: Bench, offset: int, data: bytes) -> None:
    sha256 = hashlib.sha256(b"abcdef").digest()
    bench.call("begin", sha256=sha256, size=6)
    assert "expected a piece at 0" in bench.refused("piece", sha256=sha256, offset=offset, data=data)


def test_old_files_make_room_and_huge_ones_are_refused(bench: Bench) -> None:
    for number in range(limits.CONSOLE_UPLOADS_MAX + 3):
        bench.send(b"file %d" % number)
    assert len(list((bench.home / "incoming").glob("*.whole"))) == limits.CONSOLE_UPLOADS_MAX
    size = limits.CONSOLE_UPLOAD_BYTES_MAX + 1
    assert "expected a file of" in bench.refused("begin", sha256=bytes(32), size=size)
    assert "SHA-256" in bench.refused("begin", sha256=b"../../x", size=1)


def test_an_image_goes_to_the_slots_and_is_dropped_then(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def install(image: Path) -> dict[str, Any]:
        if image.read_bytes() == b"bad":
            raise InputError([])
        seen.append(image.read_bytes())
        return {"installed": "b"}

    bench = Bench(tmp_path / "home", Slots(install, lambda: {"good": "a"}))
    assert bench.call("info")["slots"] == {"good": "a"}
    assert bench.call("image", sha256=bench.send(b"image")) == {"installed": "b"}
    bench.refused("image", sha256=bench.send(b"bad"))
    assert seen == [b"image"]
    assert "send it first" in bench.refused("image", sha256=hashlib.sha256(b"image").digest())
    assert "--root" in Bench(tmp_path / "other").refused("image", sha256=bench.send(b"image"))


def test_the_clock_is_right_however_late_the_word_comes(bench: Bench) -> None:
    theirs = bench.call("time")
    true_us = theirs["utc_us"] + 3_600_000_000
    zero_us = true_us - theirs["monotonic_us"]
    bench.clock.wait(90_000_000)  # the cable is pulled for a minute and a half
    for _ in range(2):
        told = bench.call("set-time", zero_us=zero_us, boot=theirs["boot"])
        assert told["utc_us"] == true_us + 90_000_000
    assert told["step_us"] == 0
    bench.clock.boots = "boot-2"
    assert "boot" in bench.refused("set-time", zero_us=zero_us, boot=theirs["boot"])
    assert "2020" in bench.refused("set-time", zero_us=-(10**15), boot="boot-2")


def test_what_is_provisioned_adds_up_and_is_kept_to_its_owner(bench: Bench) -> None:
    bench.call("provision", address="tcp://10.0.0.2:7502")
    told = bench.call("provision", token=TOKEN)
    assert told == {"address": "tcp://10.0.0.2:7502", "link": "", "token_given": True}
    path = bench.home / provisionfile.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert provisionfile.read(bench.home) == provisionfile.Provision("tcp://10.0.0.2:7502", "", TOKEN)
    text = bench.refused("provision", address="hub", token="two words of it")
    assert "tcp://HOST:PORT" in text and "two words" not in text


def test_enrolment_takes_the_token_and_the_hub_that_were_brought(bench: Bench) -> None:
    with pytest.raises(InputError, match=r"provision\.toml"):
        token_for(bench.home, "")
    bench.call("provision", token=TOKEN)
    assert token_for(bench.home, "") == Token.parse(TOKEN)
    link = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
    bench.call("provision", address="tcp://10.0.0.2:7502", link=link)
    token = token_for(bench.home, "")
    assert token.address == "tcp://10.0.0.2:7502" and token.link == unpack_link(link.encode())
    assert token_for(bench.home, TOKEN) == Token.parse(TOKEN), "what is said aloud is taken as it is"
    assert "copied whole" in bench.refused("provision", token=TOKEN[:-1])
    assert "copied whole" in bench.refused("provision", token=token_of("hub-1", "", "hub"))


def test_a_network_is_kept_only_when_it_is_right(bench: Bench) -> None:
    right = '[[interface]]\nname = "eth0"\naddress = "10.0.0.7/24"\n'
    bench.call("network", toml=right)
    assert "10.0.0.1" in bench.refused("network", toml=right + 'gateway = "10.0.1.1"\ndns = ["dns"]\n')
    for line in (
        'dns = ["fe80::1%a\\n[Route]"]',
        'address = "fe80::7/64"\ngateway = "fe80::1%a\\nDHCP=yes"',
        'address = "fe80::7%a\\nDHCP=yes/64"',
        '[[interface]]\nname = "eth1\\n[Route]"',
    ):
        assert "expected" in bench.refused("network", toml=f'[[interface]]\nname = "eth0"\n{line}\n'), line
    assert "time servers" in bench.refused("network", toml='ntp = ["fe80::1%a\\nDNS=10.0.0.9"]\n')
    assert bench.call("network")["toml"] == right


def test_networkd_units_follow_the_file(tmp_path: Path) -> None:
    home, units = tmp_path / "home", tmp_path / "units"
    home.mkdir()
    (home / network.FILE).write_text(
        'ntp = ["ntp.plant"]\n[[interface]]\nname = "eth0"\n[[interface]]\nname = "eth1"\n'
    )
    units.mkdir()
    (units / "20-other.network").write_text("")
    assert network.apply(home, units) == ["10-catchment-eth0.network", "10-catchment-eth1.network"]
    assert "DHCP=yes\nNTP=ntp.plant" in (units / "10-catchment-eth0.network").read_text()
    (home / network.FILE).write_text('[[interface]]\nname = "eth0"\naddress = "10.0.0.7/24"\n')
    assert network.apply(home, units) == ["10-catchment-eth0.network", "10-catchment-eth1.network"]
    assert sorted(path.name for path in units.iterdir()) == ["10-catchment-eth0.network", "20-other.network"]
    assert network.apply(home, units) == []


def test_a_reset_is_confirmed_by_name(bench: Bench) -> None:
    assert "'bare'" in bench.refused("reset", data="keep", confirm="unit-1")
    bench.configure()
    assert "'unit-1'" in bench.refused("reset", data="keep", confirm="unit-2")
    assert "keep or wipe" in bench.refused("reset", data="burn", confirm="unit-1")


def test_a_reset_keeps_or_wipes_as_said(bench: Bench) -> None:
    bench.configure()
    bench.call("provision", token=TOKEN)
    (_data(bench.home) / "buffer.db").write_bytes(b"unsent")
    with alone(bench.home / "data"):
        assert "stop its service" in bench.refused("reset", data="wipe", confirm="unit-1")
    gone = bench.call("reset", data="keep", confirm="unit-1")["gone"]
    assert gone == ["gateway.toml", "points.csv", "provision.toml", "incoming"]
    assert (bench.home / "data/buffer.db").read_bytes() == b"unsent"
    Identity.load(bench.home)
    bench.configure()
    bench.call("reset", data="wipe", confirm="unit-1")
    assert list(bench.home.iterdir()) == []
    assert bench.call("info")["identity"] is None


def test_a_reset_that_was_cut_is_finished(bench: Bench) -> None:
    bench.configure()
    (bench.home / MARKER).write_text(Fate.WIPE)
    (bench.home / "points.csv").unlink()
    finish_what_was_cut(bench.home, QUIET)
    assert list(bench.home.iterdir()) == []
    assert not console_reset.finish(bench.home)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nothing", {}),
        ("begin", {}),
        ("begin", {"sha256": "text", "size": 1}),
        ("begin", {"sha256": bytes(32), "size": True}),
        ("piece", {"sha256": bytes(32), "offset": 0, "data": bytes(1 << 17)}),
        ("config", {"files": {}}),
        ("config", {"files": {"gateway.toml": "x"}}),
        ("read", {"sha256": b"../../../etc", "offset": 0, "size": 1}),
        ("set-time", {"zero_us": 1.5, "boot": ""}),
        ("reset", {"data": "keep"}),
    ],
)
def test_a_wrong_call_is_refused_with_what_was_expected(
    bench: Bench, name: str, arguments: dict[str, Any]
) -> None:
    assert "expected" in bench.refused(name, **arguments)
