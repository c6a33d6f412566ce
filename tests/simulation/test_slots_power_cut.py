"""Power cut at every write of install, switch, confirm, return and migration: a working slot boots.

What happens is recorded once; then, for every call that changed the disk, the disk is put together
as a cut at that place may leave it, several times, and looked at as the next start would.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_runtime import slots
from edge_runtime.flash.root import make_root
from edge_runtime.slots import boot, installing, states, unpack
from edge_runtime.slots.image import open_image
from edge_runtime.slots.moving import MoveError, Mover
from edge_runtime.slots.states import SlotsState
from edge_runtime.slots.store import COMPILED, Root, StateStore
from edge_runtime.slots.unpack import check_slot
from protocols import durable
from protocols.errors import InputError
from tests.slot_parts import demo_image, demo_root, quick_disk
from tests.torn_files import Recording, recorded

DISKS = 3
"""Different disks for each cut."""

BOOT = "boot-1"


@pytest.fixture(autouse=True)
def _nothing_compiled_nor_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an interpreter compiles in a process of its own is no part of the recording.

    And the real disk need not be flushed: the simulated one is what is looked at.
    """
    monkeypatch.setattr(unpack, "compile_slot", lambda slot, python: (slot / COMPILED).write_text("x"))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(durable, "flush_filesystem", lambda folder: None)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with quick_disk(tmp_path) as folder:
        yield folder


def ignored(name: str) -> bool:
    return name in ("lock", "installing")


