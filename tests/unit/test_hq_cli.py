"""`catchment-hq`: what each command prints, where it writes, and how it fails."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zmq
from click.testing import CliRunner, Result

from headquarters import custody, trust
from headquarters.cli import main
from headquarters.cli.view import cell, columns
from headquarters.config import CONFIG, load
from headquarters.main import run
from protocols.batch import Stream
from protocols.daemon import Stop
from protocols.errors import InputError
from protocols.identity import Identity
from protocols.records import PointDefinition
from protocols.samples import ValueType
from tests.lake_parts import HandGateway, Headquarters, scan


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture(scope="module")
def headquarters(tmp_path_factory: pytest.TempPathFactory) -> Headquarters:
    gateway = HandGateway()
    headquarters = Headquarters(tmp_path_factory.mktemp("cli") / "hq", gateway)
    definitions = [PointDefinition(1, "给水流量", ValueType.F64, "t/h")]
    headquarters.take(gateway.open(Stream.META), gateway.meta(definitions), gateway.data(scan(0), scan(1)))
    return headquarters


def test_init_makes_a_home_that_can_run(tmp_path: Path) -> None:
    home = tmp_path / "hq"
    made = invoke("init", "--home", str(home), "--id", "headquarters", "--bind", "tcp://127.0.0.1:0")
    assert made.exit_code == 0, made.output
    assert "identity.toml" in made.output
    assert (home / "keys/signing.key").stat().st_mode & 0o077 == 0
    assert load(home).bind == "tcp://127.0.0.1:0"
    again = invoke("init", "--home", str(home), "--id", "headquarters")
    assert again.exit_code == 2
    assert "none yet" in again.output


def test_a_place_that_cannot_be_written_is_named_without_a_traceback(
    headquarters: Headquarters, tmp_path: Path
) -> None:
    file = tmp_path / "nowhere" / "marks.json"
    result = invoke("custody", "snapshot", "--home", str(headquarters.home), str(file))
    assert result.exit_code == 4 and f"{file}: No such file" in result.output


def test_an_address_in_use_is_the_operators_matter(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        invoke("init", "--home", str(tmp_path), "--id", "hq", "--bind", f"tcp://127.0.0.1:{port}")
        result = invoke("run", "--home", str(tmp_path))
    assert result.exit_code == 2 and "[headquarters] bind" in result.output


@pytest.mark.parametrize(("option", "value"), [("--id", "Head Quarters"), ("--bind", "0.0.0.0:7600")])
def test_init_refuses_what_cannot_be_and_makes_nothing(tmp_path: Path, option: str, value: str) -> None:
    arguments = {"--id": "headquarters", "--bind": "tcp://127.0.0.1:0", option: value}
    made = invoke(
        "init", "--home", str(tmp_path / "hq"), *[part for pair in arguments.items() for part in pair]
    )
    assert made.exit_code == 2
    assert option in made.output
    assert not (tmp_path / "hq").exists()


def test_every_problem_of_a_configuration_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(
        '[headquarters]\nid = "HQ"\nbind = "tcp://nowhere"\nhole_wait = 3\n'
        '[lake]\ncommit_interval_s = 0\nbuckets = "one"\n[archiv]\n'
    )
    with pytest.raises(InputError) as wrong:
        load(tmp_path)
    places = [problem.place for problem in wrong.value.problems]
    assert len(places) == 6
    assert any("line 4" in place and "hole_wait" in place for place in places)
    assert "did you mean 'archive'?" in str(wrong.value)


def test_allow_keeps_replaced_keys_for_old_signatures(tmp_path: Path) -> None:
    home = tmp_path / "hq"
    Headquarters(home)
    one, other = (Identity.generate("unit-1", "gateway") for _ in range(2))
    for identity in (one, other):
        (tmp_path / "identity.toml").write_text(identity.public.to_toml())
        allowed = invoke("allow", "--home", str(home), str(tmp_path / "identity.toml"))
        assert allowed.exit_code == 0, allowed.output
    assert "New keys for unit-1" in allowed.output
    found = trust.load(home)
    assert found.by_link(one.public.link) is None
    assert found.by_link(other.public.link) == other.public
    for identity in (one, other):
        assert found.verifier(identity.signing.key_id) is not None
        owner = found.by_key_id(identity.signing.key_id)
        assert owner is not None
        assert owner.id == "unit-1"


def test_query_prints_a_table_that_lines_up_with_chinese_names(headquarters: Headquarters) -> None:
    sql = "SELECT name, count(*) AS rows FROM history GROUP BY name ORDER BY name DESC"
    shown = invoke("query", "--home", str(headquarters.home), sql).output.splitlines()
    assert shown[0] == "name      rows"
    assert shown[2] == "给水流量     2"
    assert shown[-1] == "(3 rows)"
    assert len({columns(line) for line in shown[1:-1]}) == 1


def test_query_writes_csv_json_and_parquet(headquarters: Headquarters, tmp_path: Path) -> None:
    home = str(headquarters.home)
    joined = "samples JOIN ledger USING (batch)"
    sql = f"SELECT time, value, text, header FROM {joined} WHERE series = 1 ORDER BY time"
    rows = list(csv.reader(io.StringIO(invoke("query", "--home", home, "--csv", sql).output)))
    assert rows[0] == ["time", "value", "text", "header"]
    assert rows[1][:3] == ["2026-09-21 14:13:20+00", "21.5", ""]
    objects = json.loads(invoke("query", "--home", home, "--json", sql).output)
    assert [entry["value"] for entry in objects] == [21.5, 21.625]
    assert bytes.fromhex(objects[0]["header"])
    strange = "SELECT 'nan'::DOUBLE AS a, '-inf'::DOUBLE AS b"
    assert json.loads(
        invoke("query", "--home", home, "--json", strange).output, parse_constant=pytest.fail
    ) == [{"a": "nan", "b": "-inf"}]
    file = tmp_path / "out.parquet"
    assert invoke("query", "--home", home, "--parquet", str(file), sql).exit_code == 0
    assert pq.read_table(file).column("value").to_pylist() == [21.5, 21.625]


def test_query_json_refuses_columns_of_one_name(headquarters: Headquarters) -> None:
    result = invoke("query", "--home", str(headquarters.home), "--json", "SELECT 1 AS a, 2 AS a, 3 AS b")
    assert result.exit_code == 2 and "different names" in result.output


def test_allow_refuses_an_identity_that_is_empty(headquarters: Headquarters, tmp_path: Path) -> None:
    empty = tmp_path / "identity.toml"
    empty.touch()
    result = invoke("allow", "--home", str(headquarters.home), str(empty))
    assert result.exit_code == 2 and str(empty) in result.output


def test_a_status_of_nothing_is_no_status(headquarters: Headquarters) -> None:
    headquarters.settings.status.parent.mkdir(parents=True, exist_ok=True)
    headquarters.settings.status.write_text("{}")
    assert invoke("status", "--home", str(headquarters.home)).exit_code == 3


def test_query_of_nothing_is_an_empty_table_and_an_empty_array(headquarters: Headquarters) -> None:
    home, sql = str(headquarters.home), "SELECT name FROM series WHERE name = 'none'"
    assert invoke("query", "--home", home, sql).output.splitlines()[-1] == "(0 rows)"
    assert json.loads(invoke("query", "--home", home, "--json", sql).output) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SELECT * FROM sampels"], "did you mean 'samples'"),
        (["--csv", "--json", "SELECT 1"], "choose one of"),
        (["--timezone", "Mars", "SELECT 1"], "a time zone such as"),
        (["--parquet", "/nonexistent/x.parquet", "SELECT 1 AS one"], "a file to write"),
    ],
)
def test_a_wrong_query_exits_with_2_and_says_why(
    headquarters: Headquarters, arguments: list[str], message: str
) -> None:
    result = invoke("query", "--home", str(headquarters.home), *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_ledger_shows_chains_and_json_has_them_all(headquarters: Headquarters) -> None:
    home = str(headquarters.home)
    assert "unit-1/data/1" in invoke("ledger", "--home", home).output
    chains = json.loads(invoke("ledger", "--home", home, "--json").output)["chains"]
    assert [(line["chain"], line["batches"], line["missing"]) for line in chains] == [
        ("unit-1/data/1", 1, 0),
        ("unit-1/meta/1", 2, 0),
    ]


def test_verify_exits_with_1_when_something_is_wrong(tmp_path: Path) -> None:
    gateway = HandGateway()
    headquarters = Headquarters(tmp_path / "hq", gateway)
    headquarters.take(gateway.data(scan(0)))
    home = str(headquarters.home)
    sound = invoke("verify", "--home", home)
    assert sound.exit_code == 0
    assert "everything agrees" in sound.output
    [segment] = headquarters.settings.archive.glob("*/*.segment")
    segment.write_bytes(bytes(segment.stat().st_size))
    found = invoke("verify", "--home", home)
    assert found.exit_code == 1
    assert "FAULT payload at unit-1/data/1 sequence 0 (batch 1)" in found.output
    assert invoke("verify", "--home", home, "--quick").exit_code == 0
    document = json.loads(invoke("verify", "--home", home, "--json").output)
    assert (document["ok"], document["faults"][0]["kind"]) == (False, "payload")


def test_custody_goes_from_a_snapshot_to_a_confirmation(headquarters: Headquarters, tmp_path: Path) -> None:
    home, file = str(headquarters.home), tmp_path / "marks.json"
    assert invoke("custody", "snapshot", "--home", home, str(file)).exit_code == 0
    positions = custody.parse(file)
    assert {str(chain): position.next for chain, position in positions.items()} == {
        "unit-1/data/1": 1,
        "unit-1/meta/1": 2,
    }
    confirmed = invoke("custody", "confirm", "--home", home, str(file))
    assert "confirmed 2 chains" in confirmed.output
    assert custody.parse(headquarters.settings.custody) == positions
    file.write_text("{}")
    assert invoke("custody", "confirm", "--home", home, str(file)).exit_code == 2


def test_an_older_confirmation_takes_nothing_back(tmp_path: Path) -> None:
    chain = HandGateway().chain()
    newer, older = (custody.Position(next_, bytes([next_] * 32)) for next_ in (9, 5))
    for position in (newer, older):
        custody.confirm(tmp_path / "custody.json", {chain: position}, "now")
    assert custody.parse(tmp_path / "custody.json") == {chain: newer}


def test_commands_that_need_the_process_exit_with_3_without_it(headquarters: Headquarters) -> None:
    home = str(headquarters.home)
    for arguments in (["status"], ["latest"]):
        result = invoke(*arguments, "--home", home)
        assert result.exit_code == 3, result.output
        assert "catchment-hq run" in result.output


def test_status_and_latest_show_a_running_headquarters(tmp_path: Path) -> None:
    home = tmp_path / "hq"
    Headquarters(home)
    stop = Stop()
    thread = threading.Thread(target=run, args=(home, stop))
    thread.start()
    try:
        end = time.monotonic() + 30
        while (shown := invoke("status", "--home", str(home))).exit_code == 3:
            assert time.monotonic() < end
            threading.Event().wait(0.05)
        assert shown.exit_code == 0, shown.output
        assert "headquarters headquarters: running" in shown.output
        assert json.loads(invoke("status", "--home", str(home), "--json").output)["running"] is True
        missing = invoke("latest", "--home", str(home), "no-such-point")
        assert missing.exit_code == 2
        assert "no-such-point" in missing.output
    finally:
        stop.ask()
        thread.join(30)
    assert invoke("status", "--home", str(home)).exit_code == 3


def test_a_cell_cannot_move_the_cursor() -> None:
    assert cell("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"
    assert cell(None) == ""
