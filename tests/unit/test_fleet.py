"""Many gateways of one table: all of it right and made, or all that is wrong told and nothing made."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from edge_runtime.check import check
from edge_runtime.flash import fleet
from edge_runtime.flash.cli import invoke
from edge_runtime.provision import network, provisionfile
from protocols.enrolment import fingerprint
from protocols.errors import InputError
from protocols.identity import LINK_KEY, SIGNING_KEY, Identity
from tests.gateway_home import GATEWAY_TOML, POINTS_CSV, token_of

TOKEN = token_of()
TABLE = f"""\
id,site,token,address,link,interface,ip,router,dns,ntp,hostname,note,expires
unit-1,plant-a,{TOKEN},tcp://hub:7502,,eth0,10.0.0.7/24,10.0.0.1,10.0.0.2 10.0.0.3,ntp.plant,gw-1,No. <3>,2026
unit-2,plant-a,,,,,,,,,,,
unit-3,plant-b,{token_of("unit-3", "plant-b")},,,eth1,,,,,,,
"""


def prepared(folder: Path, table: str = TABLE) -> list[fleet.Prepared]:
    path = folder / "gateways.csv"
    path.write_text(table, encoding="utf-8")
    template = folder / "template.toml"
    template.write_text(GATEWAY_TOML.replace('"unit-1"', '"{{id}}"').replace('"plant-a"', '"{{site}}"'))
    (folder / "points.csv").write_text(POINTS_CSV)
    return fleet.prepare(path, folder / "out", template, folder / "points.csv")


def test_every_gateway_gets_a_home_that_is_right(tmp_path: Path) -> None:
    made = prepared(tmp_path)
    assert [each.line.id for each in made] == ["unit-1", "unit-2", "unit-3"]
    for each in made:
        home = each.root / "home"
        report = check(home)
        assert report.config is not None and (report.config.id, report.config.site) == (
            each.line.id,
            each.line.site,
        )
        identity = Identity.load(home)
        assert identity.id == each.line.id and fingerprint(identity.public) == each.fingerprint
    home = made[0].root / "home"
    assert provisionfile.read(home) == provisionfile.Provision("tcp://hub:7502", "", TOKEN)
    assert network.read(home).interfaces[0].dns == ("10.0.0.2", "10.0.0.3")
    assert not (made[1].root / "home" / provisionfile.FILE).exists()
    assert len({each.fingerprint for each in made}) == 3


def test_labels_show_no_private_key_and_the_token_only_when_asked(tmp_path: Path) -> None:
    made = prepared(tmp_path)
    for with_token in (False, True):
        page = fleet.write_labels(made, tmp_path / "out", with_token)
        texts = [page.read_text()] + [path.read_text() for path in (tmp_path / "out/labels").iterdir()]
        texts += [fleet.label_text(each, with_token) for each in made]
        said = "\n".join(texts)
        assert (TOKEN in said) == with_token
        assert all(each.fingerprint in said for each in made)
        for each in made:
            for name in (SIGNING_KEY, LINK_KEY):
                assert (each.root / "home" / name).read_text().strip() not in said
    assert "No. &lt;3&gt;" in page.read_text()


def test_a_code_says_what_the_label_says(tmp_path: Path) -> None:
    import segno

    made = prepared(tmp_path)
    codes = dict(fleet.label_codes(made, True))
    assert len(codes) == 3 and codes["unit-1"].startswith("<svg")
    text = fleet.label_text(made[0], True)
    assert (
        text
        == f"catchment:gateway?id=unit-1&site=plant-a&key={quote_plus(made[0].fingerprint)}&token={TOKEN}"
    )
    assert segno.make_qr(text, error="m").svg_inline(scale=3, border=2) == codes["unit-1"]


def test_everything_wrong_is_told_and_nothing_made(tmp_path: Path) -> None:
    table = (
        "id,site,token,addres,interface,ip,router,points\n"
        "Unit,plant-a,,,,,,\n"
        "unit-2,Plant A,two words,,eth0,10.0.0.7,,\n"
        "unit-2,,,,,10.0.0.8/24,,\n"
        "unit-4,,,,eth0,10.0.0.9/24,10.1.0.1,\n"
        "unit-5,,,,,,,none.csv\n"
        f"unit-6,plant-b,{TOKEN},,,,,\n"
    )
    with pytest.raises(InputError) as caught:
        prepared(tmp_path, table)
    places = [problem.place for problem in caught.value.problems]
    assert [place.split(":")[0] for place in places] == [
        "row 1",
        "row 2, column id",
        "row 3, column site",
        "row 3, column token",
        "row 3, column ip, router, dns or ntp",
        "row 4, column id",
        "row 4, column interface",
        "row 5, column ip, router, dns or ntp",
        "row 7, column token",
        "row 6",
    ]
    said = str(caught.value)
    assert "two words" not in said and TOKEN not in said and "of unit-1 at site plant-a" in said
    assert list((tmp_path / "out").iterdir()) == []


def test_a_gateway_that_was_made_is_never_touched(tmp_path: Path) -> None:
    made = prepared(tmp_path)
    key = (made[0].root / "home" / SIGNING_KEY).read_bytes()
    with pytest.raises(InputError, match="without this gateway"):
        prepared(tmp_path, "id\nunit-9\nunit-1\n")
    assert (made[0].root / "home" / SIGNING_KEY).read_bytes() == key
    assert not (tmp_path / "out/unit-9").exists()


@pytest.mark.parametrize("table", ["", "site\nplant-a\n", "id\n", "id,id\na,b\n"])
def test_a_table_without_gateways_is_refused(tmp_path: Path, table: str) -> None:
    with pytest.raises(InputError):
        prepared(tmp_path, table)


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.csv"
    path.write_text("id,site\nunit-1,plant-a\n")
    assert invoke(["fleet", str(path), "--to", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["gateways"][0]["id"] == "unit-1" and Path(told["labels"]).exists()
    assert invoke(["fleet", str(path), "--to", str(tmp_path / "out")]) == 2
    assert "without this gateway" in capsys.readouterr().err
