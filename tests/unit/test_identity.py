"""Keys, public identities and allow-lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.errors import InputError
from protocols.identity import ALLOW, IDENTITY, SIGNING_KEY, AllowList, Identity, allow, read_identities


def test_what_create_wrote_load_reads(tmp_path: Path) -> None:
    made = Identity.create(tmp_path, "unit-1", "gateway", "north")
    assert Identity.load(tmp_path).public == made.public
    assert read_identities(tmp_path / IDENTITY) == [made.public]


def test_private_files_are_for_their_owner_only(tmp_path: Path) -> None:
    Identity.create(tmp_path, "unit-1", "gateway")
    for file in (tmp_path / "keys").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    Identity.create(tmp_path, "unit-1", "gateway")
    (tmp_path / SIGNING_KEY).chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        Identity.load(tmp_path)


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    Identity.create(tmp_path, "unit-1", "gateway")
    with pytest.raises(InputError, match="no key yet"):
        Identity.create(tmp_path, "unit-1", "gateway")


def test_a_name_that_is_not_allowed_says_what_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lower-case letters"):
        Identity.create(tmp_path, "Unit 1", "gateway")


def test_private_parts_are_never_shown(tmp_path: Path) -> None:
    made = Identity.create(tmp_path, "unit-1", "gateway")
    shown = repr(made)
    for file in (tmp_path / "keys").iterdir():
        assert file.read_text().strip() not in shown


def test_an_identity_that_is_not_that_of_the_keys_is_refused(tmp_path: Path) -> None:
    Identity.create(tmp_path / "a", "unit-1", "gateway")
    Identity.create(tmp_path / "b", "unit-2", "gateway")
    (tmp_path / "a" / IDENTITY).write_text((tmp_path / "b" / IDENTITY).read_text())
    with pytest.raises(InputError, match="public halves"):
        Identity.load(tmp_path / "a")


def test_an_allow_list_finds_by_either_key_and_replaces_by_name(tmp_path: Path) -> None:
    first, second = (Identity.generate("unit-1", "gateway") for _ in range(2))
    allow(tmp_path / ALLOW, first.public)
    allow(tmp_path / ALLOW, Identity.generate("hub-1", "hub").public)
    allow(tmp_path / ALLOW, second.public)
    listed = AllowList.load(tmp_path / ALLOW)
    assert {identity.id for identity in listed.identities} == {"unit-1", "hub-1"}
    assert listed.by_link(first.link.public) is None
    assert listed.by_link(second.link.public) == second.public
    assert listed.by_key_id(second.signing.key_id) == second.public
    assert listed.verifier(first.signing.key_id) is None


def test_a_missing_allow_list_allows_nobody(tmp_path: Path) -> None:
    assert AllowList.load(tmp_path / ALLOW).identities == ()


def test_every_fault_of_an_allow_list_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / ALLOW
    path.write_text(
        '[[node]]\nid = "Unit 1"\nrole = "boss"\nsigning = "00"\nlink = "short"\n[[node]]\nid = 3\n'
    )
    with pytest.raises(InputError) as caught:
        AllowList.load(path)
    places = [problem.place for problem in caught.value.problems]
    assert places[:4] == ["node 1, id", "node 1, role", "node 1, signing", "node 1, link"]
    assert "node 2, id" in places


@pytest.mark.parametrize("field", ["site", "link"])
def test_an_identity_cannot_smuggle_another_node_into_an_allow_list(tmp_path: Path, field: str) -> None:
    path = tmp_path / "identity.toml"
    values = {"site": "plant-a", "link": "-" * 40}
    values[field] = '"\\n[[node]]\\nid = "x"'.replace('"', '\\"').ljust(50, "-")[:50]
    path.write_text(
        f'id = "gw"\nrole = "gateway"\nsite = "{values["site"]}"\n'
        f'signing = "{"00" * 32}"\nlink = "{values["link"]}"\n'
    )
    with pytest.raises(InputError, match=f"node 1, {field}"):
        AllowList.load(path)


@pytest.mark.parametrize("text", ["not toml [", "node = 3\n", "\xff"])
def test_a_file_that_is_no_allow_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / ALLOW
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=ALLOW):
        AllowList.load(path)
