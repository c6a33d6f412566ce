"""Documents and reports: one encoding, bounds, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.desired import (
    AppSettings,
    Document,
    Drift,
    Grant,
    Health,
    InstanceSettings,
    Item,
    ItemKind,
    ItemReport,
    ItemState,
    ModelUse,
    Report,
    SlotReport,
    WriteRange,
    parse_document,
)
from protocols.desired.document import in_order
from protocols.desired.reading import canonical
from protocols.errors import LimitError, MalformedError, PeerError
from protocols.limits import DESIRED_BYTES_MAX, DESIRED_ITEMS_MAX
from protocols.records.fields import pack_map

SHA = "ab" * 32


def app(id: str = "gas", **more: Any) -> Item:
    settings = AppSettings(
        "fast",
        {
            "hall-1": InstanceSettings(
                {"ch4": "QT-101"}, {"limit": 20.0, "on": True, "n": 3}, {"trip": "甲烷"}
            )
        },
        {"hall-1": {"trip": Grant("XV-104"), "level": Grant("LC-1", -1.5, 2)}},
    )
    return Item(ItemKind.APP, id, "1.2.0", f"apps/acme/{id}-1.2.0.capp", 5, SHA, app=settings, **more)


def points(**more: Any) -> Item:
    return Item(ItemKind.POINTS, "unit-1", "3", "config/unit-1-3.csv", 5, SHA, **more)


def model(id: str = "pca-3", use: ModelUse | None = None) -> Item:
    path = f"models/acme/{id}-1.onnx"
    return Item(ItemKind.MODEL, id, "1", path, 5, SHA, model=use or ModelUse("gas", "pca"))


WHOLE = Document(
    "unit-1",
    7,
    (app(needs=("points",), drift=Drift.KEEP_LOCAL), model(), points()),
    {"SP-7": WriteRange(20.0, 60.0)},
)


def test_a_document_comes_back_as_it_was() -> None:
    assert parse_document(WHOLE.pack()) == WHOLE
    assert parse_document(Document("unit-1", 1).pack()) == Document("unit-1", 1)


def test_equal_content_is_equal_whatever_the_order_and_the_version() -> None:
    other = Document("unit-1", 9, tuple(reversed(WHOLE.items)), WHOLE.writes)
    assert other.content == WHOLE.content and other.pack() != WHOLE.pack()


def test_what_is_installed_decides_the_digest_and_how_it_is_applied_does_not() -> None:
    assert app().digest == app(drift=Drift.OVERWRITE, needs=("points",)).digest
    assert app().digest != app("gas2").digest


def edited(edit: Callable[[dict[str, Any]], Any]) -> bytes:
    document = json.loads(WHOLE.pack())
    edit(document)
    return canonical(document)


@pytest.mark.parametrize(
    ("data", "expected"),
    (
        (b"", "JSON"),
        (b"[]", "an object as document"),
        (b"{" * 100_000, "JSON"),
        (WHOLE.pack().replace(b'"format":1', b'"format": 1'), "canonical"),
        (WHOLE.pack().replace(b'"version":7', b'"version":7,"version":7'), "canonical"),
        (edited(lambda d: d.update(format=2)), "format 1"),
        (edited(lambda d: d.update(version=0)), "a whole number from 1"),
        (edited(lambda d: d.update(version=True)), "a whole number from 1"),
        (edited(lambda d: d.update(gateway="../etc")), "a name"),
        (edited(lambda d: d.update(more=1)), "no field 'more'"),
        (edited(lambda d: d["items"].reverse()), "canonical"),
        (edited(lambda d: d["items"].append(d["items"][0])), "one item app/gas, got two"),
        (edited(lambda d: d["items"].pop(2)), "points, which app/gas needs"),
        (edited(lambda d: d["items"].pop(0)), "app/gas, which model/pca-3 needs"),
        (edited(lambda d: d["items"][0].update(kind="script")), "one of config, points"),
        (edited(lambda d: d["items"][0].update(drift="never")), "one of report"),
        (edited(lambda d: d["items"][0].update(path="apps/../../x")), "the path of a target"),
        (edited(lambda d: d["items"][0].update(path="/etc/passwd")), "the path of a target"),
        (edited(lambda d: d["items"][0].update(sha256="AB" * 32)), "64 lower-case"),
        (edited(lambda d: d["items"][0].update(length=-1)), "a whole number from 0"),
        (edited(lambda d: d["items"][0].update(version="1\n")), "a version"),
        (edited(lambda d: d["items"][0].update(needs=["points", "points"])), "each once"),
        (edited(lambda d: d["items"][0].pop("app")), "field 'app'"),
        (edited(lambda d: d["items"][2].update(app={})), "no field 'app'"),
        (edited(lambda d: d["items"][0]["app"]["grants"]["hall-1"]["level"].update(low=3)), "low is at most"),
        (edited(lambda d: d["writes"]["SP-7"].update(low=61)), "low is at most"),
        (edited(lambda d: d["writes"]["SP-7"].update(low=None)), "low is at most"),
        (edited(lambda d: d["writes"]["SP-7"].update(at="night")), "no field 'at'"),
        (edited(lambda d: d.update(writes={})), "canonical form"),
        (edited(lambda d: d["items"][0]["app"]["instances"]["hall-1"]["inputs"].update(ch4=5)), "text"),
        (edited(lambda d: d["items"][0]["app"]["instances"]["hall-1"]["inputs"].update(ch4="a\nb")), "text"),
        (edited(lambda d: d["items"][0]["app"]["instances"]["hall-1"]["parameters"].update(n=[1])), "a text"),
        (WHOLE.pack().replace(b"-1.5", b"NaN"), "a finite number"),
        (WHOLE.pack().replace(b"-1.5", b"1e999"), "a finite number"),
        (b" " * (DESIRED_BYTES_MAX + 1), "at most"),
    ),
)  # fmt: skip
def test_anything_else_is_refused(data: bytes, expected: str) -> None:
    with pytest.raises(PeerError, match=expected):
        parse_document(data)


def test_circles_two_models_in_one_place_and_too_many_items_are_refused() -> None:
    one, two = app("one", needs=("app/two",)), app("two", needs=("app/one",))
    with pytest.raises(MalformedError, match="a circle among app/one, app/two"):
        parse_document(Document("g", 1, (one, two)).pack())
    with pytest.raises(MalformedError, match="one model for gas/pca, got two"):
        parse_document(Document("g", 1, (app(), model(), model("pca-4"))).pack())
    many = tuple(app(f"a{number:03}") for number in range(DESIRED_ITEMS_MAX + 1))
    with pytest.raises(LimitError):
        parse_document(Document("g", 1, many).pack())


def test_items_come_after_what_they_need() -> None:
    items = [
        app("a", needs=("app/z",)),
        model(use=ModelUse("z", "pca")),
        app("z", needs=("points",)),
        points(),
    ]
    assert [item.ref for item in in_order(items)] == ["points", "app/z", "app/a", "model/pca-3"]


ROWS = (
    ItemReport("app/gas", "1.2.0", ItemState.FAILED, "点 'x'", "1.1.0", SHA),
    ItemReport("points", "", ItemState.DESIRED),
)
REPORT = Report(
    5,
    "unit-1",
    7,
    WHOLE.sha256,
    ROWS,
    "0.1.0",
    SlotReport("a", "1.0", "2.0", "1.9: it crashed"),
    Health(60, 6000, 6000, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    "the hub does not answer",
)  # fmt: skip


def test_a_report_comes_back_as_it_was() -> None:
    assert Report.parse(REPORT.pack()) == REPORT
    assert not REPORT.settled


def test_a_reader_ignores_fields_of_a_newer_release() -> None:
    fields = REPORT.fields() | {"later": [1]}
    fields["health"] = fields["health"] | {"later": 1}
    assert Report.parse(pack_map(fields)) == REPORT


@pytest.mark.parametrize(
    ("change", "expected"),
    (
        ({"document": -1}, "a count"),
        ({"items": [["points", "1", "finished", "", "", ""]]}, "unknown state"),
        ({"items": [["points", "1", "active"]]}, "6 texts"),
        ({"items": [[1, "1", "active", "", "", ""]]}, "a text"),
        ({"items": [["points", "1", "active", "x" * 513, "", ""]]}, "at most 512"),
        ({"slots": ["a"]}, "4 texts"),
        ({"health": {"samples": -1}}, "a map of counts"),
        ({"time": "now"}, "a whole number"),
    ),
)
def test_a_wrong_report_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(PeerError, match=expected):
        Report.parse(pack_map(REPORT.fields() | change))


@given(st.binary(max_size=200))
def test_garbage_raises_only_the_peers_error(data: bytes) -> None:
    for parse in (parse_document, Report.parse):
        try:
            parse(data)
        except PeerError:
            continue


names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,12}", fullmatch=True)
texts = st.text(st.characters(min_codepoint=32, categories=("L", "N", "P")), min_size=1, max_size=12)
numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**60), 2**60))


@given(
    names,
    st.dictionaries(
        names,
        st.builds(
            InstanceSettings,
            st.dictionaries(texts, texts, max_size=3),
            st.dictionaries(texts, st.one_of(texts, numbers, st.booleans()), max_size=3),
        ),
        max_size=3,
    ),
    st.dictionaries(texts, st.builds(Grant, texts), max_size=2),
)
def test_any_settings_come_back(
    id: str, instances: dict[str, InstanceSettings], outputs: dict[str, Grant]
) -> None:
    settings = AppSettings("", instances, {"a": outputs} if outputs else {})
    item = Item(ItemKind.APP, id, "1.0.0", "apps/acme/x-1.0.0.capp", 5, SHA, app=settings)
    document = Document("unit-1", 3, (item,))
    assert parse_document(document.pack()) == document
