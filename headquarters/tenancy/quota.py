"""How much a tenant may use, and whether there is room for more; no I/O.

Rules:
1. A thing that is counted by the day (`queries`) begins anew at midnight UTC; the others are as much
   as there is now: what is given back makes room.
2. Without a quota there is no bound, and usage is counted all the same.
3. What is asked for is charged before it is done; who is over the bound by a measurement (storage)
   keeps what there is, and its people get no more: no query is kept, no gateway invited. What comes
   from the field is taken in all the same: a quota makes no gap.
4. Who would give a tenant's gateways more apps than it may have is refused, whoever that is.

>>> usage = charge("plant-a", "queries", Usage(0, 9), 3600_000_000, 1, 10)
>>> usage.used
10
>>> charge("plant-a", "queries", usage, 25 * 3600_000_000, 1, 10).used
1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from headquarters.errors import QuotaError

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Thing:
    """What a quota is of.

    Args:
        en: What is counted, in English.
        zh: The same in Chinese.
        daily: Whether it begins anew each day.
        step: So many people think of as one where they set it: bytes by the gigabyte.
    """

    en: str
    zh: str
    daily: bool = False
    step: int = 1


THINGS = {
    "storage": Thing("bytes in lake and archive", "数据湖和归档的字节数", step=10**9),
    "queries": Thing("queries a day", "每日查询次数", daily=True),
    "jobs": Thing("queries and exports at a time", "同时运行的查询和导出数"),
    "apps": Thing("apps on gateways", "网关上的应用数"),
}


class Usage(NamedTuple):
    """What is used: since the beginning of a window (us since 1970), and how much."""

    window_us: int
    used: int


def current(thing: str, usage: Usage, at_us: int) -> Usage:
    """What is used at an instant: of a thing by the day, nothing of the days before."""
    if not THINGS[thing].daily:
        return usage
    window_us = at_us - at_us % DAY_US
    return usage if usage.window_us == window_us else Usage(window_us, 0)


def check(tenant: str, thing: str, used: int, amount: int, most: int | None) -> None:
    """See that there is room.

    Args:
        tenant: Whose quota.
        thing: One of `THINGS`.
        used: What is used.
        amount: What is asked for besides; 0 or more.
        most: The quota; `None`: no bound.

    Raises:
        QuotaError: There is not.
    """
    if most is not None and used + amount > most:
        raise QuotaError(tenant, thing, used, most, amount)


def charge(tenant: str, thing: str, usage: Usage, at_us: int, amount: int, most: int | None) -> Usage:
    """What is used after one more charge; arguments as of `check`.

    Raises:
        QuotaError: There is no room.
    """
    now = current(thing, usage, at_us)
    check(tenant, thing, now.used, amount, most)
    return Usage(now.window_us, now.used + amount)
