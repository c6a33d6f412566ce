"""`catchment-hq updates` and `catchment-edge trust`, as a person uses them."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from benchmarks.push_down import free_ports, until
from edge_runtime.cli import invoke
from edge_runtime.updates import ROOT, GatewaySource
from headquarters.cli import main
from headquarters.cli.updates import PASSPHRASE
from headquarters.main import run
from protocols.daemon import Stop, read_status
from protocols.errors import MalformedError
from protocols.identity import Identity
from tests.update_parts import APP, Hub, Reference

SECRET = "correct horse"


class Desk:
    """A home of headquarters and a stick with keys."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "hq"
        self.stick = folder / "stick"
        self.file = folder / "app"
        self.file.write_bytes(b"an app")
        assert CliRunner().invoke(main, ["init", "--home", str(self.home), "--id", "hq"]).exit_code == 0

    def run(self, *arguments: str, secret: str | None = SECRET) -> Result:
        """Run a command of `updates`; words in capitals are files of the stick."""
        named = [
            str(self.stick / each) if each.endswith((".key", ".pub", ".json")) else each for each in arguments
        ]
        environment = {} if secret is None else {PASSPHRASE: secret}
        command, *rest = named
        home = [] if command in ("key", "sign") else ["--home", str(self.home)]
        return CliRunner().invoke(main, ["updates", command, *home, *rest], env=environment)

    def done(self, *arguments: str) -> str:
        """Run a command that does."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output + result.stderr
        return result.stdout

    def refused(self, *arguments: str, secret: str | None = SECRET) -> str:
        """Run a command that says why it does not."""
        result = self.run(*arguments, secret=secret)
        assert result.exit_code == 2, result.output
        return result.stderr

    def ceremony(self) -> None:
        """Two of three holders."""
        self.done("init")
        self.done("ceremony", "--holders", "3", "--threshold", "2", "--out", str(self.stick), "--seal")

    def install(self, path: str = APP) -> bytes | None:
        """What python-tuf's client gets."""
        hub = Hub(self.home / "data" / "updates" / "public")
        root = (hub.public / "metadata" / "1.root.json").read_bytes()
        return Reference(self.home.parent / "client", root, hub).install(path)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.ceremony()
    return made


