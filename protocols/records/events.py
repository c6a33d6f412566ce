"""What happened at a gateway: alarms, plain events of programs, results of commands (kind EVENT).

One batch carries many, because alarms come in floods. A reader ignores fields that it does
not know, so that later releases may add some.

>>> record = EventRecord(5, EventType.ALARM, "boiler", "b1", "high", "Level high", 1, "raised", value=2.5)
>>> [payload] = pack_events([record])
>>> parse_events(payload.data) == [record]
True
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

import msgpack

from protocols import limits
from protocols.errors import LimitError, MalformedError
from protocols.records.fields import Fields, pack_map

Scalar = str | int | float | bool | None


class EventType(StrEnum):
    """What kind of thing happened."""

    ALARM = "alarm"
    """A transition of an alarm, by the process or by an operator."""
    EVENT = "event"
    """Something that a program, or the gateway itself, found worth telling."""
    COMMAND = "command"
    """What became of a command."""
    APP = "app"
    """The life of an app: started, failed, stopped."""
    WRITE = "write"
    """What an app wrote to a device, or could or might not."""


QUALITY_MAX = 2
"""Good, uncertain and bad: the severities of an OPC UA StatusCode (Part 4, 7.39)."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One thing that happened.

    Args:
        time_us: When.
        type: What kind of thing.
        app: The app concerned, or empty.
        instance: Its instance, such as a pump's name.
        source: Where in the program: the path of the alarm's or event's block.
        text: For people.
        priority: Of an alarm, 1 (critical) to 4 (low); `None` where there is none.
        transition: What happened to it, such as `raised`.
        state: In which state it is since, such as `unacknowledged`.
        value: The value that goes with it.
        quality: Of the value: 0 good, 1 uncertain, 2 bad (StatusCode severities).
        operator: Who did it, where a person did.
        comment: Why.
        number: Its place in the gateway's own journal, counted up; 0 where it is in none.
        detail: What else an app wants to tell: at most `EVENT_DETAIL_ITEMS_MAX` scalars.
    """

    time_us: int
    type: EventType
    app: str = ""
    instance: str = ""
    source: str = ""
    text: str = ""
    priority: int | None = None
    transition: str = ""
    state: str = ""
    value: float | None = None
    quality: int = 0
    operator: str = ""
    comment: str = ""
    number: int = 0
    detail: Mapping[str, Scalar] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """The event as the map that travels."""
        return {
            "time": self.time_us,
            "type": self.type,
            "app": self.app,
            "instance": self.instance,
            "source": self.source,
            "text": self.text,
            "priority": self.priority,
            "transition": self.transition,
            "state": self.state,
            "value": self.value,
            "quality": self.quality,
            "operator": self.operator,
            "comment": self.comment,
            "no": self.number,
            "detail": dict(self.detail),
        }


class EventPayload(NamedTuple):
    """The payload of one batch of kind EVENT, and its first and last time."""

    data: bytes
    events: int
    t_min_us: int
    t_max_us: int


def pack_events(records: Iterable[EventRecord]) -> Iterator[EventPayload]:
    """The payloads of as many batches as the records need; `n` in their headers is 0.

    Records must be within the limits, as `clean_event` makes them.
    """
    packed: list[bytes] = []
    times: list[int] = []
    size = 0
    for record in records:
        entry = pack_map(record.fields())
        if packed and (
            len(packed) >= limits.EVENTS_PER_BATCH_MAX or size + len(entry) > limits.EVENTS_BYTES_MAX
        ):
            yield _payload(packed, times)
            packed, times, size = [], [], 0
        packed.append(entry)
        times.append(record.time_us)
        size += len(entry)
    if packed:
        yield _payload(packed, times)


def parse_events(data: bytes) -> list[EventRecord]:
    """Read the payload of a batch of kind EVENT.

    Raises:
        MalformedError, LimitError: Not such a payload.
    """
    entries = Fields(data).array("events")
    if len(entries) > limits.EVENTS_PER_BATCH_MAX:
        raise LimitError(f"expected at most {limits.EVENTS_PER_BATCH_MAX} events, got {len(entries)}")
    return [_event(Fields.of(entry)) for entry in entries]


def clean_event(record: EventRecord) -> EventRecord:
    """The record with every text and number brought within its bounds, so that it can always travel.

    Long texts are cut, numbers that JSON cannot hold are written out in `detail`.

    >>> clean_event(EventRecord(1, EventType.APP, detail={"ratio": float("inf")})).detail
    {'ratio': 'inf'}
    """
    detail = {
        _name(str(key)): _scalar(value)
        for key, value in list(record.detail.items())[: limits.EVENT_DETAIL_ITEMS_MAX]
    }
    return replace(
        record,
        time_us=min(max(record.time_us, -limits.INT63_MAX), limits.INT63_MAX),
        app=_name(record.app),
        instance=_name(record.instance),
        source=_name(record.source),
        text=_cut(record.text, limits.EVENT_TEXT_CHARS_MAX),
        priority=None if record.priority is None else min(max(record.priority, 1), limits.EVENT_PRIORITY_MAX),
        transition=_name(record.transition),
        state=_name(record.state),
        value=None if record.value is None else float(record.value),
        quality=min(max(record.quality, 0), QUALITY_MAX),
        operator=_name(record.operator),
        comment=_cut(record.comment, limits.EVENT_TEXT_CHARS_MAX),
        detail=detail,
    )


def _payload(packed: list[bytes], times: list[int]) -> EventPayload:
    packer = msgpack.Packer(use_bin_type=True)
    head = packer.pack_map_header(1) + packer.pack("events") + packer.pack_array_header(len(packed))
    return EventPayload(head + b"".join(packed), len(packed), min(times), max(times))


def _event(fields: Fields) -> EventRecord:
    priority = fields.optional("priority")
    if priority is not None and not 1 <= priority <= limits.EVENT_PRIORITY_MAX:
        raise MalformedError(f"expected a priority from 1 to {limits.EVENT_PRIORITY_MAX}, got {priority}")
    value = fields.value("value")
    if value is not None and not isinstance(value, float):
        raise MalformedError(f"expected a double or nil as 'value', got {value!r:.80}")
    quality = fields.whole("quality")
    if not 0 <= quality <= QUALITY_MAX:
        raise MalformedError(f"expected a quality from 0 to {QUALITY_MAX}, got {quality}")
    number = fields.whole("no")
    if number < 0:
        raise MalformedError(f"expected a count as 'no', got {number}")
    return EventRecord(
        time_us=fields.whole("time"),
        type=fields.choice("type", EventType),
        app=_read(fields, "app"),
        instance=_read(fields, "instance"),
        source=_read(fields, "source"),
        text=_read(fields, "text", limits.EVENT_TEXT_CHARS_MAX),
        priority=priority,
        transition=_read(fields, "transition"),
        state=_read(fields, "state"),
        value=value,
        quality=quality,
        operator=_read(fields, "operator"),
        comment=_read(fields, "comment", limits.EVENT_TEXT_CHARS_MAX),
        number=number,
        detail=_detail(fields.value("detail")),
    )


def _read(fields: Fields, name: str, chars_max: int = limits.EVENT_NAME_CHARS_MAX) -> str:
    text = fields.text(name)
    if len(text) > chars_max:
        raise LimitError(f"expected at most {chars_max} characters as {name!r}, got {len(text)}")
    return text


def _detail(value: object) -> dict[str, Scalar]:
    if not isinstance(value, dict) or len(value) > limits.EVENT_DETAIL_ITEMS_MAX:
        raise MalformedError(f"expected a map of at most {limits.EVENT_DETAIL_ITEMS_MAX} as 'detail'")
    for key, item in value.items():
        if not isinstance(key, str) or not isinstance(item, str | int | float | bool | None):
            raise MalformedError(f"expected texts and scalars in 'detail', got {key!r:.40}: {item!r:.40}")
        if isinstance(item, float) and not math.isfinite(item):
            raise MalformedError(f"expected finite numbers in 'detail', got {item} as {key!r:.40}")
    return value


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -limits.INT63_MAX <= value <= limits.INT63_MAX:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return _cut(str(value), limits.EVENT_TEXT_CHARS_MAX)


def _name(text: str) -> str:
    return _cut(text, limits.EVENT_NAME_CHARS_MAX)


def _cut(text: str, chars_max: int) -> str:
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate cannot travel
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
