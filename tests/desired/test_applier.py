"""The applier: what passes together is put in place together, one bad item stops only itself."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import pytest

from edge_runtime.desired import ACCEPTED
from edge_runtime.desired.accepted import unseal
from edge_runtime.desired.applier import Applier
from edge_runtime.desired.changes import JOURNAL, NEW, OLD, STARTS_MAX, STATE
from edge_runtime.desired.firmware import Firmware, Image
from edge_runtime.desired.state import State
from protocols.desired import Document, ItemState
from protocols.errors import IntegrityError, Problem
from protocols.identity import SigningKey, VerifyKey
from tests.desired.parts import GATEWAY, KEEP_LOCAL, KEY, OVERWRITE, PowerCutError, TornDisk, World

CONFIG = b"[scan.slow]\nperiod_s = 10\n"
POINTS = b"name\nP1\n"
OLD_IMAGE = Image("1.0", "00" * 32)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def states(applier: Applier) -> dict[str, str]:
    return {item.ref: str(item.state) for item in applier.items}


def why(applier: Applier, ref: str) -> str:
    return next(item.why for item in applier.items if item.ref == ref)


def test_a_document_is_put_in_place_tried_and_then_active(world: World) -> None:
    applier = world.applier()
    applier.accept(
        world.document(world.config(CONFIG), world.points(POINTS), world.app("gas", b"app")).pack()
    )
    assert applier.step()
    assert set(states(applier).values()) == {"verified"}
    assert not applier.step(), "what is on trial waits for its verdict"
    applier.confirm()
    assert set(states(applier).values()) == {"active"}
    files = world.disk.files()
    config = tomllib.loads(files["gateway.toml"].decode())
    assert config["scan"] == {"slow": {"period_s": 10}}
    assert config["gateway"] == {"id": "unit-1"} and config["upstream"][0]["id"] == "hub"
    assert files["points.csv"] == POINTS and files["apps/gas-1.0.0.capp"] == b"app"
    settings = tomllib.loads(files["apps/gas.toml"].decode())
    assert settings["instance"]["main"]["parameters"] == {"limit": 2.5}
    assert settings["grant"]["main"]["out"] == {"point": "P2", "low": 0.0, "high": 1.0}
    assert not world.disk.names(NEW) and not world.disk.names(OLD)


def test_a_no_op_touches_nothing(world: World) -> None:
    applier = world.applier()
    document = world.document(world.config(CONFIG), world.points(POINTS))
    world.settle(applier, document)
    before, fetched = world.disk.calls, list(world.shelf.fetched)
    assert not applier.accept(document.pack())
    assert not applier.step()
    again = world.applier()
    assert not again.step()
    assert world.disk.calls == before and world.shelf.fetched == fetched
    assert set(states(again).values()) == {"active"}


def test_a_failing_item_stops_only_itself_and_what_needs_it(world: World) -> None:
    def check(files: Mapping[str, bytes | None]) -> list[Problem]:
        bad = files.get("apps/bad-1.0.0.capp")
        return [Problem("apps/bad.toml", "line 1", "x", "a point")] if bad else []

    world.check = check
    applier = world.applier()
    good, bad = world.app("good", b"good"), world.app("bad", b"bad")
    follower = world.app("follower", b"f", needs=("app/bad",))
    applier.accept(world.document(world.points(POINTS), good, bad, follower).pack())
    assert applier.step()
    applier.confirm()
    assert states(applier) == {
        "points": "active",
        "app/bad": "failed",
        "app/follower": "desired",
        "app/good": "active",
    }
    assert "expected a point" in why(applier, "app/bad")
    assert why(applier, "app/follower") == "waits for app/bad"
    assert "apps/bad.toml" not in world.disk.files()
    checks = len(world.checked)
    assert not applier.step() and len(world.checked) == checks, "what failed is not tried again"
    world.check = lambda files: []
    mended = world.app("bad", b"better", "1.0.1")
    world.settle(applier, world.document(world.points(POINTS), good, mended, follower))
    assert set(states(applier).values()) == {"active"}


def test_whichever_brings_a_problem_is_found_where_no_file_names_it(world: World) -> None:
    def check(files: Mapping[str, bytes | None]) -> list[Problem]:
        # A table without P1: an app that is not part of the change no longer has its point.
        spoilt = b"P1" not in (files.get("points.csv") or b"P1")
        return [Problem("apps/other.toml", "line 3", "P1", "a point of points.csv")] if spoilt else []

    world.check = check
    applier = world.applier()
    applier.accept(world.document(world.points(b"name\nP2\n"), world.app("gas", b"app")).pack())
    assert applier.step()
    applier.confirm()
    assert states(applier) == {"points": "failed", "app/gas": "active"}


def test_what_was_wrong_before_is_nobodys_fault(world: World) -> None:
    world.check = lambda files: [Problem("apps/old.toml", "line 1", "", "a table")]
    applier = world.applier()
    world.settle(applier, world.document(world.points(POINTS)))
    assert states(applier) == {"points": "active"}


def test_items_wait_for_what_cannot_be_fetched_and_others_go_on(world: World) -> None:
    applier = world.applier()
    gas = world.app("gas", b"gas")
    world.shelf.dark = {gas.path}
    model = world.model("pca-3", "gas", b"onnx")
    applier.accept(world.document(world.points(POINTS), gas, model).pack())
    assert applier.step()
    applier.confirm()
    applier.step()
    assert states(applier) == {"points": "active", "app/gas": "desired", "model/pca-3": "downloaded"}
    assert "the hub does not answer" in why(applier, "app/gas")
    assert why(applier, "model/pca-3") == "waits for app/gas"
    world.shelf.dark = set()
    assert applier.step()
    applier.confirm()
    assert set(states(applier).values()) == {"active"}
    assert world.disk.read("models/gas/pca.onnx") == b"onnx"


def test_a_problem_while_something_is_missing_is_no_verdict(world: World) -> None:
    def check(files: Mapping[str, bytes | None]) -> list[Problem]:
        alone = "points.csv" in files and "gateway.toml" not in files
        return [Problem("points.csv", "row 2", "plc9", "a device")] if alone else []

    world.check = check
    applier = world.applier()
    config = world.config(CONFIG)
    world.shelf.dark = {config.path}
    applier.accept(world.document(config, world.points(POINTS)).pack())
    assert not applier.step()
    assert states(applier) == {"config": "desired", "points": "downloaded"}
    world.shelf.dark = set()
    assert applier.step()
    applier.confirm()
    assert set(states(applier).values()) == {"active"}


def test_a_new_version_leaves_no_old_package_and_a_removed_app_goes(world: World) -> None:
    applier = world.applier()
    world.settle(applier, world.document(world.app("gas", b"one"), world.app("old", b"old")))
    world.settle(applier, world.document(world.app("gas", b"two", "1.1.0")))
    assert {path for path in world.disk.files() if path.startswith("apps/")} == {
        "apps/gas-1.1.0.capp",
        "apps/gas.toml",
    }
    assert states(applier) == {"app/gas": "active"}


def test_what_is_no_longer_desired_of_configuration_stays(world: World) -> None:
    applier = world.applier()
    world.settle(applier, world.document(world.points(POINTS)))
    assert not applier.accept(world.document().pack()) or not applier.step()
    assert world.disk.read("points.csv") == POINTS
    assert applier.items[0].state is ItemState.DESIRED or applier.items == ()


@pytest.mark.parametrize("policy", ("report", "keep-local", "overwrite"))
def test_local_changes_are_shown_and_resolved_by_policy(world: World, policy: str) -> None:
    drift = {"keep-local": KEEP_LOCAL, "overwrite": OVERWRITE}.get(policy)
    more = {} if drift is None else {"drift": drift}
    applier = world.applier()
    world.settle(applier, world.document(world.points(POINTS, **more)))
    local = b"name\nLOCAL\n"
    world.disk.write("points.csv", local, 0o644)
    restart = applier.step()
    if policy == "overwrite":
        assert restart and world.disk.read("points.csv") == POINTS
        applier.confirm()
        assert states(applier) == {"points": "active"}
        return
    assert not restart and world.disk.read("points.csv") == local
    assert states(applier) == {"points": "drifted"} and policy in why(applier, "points")
    newer = world.document(world.points(b"name\nP3\n", "2", **more))
    applier.accept(newer.pack())
    if policy == "report":
        assert not applier.step() and world.disk.read("points.csv") == local
        assert states(applier) == {"points": "drifted"} and "version 2 waits" in why(applier, "points")
        world.disk.write("points.csv", POINTS, 0o644)  # the engineer puts it back
    assert applier.step() and world.disk.read("points.csv") == b"name\nP3\n"


def test_documents_of_others_and_older_ones_are_refused(world: World) -> None:
    applier = world.applier()
    one, two = world.document(world.points(POINTS)), world.document()
    world.settle(applier, two)
    with pytest.raises(IntegrityError, match="at least version 2"):
        applier.accept(one.pack())
    with pytest.raises(IntegrityError, match="one document of version 2"):
        applier.accept(Document(GATEWAY, 2, one.items).pack())
    with pytest.raises(IntegrityError, match="document of unit-1, got that of unit-9"):
        applier.accept(Document("unit-9", 9).pack())
    assert applier.document == two


def test_what_does_not_run_goes_back_and_is_not_tried_again(world: World) -> None:
    applier = world.applier()
    world.settle(applier, world.document(world.points(POINTS), world.app("gas", b"one")))
    before = world.disk.files()
    second = world.document(world.points(b"name\nP1\nP2\n", "2"), world.app("gas", b"two", "2.0.0"))
    applier.accept(second.pack())
    assert applier.step()
    assert applier.give_back("the app crashed", ["apps/gas.toml"]) == ["app/gas"]
    assert states(applier) == {"points": "verified", "app/gas": "failed"}
    assert world.disk.read("apps/gas-1.0.0.capp") == b"one"
    assert world.disk.read("apps/gas-2.0.0.capp") is None
    assert applier.give_back("no connection") == ["points"], "it is the only one left"
    now = world.disk.files()
    for path in ("points.csv", "apps/gas.toml", "apps/gas-1.0.0.capp", "gateway.toml"):
        assert now[path] == before[path]
    assert applier.trial is None and not world.disk.names(OLD)
    assert not applier.step(), "neither is tried again"
    assert states(applier) == {"points": "failed", "app/gas": "failed"}
    assert next(item for item in applier.items if item.ref == "points").running == "1"
    assert not world.applier().step(), "nor after a restart"


def test_the_one_at_fault_is_found_and_the_others_are_tried_again(world: World) -> None:
    applier = world.applier()
    items = [world.app(id, b"app " + id.encode()) for id in ("bad", "good", "other")]
    applier.accept(world.document(*items).pack())
    assert applier.step()
    undone = []
    while world.disk.read("apps/bad.toml") is not None:
        undone += applier.give_back("it crashed, and nobody knows why")
    assert undone == ["app/other", "app/good", "app/bad"]
    assert states(applier) == {"app/bad": "failed", "app/good": "desired", "app/other": "desired"}
    again = world.applier()
    assert again.step()
    again.confirm()
    assert states(again) == {"app/bad": "failed", "app/good": "active", "app/other": "active"}


def test_a_gateway_that_never_comes_up_gives_all_back(world: World) -> None:
    applier = world.applier()
    world.settle(applier, world.document(world.points(POINTS)))
    applier.accept(world.document(world.points(b"bad", "2"), world.app("gas", b"app")).pack())
    assert applier.step()
    for _ in range(STARTS_MAX):
        assert world.applier().trial is not None
    last = world.applier()
    assert last.trial is None and world.disk.read("points.csv") == POINTS
    assert "did not come up" in why(last, "points")
    assert world.disk.read("apps/gas.toml") is None


def test_firmware_goes_last_and_its_fate_is_told(world: World) -> None:
    applier = world.applier()
    needs, firmware = world.app("gas", b"app", needs=("firmware",)), world.firmware("2.0")
    image = Image("2.0", firmware.sha256)
    applier.accept(world.document(world.points(POINTS), needs, firmware).pack())
    assert applier.step() and not world.slots.images
    applier.confirm()
    assert not applier.step() and len(world.slots.images) == 1
    assert states(applier) == {"points": "active", "app/gas": "downloaded", "firmware": "verified"}
    world.slots.firmware = Firmware("a", OLD_IMAGE, trying=image)
    assert not applier.step() and len(world.slots.images) == 1
    assert states(applier)["firmware"] == "verified"
    world.slots.firmware = Firmware("b", image)
    assert applier.step()
    applier.confirm()
    assert set(states(applier).values()) == {"active"}


def test_firmware_that_was_given_up_stays_so(world: World) -> None:
    applier = world.applier()
    firmware = world.firmware("2.0")
    applier.accept(world.document(firmware).pack())
    assert not applier.step() and len(world.slots.images) == 1
    image = Image("2.0", firmware.sha256)
    world.slots.firmware = Firmware("a", OLD_IMAGE, given_up=image, why="it collected nothing")
    assert not applier.step() and len(world.slots.images) == 1
    assert states(applier) == {"firmware": "failed"} and why(applier, "firmware") == "it collected nothing"
    world.slots.firmware = None
    assert not world.applier().step()


def test_firmware_without_a_supervisor_is_refused_with_the_remedy(world: World) -> None:
    world.slots.firmware = None
    applier = world.applier()
    applier.accept(world.document(world.firmware("2.0")).pack())
    assert not applier.step()
    assert "catchment-edge supervise" in why(applier, "firmware")


def test_an_altered_seal_grants_nothing(world: World) -> None:
    applier = world.applier()
    world.settle(applier, world.document(world.app("gas", b"app")))
    data = world.disk.read(ACCEPTED)
    verifier = VerifyKey(KEY.public)
    assert data is not None and unseal(data, GATEWAY, verifier) == applier.document
    assert unseal(data.replace(b'"high":1.0', b'"high":9.0'), GATEWAY, verifier) is None
    assert unseal(data, "unit-2", verifier) is None


def test_other_keys_seal_what_was_accepted(world: World) -> None:
    applier = world.applier()
    world.settle(applier, world.document(world.app("gas", b"app")))
    other = SigningKey(b"o" * 32)
    calls = world.disk.calls
    applier.rekey(KEY, VerifyKey(KEY.public))
    assert world.disk.calls == calls, "the same keys are no news"
    applier.rekey(other, VerifyKey(other.public))
    data = world.disk.read(ACCEPTED)
    assert data is not None and unseal(data, GATEWAY, VerifyKey(other.public)) == applier.document
    assert unseal(data, GATEWAY, VerifyKey(KEY.public)) is None


def test_what_cannot_be_trusted_is_remembered_to_be_told(world: World) -> None:
    applier = world.applier()
    points = world.points(POINTS)
    applier.accept(world.document(points).pack())

    def refuse(path: str, sha256: bytes, length: int) -> Path:
        raise IntegrityError("its publisher signed another hash")

    world.shelf.fetch = refuse  # type: ignore[method-assign]
    assert not applier.step()
    assert applier.refusals == ["points: its publisher signed another hash"]
    assert states(applier) == {"points": "desired"} and "not fetched" in why(applier, "points")


# -- power cuts ------------------------------------------------------------------------------------


def managed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if not path.startswith("data/")}


def sound(disk: TornDisk) -> None:
    """What is remembered is what is there, and nothing is left over."""
    state = State.parse(disk.read(STATE) or State().pack())
    for ref, entry in state.installed.items():
        for path, sha256 in entry.files.items():
            assert disk.sha256(path) == sha256, f"{ref}: {path}"
    assert disk.read(JOURNAL) is None and not disk.names(NEW)
    trial = state.trial
    kept = {name for item in trial.items for name in item.kept.values() if name} if trial else set()
    assert set(disk.names(OLD)) == kept


def cut_everywhere(
    world: World,
    start: TornDisk,
    act: Callable[[Applier], object],
    old: dict[str, bytes],
    new: dict[str, bytes],
) -> int:
    """Cut `act` at every call; afterwards all is old or all is new, and going on ends at the new."""
    cuts = 0
    chance = Random(4711)
    while True:
        disk = TornDisk.of(start.files())
        disk.cut_at = cuts + 1
        try:
            act(world.applier(disk))
        except PowerCutError:
            cuts += 1
        else:
            return cuts
        for _ in range(6):
            after = disk.after_a_cut(chance)
            cut_again = chance.random() < 0.5
            if cut_again:
                after.cut_at = chance.randint(1, 12)
                try:
                    world.applier(after)
                except PowerCutError:
                    after = after.after_a_cut(chance)
                else:
                    after = TornDisk.of(after.files())
            applier = world.applier(after)
            assert managed(after.files()) in (old, new), f"torn after a cut at call {cuts}"
            sound(after)
            data = after.read(ACCEPTED)
            assert data is None or unseal(data, GATEWAY, VerifyKey(KEY.public)) is not None
            act(applier)
            assert managed(after.files()) == new
            sound(after)


def test_a_cut_at_any_write_leaves_the_old_or_the_new(world: World) -> None:
    first = world.document(
        world.config(CONFIG), world.points(POINTS), world.app("gas", b"one"), world.app("old", b"old")
    )
    applier = world.applier()
    world.settle(applier, first)
    start = TornDisk.of(world.disk.files())
    second = world.document(
        world.config(b"[scan.new]\nperiod_s = 5\n", "2"),
        world.points(b"name\nP9\n", "2"),
        world.app("gas", b"two", "2.0.0"),
        world.model("pca", "gas", b"onnx"),
    )

    def act(applier: Applier) -> None:
        applier.accept(second.pack())
        applier.step()

    probe = TornDisk.of(start.files())
    act(world.applier(probe))
    assert cut_everywhere(world, start, act, managed(start.files()), managed(probe.files())) > 40


def test_a_cut_at_any_write_of_going_back_leaves_the_new_or_the_old(world: World) -> None:
    applier = world.applier()
    world.settle(applier, world.document(world.points(POINTS), world.app("gas", b"one")))
    old = managed(world.disk.files())
    applier.accept(world.document(world.points(b"x", "2"), world.app("gas", b"two", "2.0.0")).pack())
    assert applier.step()
    start = TornDisk.of(world.disk.files())

    def act(applier: Applier) -> None:
        if applier.trial is not None:
            applier.give_back("it crashed", ["points.csv", "apps/gas.toml"])

    assert cut_everywhere(world, start, act, managed(start.files()), old) > 20


def test_a_cut_while_confirming_forgets_nothing(world: World) -> None:
    applier = world.applier()
    applier.accept(world.document(world.points(POINTS)).pack())
    assert applier.step()
    start = TornDisk.of(world.disk.files())
    new = managed(start.files())
    assert cut_everywhere(world, start, lambda applier: applier.confirm(), new, new) > 3
