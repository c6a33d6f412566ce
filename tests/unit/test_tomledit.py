"""A table is put into a file that a person wrote, and everything else stays."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from protocols.errors import InputError
from protocols.tomledit import put_table

FILE = Path("gateway.toml")
TEXT = """\
# at the top
[gateway]
id = "unit-1"   # ours

# the first hub
[[upstream]]
id = "hub-1"
address = "tcp://old:1"
keep = true

# the second hub
[[upstream]]
id = "hub-2"
address = "tcp://two:1"

# the log
[log]
level = "info"
"""
FIELDS = {"id": "hub-1", "address": "tcp://new:1"}


def test_a_table_of_the_same_id_is_replaced_and_keeps_what_is_not_given() -> None:
    changed = put_table(FILE, TEXT, "[[upstream]]", FIELDS)
    document = tomllib.loads(changed)
    assert document["upstream"] == [
        {"id": "hub-2", "address": "tcp://two:1"},
        {"id": "hub-1", "address": "tcp://new:1", "keep": True},
    ]
    for comment in ("# at the top", "# ours", "# the second hub", "# the log"):
        assert comment in changed


def test_doing_it_twice_changes_nothing() -> None:
    once = put_table(FILE, TEXT, "[[upstream]]", FIELDS)
    assert put_table(FILE, once, "[[upstream]]", FIELDS) == once


def test_a_new_table_goes_to_the_end() -> None:
    changed = put_table(FILE, TEXT, "[headquarters]", {"id": "hq", "signing": "00"})
    assert changed.startswith(TEXT) and changed.endswith('\n[headquarters]\nid = "hq"\nsigning = "00"\n')


@pytest.mark.parametrize(
    "text",
    (
        'upstream = [{id = "hub-1", address = "tcp://old:1"}]\n',
        'text = """\n[[upstream]]\nid = "hub-1"\n"""\n[[upstream]]\nid = "hub-1"\nx = """\n[log]\n"""\n',
    ),
)
def test_a_file_that_cannot_be_changed_safely_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(InputError, match="put it there by hand"):
        put_table(FILE, text, "[[upstream]]", FIELDS)
