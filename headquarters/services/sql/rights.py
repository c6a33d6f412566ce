"""What a scope of data comes to in this lake: the series and the gateways whose rows may be read.

Rules:
1. A series belongs to the sites that its definitions name. Who asks sees it when every one of
   them is within the scope: a gateway that moved between owners takes no past along.
2. A gateway's own records (events, gaps, the ledger) are seen by who sees its whole site: all
   sites that its series ever named. A view of some points gives no right to them.
3. A view of another's site with a point pattern gives those series whose latest name matches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

import pyarrow as pa

from headquarters.tenancy.scope import Scope


class Mask(Enum):
    """What is shown in place of a column's values."""

    NULL = "null"
    """Nothing, in the column's own type."""
    STARS = "stars"
    """`***` for whatever text there is; null where there is none."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose data a query may see.

    Args:
        sites: The sites, whole; `None`: everything there is.
        points: Of further sites, patterns of the points that may be seen: `*` is any text, `?` any character.
        masks: Columns that are shown masked, by (relation, column).
    """

    sites: frozenset[str] | None
    points: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    masks: Mapping[tuple[str, str], Mask] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def everything(self) -> bool:
        """No row is kept back."""
        return self.sites is None

    def sees_point(self, site: str, name: str) -> bool:
        """Whether a point of a site may be seen.

        >>> reach = Reach(frozenset({"a"}), {"b": ("T*",)})
        >>> reach.sees_point("a", "P1"), reach.sees_point("b", "T1"), reach.sees_point("b", "P1")
        (True, True, False)
        """
        return Scope(self.sites, self.points).sees_point(site, name)

    @classmethod
    def of(cls, scope: Scope) -> Reach:
        """What a scope of data may see, with what is masked for all but the group."""
        return cls(scope.sites, scope.points, {} if scope.is_whole else TENANT_MASKS)


TENANT_MASKS: Mapping[tuple[str, str], Mask] = MappingProxyType(
    {("ledger", "segment"): Mask.NULL, ("ledger", "segment_offset"): Mask.NULL}
)
"""Where headquarters keeps payloads is nobody's business but the group's: a segment holds many tenants'."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a reach comes to.

    Args:
        series: Numbers of the series, ascending; `None`: all.
        gateways: Names of the gateways, ascending; `None`: all.
    """

    series: tuple[int, ...] | None
    gateways: tuple[str, ...] | None

    def runs(self) -> tuple[tuple[int, int], ...]:
        """The first and the last of all series that follow one another without a hole.

        >>> Rights((1, 2, 3, 7, 9, 10), None).runs()
        ((1, 3), (7, 7), (9, 10))
        """
        found: list[tuple[int, int]] = []
        for number in self.series or ():
            first = found.pop()[0] if found and found[-1][1] == number - 1 else number
            found.append((first, number))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Series:
    gateway: str
    name: str
    sites: frozenset[str]


class SeriesIndex:
    """All series of a lake: whose they are, and what they are called.

    Args:
        definitions: Rows of `series_history` with at least series, gateway, name, site and ordinal.
    """

    def __init__(self, definitions: pa.Table) -> None:
        ordered = definitions.select(["series", "gateway", "name", "site", "ordinal"]).sort_by("ordinal")
        found: dict[int, _Series] = {}
        for row in ordered.to_pylist():
            sites = {row["site"]} | (found[row["series"]].sites if row["series"] in found else set())
            found[row["series"]] = _Series(row["gateway"], row["name"], frozenset(sites))
        self._series = found
        self._sites: dict[str, set[str]] = {}
        for each in found.values():
            self._sites.setdefault(each.gateway, set()).update(each.sites)

    def __len__(self) -> int:
        return len(self._series)

    @property
    def numbers(self) -> Sequence[int]:
        """All series, ascending."""
        return sorted(self._series)

    def rights(self, reach: Reach) -> Rights:
        """Work out what may be seen.

        >>> rows = {"series": [1, 2], "gateway": ["g", "h"], "name": ["a", "b"], "site": ["x", "y"]}
        >>> index = SeriesIndex(pa.table({**rows, "ordinal": [1, 2]}))
        >>> index.rights(Reach(frozenset({"x"}), {"y": ("B*",)}))
        Rights(series=(1,), gateways=('g',))
        """
        if reach.sites is None:
            return Rights(None, None)
        series = [
            number
            for number, each in self._series.items()
            if all(reach.sees_point(site, each.name) for site in each.sites)
        ]
        gateways = [name for name, sites in self._sites.items() if sites <= reach.sites]
        return Rights(tuple(sorted(series)), tuple(sorted(gateways)))

    def names(self, rights: Rights) -> Mapping[str, tuple[int, ...]]:
        """The series that are called `name` or `gateway/name`, of those that may be seen."""
        chosen = self._series if rights.series is None else dict.fromkeys(rights.series)
        names: dict[str, list[int]] = {}
        for number in chosen:
            each = self._series[number]
            for name in {each.name, f"{each.gateway}/{each.name}"}:
                names.setdefault(name, []).append(number)
        return {name: tuple(numbers) for name, numbers in names.items()}
