"""What pages that change something share."""

from __future__ import annotations

from collections.abc import Iterable

from protocols.errors import InputError, Problem


def by_gateway(chosen: Iterable[str]) -> dict[str, list[str]]:
    """Chosen alarms by their gateways; each was sent as `gateway|name`.

    >>> by_gateway(["gw-1|steam/high", "gw-2|fan/trip", "gw-1|steam/low"])
    {'gw-1': ['steam/high', 'steam/low'], 'gw-2': ['fan/trip']}

    Raises:
        InputError: Nothing was chosen, or something is no alarm.
    """
    found: dict[str, list[str]] = {}
    for each in chosen:
        gateway, mark, name = each.partition("|")
        if not mark or not gateway or not name:
            raise InputError([Problem("form", "alarm", each[:80], "an alarm of the list")])
        found.setdefault(gateway, []).append(name)
    if not found:
        raise InputError([Problem("form", "alarm", "", "at least one chosen alarm; tick it in the list")])
    return found


def given(value: str, field: str, expected: str) -> str:
    """Something that must not be left out.

    Raises:
        InputError: It was.
    """
    if not value.strip():
        raise InputError([Problem("form", field, "", expected)])
    return value.strip()
