"""The call `file`, transfers by range, and the byte budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import limits
from protocols.calls import Caller, CallRefusedError
from protocols.errors import IntegrityError, PeerError
from protocols.identity import Identity
from protocols.updates import (
    Pace,
    Shelf,
    Wanted,
    fetch_small,
    file_handler,
    is_served,
    parse_piece,
    parse_wanted,
)
from protocols.updates.names import role_of
from protocols.updates.transfer import ask_piece
from tests.update_parts import NOBODY, World, some_bytes, target_file

BIG = "apps/acme/big-1.0.0.capp"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- what is served --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    (
        "metadata/../../keys/updates/snapshot.key",
        "/metadata/timestamp.json",
        "metadata/timestamp.json/",
        "metadata//timestamp.json",
        "metadata/.new",
        "metadata/timestamp.json.new",
        "metadata/0.root.json",
        "metadata/1.ROOT.json",
        "targets/apps/acme/x.capp",
        "targets/../staging/root.json",
        "targets/" + "0" * 64 + "/x",
        "targets/a/../" + "0" * 64 + ".x",
        "targets/\x00" + "0" * 64 + ".x",
        "staging/root.json",
        "",
    ),
)
def test_paths_that_lead_elsewhere_are_never_served(path: str, world: World) -> None:
    assert not is_served(path)
    with pytest.raises(PeerError, match="expected the path"):
        world.hub.ask("file", (path, 0, 10))


def test_a_link_in_the_folder_is_not_followed(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (world.hub.public / "metadata" / "99.snapshot.json").symlink_to(tmp_path / "secret")
    with pytest.raises(CallRefusedError, match="no-such-file"):
        world.hub.ask("file", ("metadata/99.snapshot.json", 0, 10))


@given(st.text() | st.from_regex(r"(metadata|targets)/[a-z0-9./]{0,90}"))
def test_what_is_served_stays_below_the_folder(path: str) -> None:
    if is_served(path):
        parts = path.split("/")
        assert parts[0] in ("metadata", "targets")
        assert all(part and not part.startswith(".") for part in parts)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.binary() | st.text(),
        lambda inner: st.lists(inner).map(tuple),
    )
)
def test_a_question_of_another_form_is_the_peers_error(argument: Any) -> None:
    with pytest.raises(PeerError):
        parse_wanted(argument)


@given(st.tuples(st.binary() | st.text(), st.integers() | st.none(), st.binary() | st.none()) | st.none())
def test_an_answer_of_another_form_is_the_peers_error(answer: Any) -> None:
    wanted = Wanted("metadata/timestamp.json", 3, 1000)
    try:
        piece = parse_piece(answer, wanted)
    except PeerError:
        return
    assert len(piece.data) == max(0, min(1000, piece.total - 3))


@given(st.text())
def test_no_path_gets_a_role_by_accident(path: str) -> None:
    with pytest.raises(PeerError):
        role_of(path)


def test_a_gateway_gets_no_other_gateways_document(world: World) -> None:
    found = world.desk.direct({"unit-1": b"one", "unit-2": b"two"})
    path = target_file(found["unit-2"].path, found["unit-2"].sha256)
    handle = file_handler(Shelf(world.hub.public).read)
    for node, role, gets in (("unit-1", "gateway", False), ("unit-2", "gateway", True), ("hub", "hub", True)):
        caller = Caller(b"", Identity.generate(node, role).public)
        if gets:
            piece = handle(caller, (path, 0, 10))
            assert isinstance(piece, tuple) and piece[0] == b"two"
        else:
            with pytest.raises(CallRefusedError, match="not-yours"):
                handle(caller, (path, 0, 10))


def test_a_piece_has_no_more_than_it_may(world: World) -> None:
    found = world.publish(some_bytes(1_000_000), BIG)
    piece = world.hub.ask("file", (target_file(*found[:2]), 100, 1 << 40))
    assert len(piece[0]) == limits.PIECE_BYTES_MAX
    with pytest.raises(CallRefusedError, match="beyond-end"):
        world.hub.ask("file", (target_file(*found[:2]), 1_000_001, 1))


# -- transfers --------------------------------------------------------------------------------------


def test_a_broken_transfer_goes_on_where_it_ended(world: World) -> None:
    data = some_bytes(3_000_000)
    found = world.publish(data, BIG)
    source = world.source()
    source.desired()
    whole = 0
    for _ in range(20):
        world.hub.asked.clear()
        world.hub.given, world.hub.cut_after = 0, 4
        try:
            file = source.fetch(*found)
        except CallRefusedError:
            whole += world.hub.given
            continue
        whole += world.hub.given
        break
    assert file.read_bytes() == data
    assert whole < 1.1 * len(data)


def test_a_transfer_goes_on_after_a_restart(world: World) -> None:
    data = some_bytes(2_000_000)
    found = world.publish(data, BIG)
    source = world.source()
    source.desired()
    world.hub.cut_after = len(world.hub.asked) + 10
    with pytest.raises(CallRefusedError):
        source.fetch(*found)
    world.hub.cut_after = None
    again = world.source()
    again.refresh()
    world.hub.given = 0
    assert again.fetch(*found).read_bytes() == data
    assert world.hub.given < 1_200_000


def test_what_a_power_cut_left_of_a_partial_file_costs_one_more_transfer(world: World) -> None:
    data = some_bytes(1_000_000)
    path, sha256, length = world.publish(data, BIG)
    source = world.source()
    source.desired()
    partial = source.folder / "targets" / "partial" / sha256.hex()
    partial.parent.mkdir()
    for left in (bytes(500_000), bytes(1_000_000), bytes(1_500_000)):
        partial.write_bytes(left)
        file = source.fetch(path, sha256, length)
        assert file.read_bytes() == data
        file.unlink()


def test_what_is_here_is_not_fetched_again_and_what_is_not_kept_goes(world: World) -> None:
    found = world.publish(b"x" * 1000, BIG)
    world.desk.direct({"unit-1": b"document"})
    source = world.source()
    assert source.desired() == b"document"
    file = source.fetch(*found)
    world.hub.given = 0
    assert source.fetch(*found) == file
    assert world.hub.given == 0
    file.write_bytes(b"y" * 1000)  # the disk spoils it
    assert source.fetch(*found).read_bytes() == b"x" * 1000
    assert source.keep([found[1]]) == 0
    assert source.keep([]) == 1
    assert not file.exists()
    assert source.desired() == b"document"


def test_a_refresh_without_news_asks_one_small_question(world: World) -> None:
    source = world.source()
    assert source.refresh()
    world.hub.asked.clear()
    world.hub.given = 0
    assert not source.refresh()
    assert (len(world.hub.asked), world.hub.given) == (1, 0)


def test_a_small_file_that_keeps_changing_is_given_up(world: World) -> None:
    changes = 0

    def ask(verb: str, argument: Any) -> Any:
        nonlocal changes
        changes += 1
        return bytes(argument[2]), 3 * argument[2], changes.to_bytes(32)

    with pytest.raises(IntegrityError, match="changed 3 times"):
        fetch_small(ask, "metadata/timestamp.json", 1 << 30, Pace())


def test_a_hub_that_says_not_yet_for_ever_is_given_up() -> None:
    now = 0.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    def ask(verb: str, argument: Any) -> Any:
        raise CallRefusedError("not-yet", "soon")

    with pytest.raises(CallRefusedError, match="soon"):
        ask_piece(ask, Wanted("metadata/timestamp.json", 0, 1), clock=lambda: now, wait=wait)
    assert 60 < now < 300


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=50), st.integers(1000, 1_000_000))
def test_a_budget_is_kept_in_the_mean(counts: list[int], bytes_per_s: int) -> None:
    waited = 0.0

    def wait(seconds: float) -> None:
        nonlocal waited
        waited += seconds

    pace = Pace(bytes_per_s, clock=lambda: waited, wait=wait)
    for count in counts:
        pace.spend(count)
    assert sum(counts) <= bytes_per_s * (waited + 1) + 1


def test_a_budget_is_kept_by_a_gateway(world: World) -> None:
    data = some_bytes(500_000)
    found = world.publish(data, BIG)
    waited = 0.0

    def wait(seconds: float) -> None:
        nonlocal waited
        waited += seconds

    source = world.source()
    source._pace = Pace(100_000, clock=lambda: waited, wait=wait)
    source.desired()
    source.fetch(*found)
    assert 3.5 < waited < 5.5
    largest = max(each.length for each in world.hub.asked if each.path.startswith("targets/apps"))
    assert largest <= 25_000


def test_nobody_in_particular_may_ask_a_shelf(world: World) -> None:
    handle = file_handler(Shelf(world.hub.public).read)
    piece = handle(NOBODY, ("metadata/timestamp.json", 0, 0))
    assert isinstance(piece, tuple) and piece[1] > 100
