"""Firmware as a desired item over the machine's real slots: installed, tried, confirmed or given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.desired.firmware import MachineSlots, NoSlots, slots_of
from edge_runtime.slots import states
from edge_runtime.slots.store import Root, StateStore
from headquarters.desired.publishing import check_firmware
from protocols.desired import ItemKind
from protocols.errors import InputError
from tests.desired.parts import World
from tests.slot_parts import demo_image, demo_root


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("images")
    return demo_image(folder, "1.0.0"), demo_image(folder, "2.0.0")


class Machine:
    """Two real slots, and a world that desires firmware of them."""

    def __init__(self, folder: Path, first: Path) -> None:
        self.root = demo_root(folder, first)
        self.store = StateStore(Root(self.root))
        self.world = World(folder)
        self.slots = MachineSlots(self.root)
        self.applier = self.world.applier(slots=self.slots)

    def desire(self, image: Path, version: str) -> None:
        firmware = self.world.item(
            ItemKind.FIRMWARE, "demo", version, f"firmware/edge/demo-{version}.cfw", image.read_bytes()
        )
        self.applier.accept(self.world.document(firmware).pack())
        assert not self.applier.step(), "firmware needs no new session: the supervisor does it"

    def state(self) -> tuple[str, str, str]:
        [item] = self.applier.items
        return str(item.state), item.running, item.why


def test_an_image_goes_into_the_idle_slot_and_is_active_once_confirmed(
    tmp_path: Path, images: tuple[Path, Path]
) -> None:
    machine = Machine(tmp_path, images[0])
    machine.desire(images[0], "1.0.0")
    assert machine.state() == ("active", "1.0.0", ""), "it runs already"
    machine.desire(images[1], "2.0.0")
    assert machine.state() == ("verified", "1.0.0", "in its slot, to be tried")
    machine.store.change(lambda state: states.begun(state, "boot", None))
    assert not machine.applier.step()
    assert machine.state() == ("verified", "1.0.0", "in its slot, being tried")
    machine.store.change(states.confirmed)
    assert not machine.applier.step()
    assert machine.state() == ("active", "2.0.0", "")
    found = machine.slots.state()
    assert found is not None and (found.slot, found.good.version) == ("b", "2.0.0")


def test_what_the_supervisor_gave_up_has_failed(tmp_path: Path, images: tuple[Path, Path]) -> None:
    machine = Machine(tmp_path, images[0])
    machine.desire(images[1], "2.0.0")
    machine.store.change(lambda state: states.given_up(state, "it collected nothing", 1))
    assert not machine.applier.step()
    assert machine.state() == ("failed", "1.0.0", "it collected nothing")
    assert not machine.applier.step() and machine.state()[0] == "failed"


def test_what_is_no_image_is_refused_and_the_slots_stay(tmp_path: Path, images: tuple[Path, Path]) -> None:
    machine = Machine(tmp_path, images[0])
    before = machine.store.read()
    wrong = tmp_path / "wrong.cfw"
    wrong.write_bytes(images[1].read_bytes()[:-100])
    machine.desire(wrong, "2.0.0")
    assert machine.state()[0] == "failed" and machine.store.read().good == before.good
    with pytest.raises(InputError, match="whole image"):
        check_firmware(wrong)


def test_headquarters_reads_an_image_before_it_is_published(images: tuple[Path, Path]) -> None:
    checked = check_firmware(images[1])
    assert checked.path == "firmware/edge/catchment-edge-2.0.0.cfw" and checked.kind is ItemKind.FIRMWARE


def test_slots_are_found_above_the_home(tmp_path: Path, images: tuple[Path, Path]) -> None:
    root = demo_root(tmp_path, images[0])
    assert isinstance(slots_of(root / "home"), MachineSlots)
    assert isinstance(slots_of(tmp_path / "elsewhere"), NoSlots)
    assert NoSlots().state() is None