class Machine:
    """A root whose slot a runs, and what happens to it."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.path = demo_root(folder, image)
        self.root = Root(self.path)
        self.store = StateStore(self.root)
        data = self.root.home / "data"
        data.mkdir()
        (data / "format").write_text("1")
        (data / "samples").write_text("collected before\n")

    def begin(self) -> None:
        self.store.change(lambda now: states.begun(now, BOOT, None))


def migrate(slot: str, folder: Path, source: int, target: int) -> None:
    """What a program does: rewrite a file in place, which a cut may tear."""
    assert (folder / "format").read_text() == str(source)
    (folder / "format").write_text("torn")
    (folder / "format").write_text(str(target))


def mover(root: Root, how: Callable[[str, Path, int, int], None] = migrate) -> Mover:
    return Mover(root, StateStore(root), how)


def starts(recording: Recording, folder: Path) -> Iterator[tuple[str, Root, SlotsState]]:
    """The machine at its next start, for every cut and several disks: state read, nothing rebuilt."""
    for upto in range(len(recording.calls) + 1):
        for seed in range(DISKS):
            path = folder / f"{upto}-{seed}"
            recording.after_a_cut(upto, random.Random(1000 * upto + seed)).write(path)
            root = Root(path)
            state = StateStore(root).read()
            check_slot(root.slot(state.good))
            assert boot.order(root.slots)[0] == state.good
            if state.trial is not None:
                check_slot(root.slot(state.trial.slot))
            yield f"cut after {upto} calls, disk {seed}", root, state
            shutil.rmtree(path)


def data_is_right(root: Root, state: SlotsState, where: str) -> None:
    """After what a start does, the data has the format of the program that it will run."""
    run = state.trial.slot if state.trial is not None else state.good
    mover(root).bring(run)
    after = StateStore(root).read()
    data = root.home / "data"
    assert after.data_format == after.of(run).data_format, where
    assert (data / "format").read_text() == str(after.data_format), where
    assert (data / "samples").read_text().startswith("collected before\n"), where


def test_a_cut_at_any_write_of_an_installation_leaves_the_good_slot_or_a_whole_new_one(
    disk: Path,
) -> None:
    old, new = demo_image(disk, "1.0.0"), demo_image(disk, "1.1.0")
    machine = Machine(disk, old)
    with recorded(machine.path, ignored) as recording:
        slots.install(machine.path, new)
    found = set()
    for where, root, state in starts(recording, disk / "cuts"):
        assert state.good == "a", where
        found.add(state.trial is not None)
        assert slots.install(root.path, new).slot == "b", where
        after = slots.state(root.path)
        assert after.trial is not None and after.trial.tries_left == 3, where
        check_slot(root.slot("b"))
    assert found == {False, True}
    assert len(recording.calls) > 25


def test_a_cut_at_any_write_of_a_second_installation_over_an_old_firmware_does_no_harm(
    disk: Path,
) -> None:
    images = [demo_image(disk, f"1.{number}.0") for number in range(3)]
    machine = Machine(disk, images[0])
    slots.install(machine.path, images[1])
    machine.begin()
    machine.store.change(states.confirmed)
    with recorded(machine.path, ignored) as recording:
        slots.install(machine.path, images[2])
    for where, root, state in starts(recording, disk / "cuts"):
        assert state.good == "b" and state.of("b").version == "1.1.0", where
        slots.install(root.path, images[2])
        check_slot(root.slot("a"))


def test_a_cut_at_any_write_of_begin_fail_give_up_and_confirm_uses_no_try_that_nobody_saw(
    disk: Path,
) -> None:
    old, new = demo_image(disk, "1.0.0"), demo_image(disk, "1.1.0")
    machine = Machine(disk, old)
    slots.install(machine.path, new)
    with recorded(machine.path, ignored) as recording:
        machine.begin()
        machine.store.change(lambda now: states.failed(now, "crashed", 1))
        machine.begin()
        machine.store.change(states.confirmed)
    seen = set()
    for where, root, state in starts(recording, disk / "cuts"):
        store = StateStore(root)
        after = store.change(lambda now: states.resumed(now, "boot-2", by_watchdog=False))
        if state.trial is None:
            assert state.good == "b", where
            seen.add("confirmed")
        else:
            assert after.trial is not None and after.trial.tries_left == state.trial.tries_left, where
            assert not after.running, where
            seen.add(f"{state.trial.tries_left} {'begun' if state.running else 'waiting'}")
    assert seen == {"3 waiting", "3 begun", "2 waiting", "2 begun", "confirmed"}


def test_a_cut_at_any_write_of_going_back_and_giving_that_up_leaves_the_good_firmware_or_tries_the_old(
    disk: Path,
) -> None:
    machine = Machine(disk, demo_image(disk, "1.0.0"))
    slots.install(machine.path, demo_image(disk, "1.1.0"))
    machine.begin()
    machine.store.change(states.confirmed)
    with recorded(machine.path, ignored) as recording:
        installing.go_back(machine.path)
        machine.begin()
        machine.store.change(lambda now: states.given_up(now, "it collected nothing", 1))
    seen = set()
    for where, _, state in starts(recording, disk / "cuts"):
        assert (state.good, state.of("b").version) == ("b", "1.1.0"), where
        if state.trial is not None:
            assert (state.trial.slot, state.of("a").version) == ("a", "1.0.0"), where
        seen.add("given up" if state.given_up else "tried" if state.trial else "good")
    assert seen == {"good", "tried", "given up"}


@pytest.mark.parametrize("back", [True, False])
def test_a_cut_at_any_write_of_a_migration_and_its_return_leaves_data_that_its_program_reads(
    disk: Path, back: bool
) -> None:
    old, new = demo_image(disk, "1.0.0"), demo_image(disk, "2.0.0", format=2, oldest=1)
    machine = Machine(disk, old)
    slots.install(machine.path, new)

    def how(slot: str, folder: Path, source: int, target: int) -> None:
        assert slot == "b", "the program of the later format does it"
        if target < source and not back:
            raise MoveError("this program cannot go back")
        migrate(slot, folder, source, target)

    with recorded(machine.path, ignored) as recording:
        mover(machine.root, how).bring("b")
        machine.begin()
        with (machine.root.home / "data" / "samples").open("a") as log:
            log.write("collected by the new one\n")
        machine.store.change(lambda now: states.given_up(now, "collected nothing", 1))
        mover(machine.root, how).bring("a")
    kept = (machine.root.home / "data" / "samples").read_text()
    aside = machine.root.home / "data.tried"
    assert ("new one" in kept) is back and aside.exists() is not back
    if not back:
        assert "new one" in (aside / "samples").read_text(), "what was collected is set aside, not lost"
    formats = set()
    for where, root, state in starts(recording, disk / "cuts"):
        formats.add((state.data_format, None if state.move is None else str(state.move.phase)))
        data_is_right(root, state, where)
    last = "switching-back" if back else "restoring"
    assert {
        (1, None),
        (1, "preparing"),
        (1, "switching"),
        (2, "kept"),
        (2, "returning"),
        (2, last),
    } <= formats


def test_a_cut_at_any_write_of_a_migration_and_its_confirmation_leaves_data_that_its_program_reads(
    disk: Path,
) -> None:
    old, new = demo_image(disk, "1.0.0"), demo_image(disk, "2.0.0", format=2, oldest=1)
    machine = Machine(disk, old)
    slots.install(machine.path, new)
    with recorded(machine.path, ignored) as recording:
        mover(machine.root).bring("b")
        machine.begin()
        machine.store.change(states.confirmed)
        mover(machine.root).settle()
    assert not (machine.root.home / "data.keep").exists()
    for where, root, state in starts(recording, disk / "cuts"):
        data_is_right(root, state, where)
        if state.trial is None:
            mover(root).settle()
            assert StateStore(root).read().move is None, where


def test_a_cut_at_any_write_of_a_new_root_leaves_none_or_a_whole_one(disk: Path) -> None:
    image = demo_image(disk, "1.0.0")
    path = disk / "root"
    path.mkdir()
    with recorded(path, ignored) as recording:
        make_root(open_image(image), path)
    whole = 0
    for upto in range(len(recording.calls) + 1):
        place = disk / "cuts" / str(upto)
        recording.after_a_cut(upto, random.Random(upto)).write(place)
        try:
            state = slots.state(place)
        except InputError:
            make_root(open_image(image), place)
            state = slots.state(place)
        else:
            whole += 1
        check_slot(Root(place).slot(state.good))
    assert whole


def test_the_simulation_would_notice_a_slot_that_is_marked_before_it_is_flushed(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = demo_image(disk, "1.0.0"), demo_image(disk, "1.1.0")
    machine = Machine(disk, old)
    with recorded(machine.path, ignored) as recording:
        slots.install(machine.path, new)
    recording.calls = [call for call in recording.calls if call.kind != "syncfs"]
    with pytest.raises(Exception, match="install the image again"):
        for _ in starts(recording, disk / "cuts"):
            pass
