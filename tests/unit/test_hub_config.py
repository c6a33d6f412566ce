"""hub.toml: what it may say, and what is answered when it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub import config
from protocols.errors import InputError
from protocols.identity import Identity
from protocols.records import Mark

LINK = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
SIGNING = "ab" * 32
UPSTREAM = f"""
[[upstream]]
id = "hq"
address = "tcp://hq.example:7600"
link = "{LINK}"
signing = "{SIGNING}"
"""
HEADQUARTERS = f"""
[headquarters]
id = "hq"
signing = "{SIGNING}"
"""


def load(tmp_path: Path, text: str) -> config.HubConfig:
    (tmp_path / config.CONFIG).write_text(text, encoding="utf-8")
    return config.load(tmp_path)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_the_least_configuration_has_every_default(tmp_path: Path) -> None:
    loaded = load(tmp_path, '[hub]\nid = "hub-1"\n')
    assert loaded.bind == "tcp://0.0.0.0:7500"
    assert (loaded.quota_bytes, loaded.reserve_bytes) == (20_480 << 20, 512 << 20)
    assert (loaded.trim, loaded.statement_s) == (Mark.HEADQUARTERS, 60.0)
    assert (loaded.upstreams, loaded.headquarters, loaded.landings) == ((), None, ())
    assert loaded.store == tmp_path / "data" / "hub.db"


def test_everything_that_can_be_set(tmp_path: Path) -> None:
    text = f"""
[hub]
id = "hub-1"
bind = "tcp://*:7501"
statement_s = 5
[store]
quota_mb = 100
reserve_mb = 64
trim = "backed-up"
{UPSTREAM}keep = true
{HEADQUARTERS}
[[landing]]
directory = "in"
done = "done"
poll_s = 0.5
[log]
level = "debug"
directory = "logs"
"""
    loaded = load(tmp_path, text)
    assert loaded.upstreams == (
        config.UpstreamConfig("hq", "tcp://hq.example:7600", LINK.encode(), bytes.fromhex(SIGNING), True),
    )
    assert loaded.headquarters == ("hq", bytes.fromhex(SIGNING))
    assert loaded.landings == (config.LandingConfig(tmp_path / "in", tmp_path / "done", 0.5, 3600.0),)
    assert (loaded.trim, loaded.log.level, loaded.log.directory) == (
        Mark.BACKED_UP,
        "debug",
        tmp_path / "logs",
    )


def test_what_init_writes_can_be_loaded(tmp_path: Path) -> None:
    upstream = Identity.generate("hq", "headquarters").public
    loaded = load(tmp_path, config.example("hub-1", "tcp://127.0.0.1:7500", upstream, "tcp://hq:7600"))
    assert loaded.upstreams[0].link == upstream.link
    assert load(tmp_path, config.example("hub-1", "tcp://127.0.0.1:7500", None, None)).upstreams == ()


def test_every_problem_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """[hub]
id = "Hub 1"
bind = "0.0.0.0:7500"
[store]
quota_mb = 1
trim = "never"
[[upstream]]
id = "hq"
adress = "tcp://hq:7600"
link = "short"
signing = "xyz"
[stroe]
"""
    found = problems(tmp_path, text)
    for line, name in (
        (2, "[hub] id"),
        (3, "[hub] bind"),
        (5, "[store] quota_mb"),
        (6, "[store] trim"),
        (9, "[[upstream]] 1, adress"),
        (10, "[[upstream]] 1, link"),
        (11, "[[upstream]] 1, signing"),
    ):
        assert any(f"line {line}, {name}:" in problem for problem in found), (name, found)
    assert any("did you mean 'address'?" in problem for problem in found)
    assert any("did you mean 'store'?" in problem for problem in found)
    assert any("the table [headquarters]" in problem for problem in found)
    assert all("expected" in problem for problem in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("", "the table [hub]"),
        ('[hub]\nid = "h"\nid = "g"\n', "remove one of the two"),
        ('[hub]\nid = "h"\n' + UPSTREAM, "the table [headquarters]"),
        ('[hub]\nid = "h"\n' + UPSTREAM + UPSTREAM + HEADQUARTERS, "each upstream once"),
        ('[hub]\nid = "h"\nbind = "tcp://x:99999"\n', "an address to listen on"),
        (
            '[hub]\nid = "h"\n' + UPSTREAM.replace("hq.example:7600", "0.0.0.0:7600") + HEADQUARTERS,
            "an address to connect to",
        ),
        ('[hub]\nid = "h"\n[[landing]]\n', "directory"),
        ('[hub]\nid = "h"\n[[landing]]\ndirectory = ""\n', "a directory"),
        ('[hub]\nid = "h"\n[[landing]]\ndirectory = "a"\ndone = "a"\n', "another directory"),
        ('[hub]\nid = "h"\n[upstream]\nid = "x"\n', "[[upstream]], with two brackets"),
        ('[hub]\nid = "h"\nstatement_s = "often"\n', "a number from 0.1"),
    ),
)
def test_what_is_wrong_is_answered_with_what_is_right(tmp_path: Path, text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(tmp_path, text)), problems(tmp_path, text)


def test_no_configuration_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="catchment-hub init"):
        config.load(tmp_path)
