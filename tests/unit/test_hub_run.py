"""A hub's process: its commands, and one run between a gateway and headquarters on real sockets."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from click.testing import CliRunner, Result

from hub import cli, config, main
from protocols.batch import Chain, Stream
from protocols.calls import CallClient, CallRefusedError
from protocols.daemon import Stop, alone, read_status
from protocols.errors import InputError
from protocols.identity import ALLOW, IDENTITY, AllowList, Identity, VerifyKey, allow
from protocols.link import ReceiverLink, SenderLink
from protocols.records import Mark, Receipt, parse_statement, sign_record
from protocols.session import SenderEvent
from protocols.session.events import Receipted
from tests.chains import ChainOfBatches, MemoryMarks, MemoryOutbox

WAIT_S = 20.0


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments))


def wait_for(what: Callable[[], bool], step: Callable[[], None] = lambda: time.sleep(0.005)) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < give_up_at, "waited in vain"
        step()


class Headquarters:
    """A receiver that keeps batches in memory and signs for them."""

    def __init__(self) -> None:
        self.identity = Identity.generate("hq", "headquarters")
        self.marks = MemoryMarks()

    def listen(self, allowed: AllowList) -> None:
        self.link = ReceiverLink("tcp://127.0.0.1:*", self.identity, allowed, self.marks, any_start=False)

    def step(self) -> None:
        self.link.step(0.005)
        accepted = self.link.receiver.take(100, 1 << 20)
        self.marks.commit(accepted)
        self.link.receiver.committed(accepted, time.monotonic())
        for chain in {item.chain for item in accepted}:
            next_, head = self.marks.mark(chain) or (0, b"")
            receipt = Receipt(chain, next_, head, Mark.HEADQUARTERS, 1)
            self.link.receiver.custody(receipt, sign_record(receipt, self.identity.signing))
        self.link.flush()


@contextmanager
def running(home: Path) -> Iterator[Stop]:
    stop = Stop()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            main.run(home, stop)
        except BaseException as error:  # handed to the test below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield stop
    finally:
        stop.ask()
        thread.join(WAIT_S)
    assert not failures, failures


def free_port() -> int:
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        port: int = socket.bind_to_random_port("tcp://127.0.0.1")
        return port


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A hub made by init, with no upstream."""
    result = invoke(
        "init", "--home", str(tmp_path), "--id", "hub-1", "--bind", f"tcp://127.0.0.1:{free_port()}"
    )
    assert result.exit_code == 0, result.output
    return tmp_path