def test_a_ceremony_leaves_sealed_files_and_a_root_in_force(desk: Desk) -> None:
    names = {file.name for file in desk.stick.glob("*.key")}
    assert names == {"root-1.key", "root-2.key", "root-3.key", "targets.key", "firmware.key"}
    for file in desk.stick.glob("*.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "seed" not in file.read_text()
    for file in (desk.home / "keys" / "updates").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = json.loads(desk.done("status", "--json"))
    assert found["root_waits"] is None
    assert {row["role"]: row["key_is_here"] for row in found["roles"]} == {
        **dict.fromkeys(("root", "targets", "firmware"), "no"),
        **dict.fromkeys(("snapshot", "timestamp", "director", "config"), "yes"),
    }


def test_a_ceremony_does_not_leave_keys_in_the_home(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    words = desk.refused("ceremony", "--holders", "1", "--threshold", "1", "--out", str(desk.home / "keys"))
    assert "a directory outside the home" in words
    words = desk.refused(
        "ceremony", "--holders", "1", "--threshold", "1", "--out", str(desk.stick), "--seal", secret=None
    )
    assert PASSPHRASE in words
    assert not desk.stick.exists()


def test_holders_with_keys_of_their_own_sign_one_after_the_other(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for holder in ("lee", "kim"):
        desk.done("key", f"{holder}.key", "--seal")
    out = ["--threshold", "2", "--out", str(desk.stick)]
    told = desk.done("ceremony", "--holder", "lee.pub", "--holder", "kim.pub", *out)
    assert "The root waits for 2 more" in told
    assert "expected a root that was signed" in desk.refused("root", str(tmp_path / "root"))
    assert "waits for 1 more" in desk.done("sign-root", "--key", "lee.key")
    assert "is published" in desk.done("sign-root", "--key", "kim.key")


def test_publish_list_and_take_back(desk: Desk) -> None:
    desk.done("key", "acme.key")
    desk.done("add-publisher", "acme", "--public", "acme.pub", "--key", "targets.key")
    desk.done("add", str(desk.file), "--as", APP, "--key", "acme.key")
    assert desk.install() == b"an app"
    listed: list[dict[str, Any]] = json.loads(desk.done("list", "--json"))
    assert [(each["path"], each["role"], each["length"]) for each in listed] == [(APP, "publisher-acme", 6)]
    desk.done("remove", APP, "--key", "acme.key")
    assert desk.install() is None
    assert json.loads(desk.done("list", "--json")) == []


def test_publish_what_was_signed_elsewhere(desk: Desk) -> None:
    desk.done("key", "acme.key")
    desk.done("add-publisher", "acme", "--public", "acme.pub", "--key", "targets.key")
    add = ["add", str(desk.file), "--as", APP]
    assert "have it signed where the key is" in desk.refused(*add)
    desk.done(*add, "--unsigned", "acme.json")
    assert "signed by 0/1 keys" in desk.refused(*add, "--signed", "acme.json")
    desk.done("sign", "acme.json", "--key", "acme.key")
    desk.done(*add, "--signed", "acme.json")
    assert desk.install() == b"an app"
    desk.done("remove", APP, "--unsigned", "acme.json")
    desk.done("sign", "acme.json", "--key", "acme.key")
    desk.done("remove", APP, "--signed", "acme.json")
    assert desk.install() is None


def test_wrong_keys_are_refused_with_what_to_do(desk: Desk) -> None:
    desk.done("key", "acme.key")
    words = desk.refused(
        "add-publisher", "acme", "--public", "acme.pub", "--key", "targets.key", secret="wrong"
    )
    assert "a wrong passphrase" in words
    words = desk.refused("add-publisher", "acme", "--public", "acme.pub", "--key", "targets.key", secret=None)
    assert "its passphrase" in words
    words = desk.refused("add-publisher", "acme", "--public", "acme.pub", "--key", "acme.key")
    assert "1 of the keys of targets; say --key FILE for" in words
    assert "expected the key of a holder" in desk.refused("sign-root", "--key", "acme.key")
    assert "the key file of a holder" in desk.refused("sign-root")
    assert "known publisher" in desk.refused("add", str(desk.file), "--as", "apps/nobody/x.capp")


@pytest.mark.parametrize(
    "role", ("snapshot", "timestamp", "director", "config", "targets", "firmware", "acme")
)
def test_every_key_can_be_rotated(role: str, desk: Desk) -> None:
    desk.done("add-publisher", "acme", "--out", str(desk.stick / "acme.key"), "--key", "targets.key")
    desk.done("add", str(desk.file), "--as", APP, "--key", "acme.key")
    assert desk.install() == b"an app"
    arguments = ["rotate", role, "--key", "targets.key"]
    if role in ("targets", "firmware", "acme"):
        assert f"the new key of {role}" in desk.refused(*arguments)
        desk.done("key", "new.key")
        arguments += ["--new", "new.key"]
    told = desk.done(*arguments)
    if role in ("snapshot", "timestamp", "targets"):
        assert "in the root that waits" in told
        desk.done("sign-root", "--key", "root-1.key")
        desk.done("sign-root", "--key", "root-2.key")
    assert desk.install() == b"an app"
    desk.done("renew", role, *(["--key", "new.key"] if "new.key" in arguments else []))
    assert desk.install() == b"an app"


def test_a_holder_is_replaced(desk: Desk) -> None:
    desk.done("key", "new.key")
    old = (desk.stick / "root-1.pub").read_text().split('keyid = "')[1][:12]
    assert "--holder" in desk.refused("rotate", "root", "--new", "new.pub")
    assert "the beginning of one of" in desk.refused(
        "rotate", "root", "--new", "new.pub", "--holder", "0000000000"
    )
    desk.done("rotate", "root", "--new", "new.pub", "--holder", old)
    assert "root 2 waits" in desk.done("status")
    desk.done("sign-root", "--key", "root-2.key", "--key", "root-3.key")
    assert "expected the key of a holder" in desk.refused("sign-root", "--key", "root-1.key")


def test_a_gateway_begins_trust_once(desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, root = tmp_path / "gateway", tmp_path / "root.json"
    desk.done("root", str(root))
    home.mkdir()
    assert invoke(["trust", "--home", str(home), str(root)]) == 0
    assert invoke(["trust", "--home", str(home), str(root)]) == 0
    (tmp_path / "other").mkdir()
    other = Desk(tmp_path / "other")
    other.ceremony()
    other.done("root", str(tmp_path / "other.json"))
    capsys.readouterr()
    assert invoke(["trust", "--home", str(home), str(tmp_path / "other.json")]) == 2
    assert "remove root.json and data/updates first" in capsys.readouterr().err
    for lie in (b"", b"{}", root.read_bytes().replace(b'"threshold":2', b'"threshold":1')):
        (tmp_path / "lie.json").write_bytes(lie)
        assert invoke(["trust", "--home", str(home), str(tmp_path / "lie.json")]) == 2
    assert (home / ROOT).read_bytes() == root.read_bytes()


def test_a_gateway_without_a_root_or_a_service_is_offered_nothing(tmp_path: Path) -> None:
    source = GatewaySource(tmp_path, "unit-1", Identity.generate("unit-1", "gateway").link, [])
    assert source.desired() is None
    assert source.describe() is None
    with pytest.raises(MalformedError, match=r"root\.json"):
        source.fetch(APP, bytes(32), 1)
    source.close()


@pytest.mark.parametrize("module", ("edge_runtime.main", "edge_runtime.updates", "hub.main"))
def test_who_needs_no_tuf_does_not_pay_for_it(module: str) -> None:
    code = f"import sys, {module}; print([name for name in sys.modules if name.split('.')[0] == 'tuf'])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert ran.stdout == "[]\n"


def test_a_running_headquarters_shows_what_must_be_signed(desk: Desk) -> None:
    config = desk.home / "headquarters.toml"
    config.write_text(config.read_text().replace("tcp://0.0.0.0:7600", free_ports(1)[0]))
    with config.open("a") as file:
        file.write("\n[security]\noffline_days = 1000\n")  # more than any offline key was made for
    stop = Stop()
    thread = threading.Thread(target=run, args=(desk.home, stop))
    thread.start()
    try:
        status = desk.home / "data" / "status.json"
        until(lambda: bool((read_status(status) or {}).get("updates", {}).get("alarms")))
        shown = CliRunner().invoke(main, ["status", "--home", str(desk.home)])
    finally:
        stop.ask()
        thread.join()
    assert shown.exit_code == 0, shown.output
    assert "updates: targets expires in 730 days; sign it anew: catchment-hq updates renew" in shown.output
    assert "updates: root expires in 730 days; let holders sign" in shown.output
    assert desk.run("status").exit_code == 1
    assert "error: firmware expires in 730 days" in desk.run("status").output
