"""A backup with any one byte other than it was written is refused, and the place is named."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.backup.keys import BackupKey, parse_description
from protocols.backup.meter import Meter
from protocols.backup.repository import Repository
from protocols.backup.sealed import HEAD_BYTES, TAG_BYTES, DamagedError, open_sealed, seal
from protocols.backup.verifying import verify
from protocols.errors import CatchmentError
from tests.backup_parts import NODE, MemoryStore, add_run, begin, sources

KEY = bytes(range(32))
CHUNK = 64


def made() -> tuple[MemoryStore, Repository]:
    """A backup with packs, a large file in several pieces, and two runs."""
    store = MemoryStore()
    repository = begin(store)
    with TemporaryDirectory() as folder:
        files = {"keys/signing.key": b"secret", "a.toml": b"[a]\n", "large": bytes(range(256)) * 300}
        first = add_run(repository, "1", sources(Path(folder), files, 40_000))
        add_run(repository, "2", sources(Path(folder), files | {"b.toml": b"[b]"}, 40_000), before=first)
    return store, repository


STORE, REPOSITORY = made()
PLACES = sorted(STORE.objects)


@given(content=st.binary(max_size=400), chunk=st.sampled_from((16, CHUNK, 1 << 18)))
def test_what_was_sealed_opens(content: bytes, chunk: int) -> None:
    assert open_sealed(KEY, "objects/x", seal(KEY, "objects/x", content, chunk)) == content


@given(data=st.data(), content=st.randoms(use_true_random=False), size=st.integers(0, 400))
def test_any_byte_changed_in_an_object_is_refused_and_its_range_told(
    data: st.DataObject, content: Random, size: int
) -> None:
    raw = bytes(content.randbytes(size))
    sealed = seal(KEY, "objects/x", raw, CHUNK)
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.integers(1, 255))
    damaged = bytearray(sealed)
    damaged[at] ^= other
    with pytest.raises(DamagedError) as refused:
        open_sealed(KEY, "objects/x", bytes(damaged))
    assert refused.value.name == "objects/x"
    assert refused.value.begin <= at < refused.value.end
    # No wider than the chunk, or the head with the first one.
    assert refused.value.end - refused.value.begin <= HEAD_BYTES + CHUNK + TAG_BYTES or at < HEAD_BYTES


@given(data=st.data())
def test_chunks_cut_off_repeated_or_swapped_are_refused(data: st.DataObject) -> None:
    sealed = seal(KEY, "objects/x", bytes(NODE.signing.public) * 30 + bytes(range(256)), 16)
    step = 16 + TAG_BYTES
    chunks = [sealed[at : at + step] for at in range(HEAD_BYTES, len(sealed), step)]
    first, second = (data.draw(st.integers(0, len(chunks) - 1)) for _ in range(2))
    how = data.draw(st.sampled_from(("cut", "repeat", "swap", "grow")))
    if how == "cut":
        chunks = chunks[:first]
    elif how == "repeat":
        chunks.insert(first, chunks[second])
    elif how == "swap":
        chunks[first], chunks[second] = chunks[second], chunks[first]
    else:
        chunks.append(b"\0")
    changed = sealed[:HEAD_BYTES] + b"".join(chunks)
    if changed == sealed:
        return
    with pytest.raises(DamagedError):
        open_sealed(KEY, "objects/x", changed)


@given(data=st.data())
def test_any_byte_changed_anywhere_in_a_backup_is_found_at_its_object(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(PLACES))
    right = STORE.objects[name]
    at = data.draw(st.integers(0, len(right) - 1))
    damaged = bytearray(right)
    damaged[at] ^= data.draw(st.integers(1, 255))
    STORE.objects[name] = bytes(damaged)
    try:
        assert name in found_faults(), f"byte {at} of {name}"
    finally:
        STORE.objects[name] = right


@pytest.mark.parametrize("at", range(len(PLACES)))  # names differ from process to process: keys are drawn
def test_any_object_that_is_gone_is_found(at: int) -> None:
    name = PLACES[at]
    right = STORE.objects.pop(name)
    try:
        if name == "manifests/1":
            assert not found_faults()  # an older run may have been pruned
        else:
            assert name in found_faults()
    finally:
        STORE.objects[name] = right


def test_a_sound_backup_has_no_fault() -> None:
    assert found_faults() == []


def test_objects_that_changed_places_are_found() -> None:
    first, second = (name for name in PLACES if name.startswith("manifests/"))
    before = dict(STORE.objects)
    STORE.objects[first], STORE.objects[second] = before[second], before[first]
    try:
        assert {first, second} <= set(found_faults())
    finally:
        STORE.objects.update(before)


def found_faults() -> list[str]:
    """Objects that a verification names, the description of the backup included."""
    try:
        data = STORE.get("repository.json")
        parse_description(data).prove(key(), data)
    except DamagedError as error:
        return [error.name]
    except CatchmentError:
        return ["repository.json"]
    return [name for name, _ in verify(REPOSITORY, Meter(), last="2").faults]


def key() -> BackupKey:
    return REPOSITORY._key