class TestCommands:
    def test_init_makes_keys_that_only_the_owner_reads(self, home: Path) -> None:
        assert {path.stat().st_mode & 0o777 for path in (home / "keys").iterdir()} == {0o600}
        assert config.load(home).upstreams == ()
        assert Identity.load(home).public.role == "hub"

    def test_init_takes_the_upstream_from_its_identity_file(self, tmp_path: Path) -> None:
        headquarters = Identity.create(tmp_path / "hq", "hq", "headquarters")
        result = invoke(
            *("init", "--home", str(tmp_path / "hub"), "--id", "hub-1", "--json"),
            *("--upstream", str(tmp_path / "hq" / IDENTITY), "--address", "tcp://10.0.0.1:7600"),
        )
        assert json.loads(result.output)["id"] == "hub-1"
        loaded = config.load(tmp_path / "hub")
        assert loaded.headquarters == ("hq", headquarters.public.signing)
        assert (loaded.upstreams[0].link, loaded.upstreams[0].address) == (
            headquarters.public.link,
            "tcp://10.0.0.1:7600",
        )

    def test_init_says_where_it_cannot_write(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        result = invoke("init", "--home", str(tmp_path / "file" / "hub"), "--id", "hub-1")
        assert result.exit_code == 4 and f"{tmp_path}/file" in result.output

    def test_init_does_not_overwrite_a_hub(self, home: Path) -> None:
        before = (home / config.CONFIG).read_text()
        result = invoke("init", "--home", str(home), "--id", "other")
        assert result.exit_code == 2 and "choose another --home" in result.output
        assert (home / config.CONFIG).read_text() == before

    @pytest.mark.parametrize(
        ("arguments", "message"),
        (
            (("--id", "Hub 1"), "lower-case letters"),
            (("--id", "hub", "--address", "tcp://x:1"), "go together"),
            (("--id", "hub", "--bind", "x"), "an address to listen on"),
        ),
    )
    def test_init_says_what_it_expected(
        self, tmp_path: Path, arguments: tuple[str, ...], message: str
    ) -> None:
        result = invoke("init", "--home", str(tmp_path / "new"), *arguments)
        assert result.exit_code == 2 and message in result.output
        assert not (tmp_path / "new" / "keys").exists()

    def test_init_refuses_a_gateway_as_upstream(self, tmp_path: Path) -> None:
        Identity.create(tmp_path / "gw", "gw", "gateway")
        result = invoke(
            *("init", "--home", str(tmp_path / "hub"), "--id", "hub"),
            *("--upstream", str(tmp_path / "gw" / IDENTITY), "--address", "tcp://x:1"),
        )
        assert result.exit_code == 2 and "identity.toml of headquarters" in result.output

    def test_allow_appends_to_the_list(self, home: Path, tmp_path: Path) -> None:
        gateway = Identity.create(tmp_path / "gw", "unit-1", "gateway", "plant")
        result = invoke("allow", "--home", str(home), str(tmp_path / "gw" / IDENTITY))
        assert result.output == "Allowed gateway unit-1.\n"
        assert AllowList.load(home / ALLOW).identities == (gateway.public,)

    def test_status_of_a_hub_that_never_ran(self, home: Path) -> None:
        result = invoke("status", "--home", str(home))
        assert result.exit_code == 3 and "has not run here yet" in result.output
        assert json.loads(invoke("status", "--home", str(home), "--json").output) == {"running": False}

    def test_run_without_a_configuration_says_how_to_make_one(self, tmp_path: Path) -> None:
        result = invoke("run", "--home", str(tmp_path))
        assert result.exit_code == 2 and "catchment-hub init" in result.output

    def test_run_with_another_nodes_keys_is_refused(self, home: Path) -> None:
        text = (home / config.CONFIG).read_text()
        (home / config.CONFIG).write_text(text.replace('"hub-1"', '"hub-2"'))
        result = invoke("run", "--home", str(home))
        assert result.exit_code == 2 and "the keys of hub 'hub-2'" in result.output

    def test_an_address_in_use_is_the_operators_matter(self, home: Path) -> None:
        with zmq.Context() as context, context.socket(zmq.REP) as socket:
            socket.bind(config.load(home).bind)
            result = invoke("run", "--home", str(home))
        assert result.exit_code == 2 and "[hub] bind" in result.output


def test_batches_go_up_receipts_come_down_and_a_clean_stop_states_the_ledger(tmp_path: Path) -> None:
    headquarters = Headquarters()
    gateway = Identity.generate("gw", "gateway")
    home = tmp_path / "hub"
    hub = Identity.create(home, "hub-1", "hub")
    headquarters.listen(AllowList([hub.public, gateway.public]))
    port = free_port()
    address = headquarters.link.address
    (home / config.CONFIG).write_text(
        config.example("hub-1", f"tcp://127.0.0.1:{port}", headquarters.identity.public, address)
    )
    chain = ChainOfBatches("gw", Stream.DATA, 1)
    chain.key = gateway.signing
    chain.grow(b"payload %d" % i for i in range(30))
    link = SenderLink(
        f"tcp://127.0.0.1:{port}",
        hub.public.link,
        gateway,
        MemoryOutbox(chain),
        headquarters=VerifyKey(headquarters.identity.public.signing),
        receiver=VerifyKey(hub.public.signing),
    )
    events: list[SenderEvent] = []

    def step() -> None:
        events.extend(link.step(0.001))
        headquarters.step()

    def receipted() -> bool:
        return any(isinstance(event, Receipted) and event.receipt.next == 30 for event in events)

    with running(home):
        wait_for(lambda: read_status(home / "data/status.json") is not None, headquarters.step)
        allow(home / ALLOW, gateway.public)  # a running hub notices
        wait_for(lambda: status_of(home)["allowed"] == 1, headquarters.step)
        wait_for(receipted, step)
        wait_for(lambda: status_of(home)["gateways"].get("gw", {}).get("held") == 0, step)
        result = invoke("status", "--home", str(home))
        assert result.exit_code == 0, result.output
        assert "gw/data/1: next 30, headquarters 30" in result.output
        stepping = True

        def keep_stepping() -> None:
            while stepping:
                headquarters.step()

        thread = threading.Thread(target=keep_stepping)
        thread.start()
    stepping = False
    thread.join(WAIT_S)
    link.close()
    headquarters.link.close()
    assert headquarters.marks.payloads(chain.chain) == [batch.payload for batch in chain.batches]
    own = next(chain for chain in headquarters.marks.stored if chain.gateway == "hub-1")
    last = parse_statement(headquarters.marks.payloads(own)[-1])
    assert last.chains == (("gw", 2, 1, 0, 30, 30, 30, 0, 30),)
    assert invoke("status", "--home", str(home)).exit_code == 3


def status_of(home: Path) -> dict[str, Any]:
    status = read_status(home / "data/status.json")
    assert status is not None
    return status


def test_a_hub_opens_the_call_sockets_that_its_configuration_names(home: Path) -> None:
    text = (home / config.CONFIG).read_text()
    sockets = 'id = "hub-1"\nservice = "tcp://127.0.0.1:0"\nenrolment = "tcp://127.0.0.1:0"'
    (home / config.CONFIG).write_text(text.replace('id = "hub-1"', sockets, 1))
    gateway = Identity.generate("gw", "gateway")
    allow(home / ALLOW, gateway.public)
    link = Identity.load(home).link.public
    with running(home):
        wait_for(lambda: read_status(home / "data/status.json") is not None)
        for socket in ("service", "enrolment"):
            with (
                CallClient(status_of(home)["calls"][socket]["address"], link, gateway.link) as client,
                pytest.raises(CallRefusedError, match="unknown-verb"),
            ):
                client.call("nonsense")


def test_a_second_hub_on_the_same_home_is_refused(home: Path) -> None:
    (home / "data").mkdir()
    with alone(home / "data"):
        result = invoke("run", "--home", str(home))
    assert result.exit_code == 4 and "stop the other one" in result.output


def test_a_damaged_store_is_set_aside_and_the_hub_begins_anew(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "hub.db").write_bytes(b"no database at all, " * 500)
    with running(home):
        wait_for(lambda: read_status(home / "data/status.json") is not None)
    assert len(list((home / "data").glob("hub.db.damaged-*"))) == 1


def test_a_wrong_allow_list_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    path = tmp_path / ALLOW
    gateway = Identity.generate("gw", "gateway").public
    allow(path, gateway)
    allowed = main.AllowListFile(path)
    assert not allowed.changed()
    path.write_text("no list")
    with pytest.raises(InputError):
        allowed.changed()
    assert allowed.list.identities == (gateway,)
    assert not allowed.changed()
    path.unlink()
    assert allowed.changed() and len(allowed.list.identities) == 0


def test_chain_names_read_well() -> None:
    assert str(Chain("gw", Stream.DATA, 1)) == "gw/data/1"


def test_a_hub_runs_without_numpy_which_it_has_no_use_for() -> None:
    unwanted = {"numpy", "pyarrow", "sqlite_utils", "tuf"}
    told = f"import sys, hub.main, hub.cli; print(*{unwanted} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
