"""Where the points of a power unit stand in its picture, by their KKS codes (VGB-S-811-01).

A place takes the first point of its system and kind that there is, in the unit that is shown.

>>> unit_of("10LBA10CP001"), unit_of("FT-101")
('10', '')
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from headquarters.portal.words import N_
from headquarters.views.pointbook import Point

_KKS = re.compile(r"(\d{2})([A-Z]{3}\d{2})([A-Z]{2})\d{3}")


@dataclass(frozen=True, slots=True)
class Place:
    """A reading in the picture.

    Args:
        x: Left edge of its cell, in the picture's units.
        y: Upper edge.
        name: What it is.
        system: KKS code of the system, such as `LBA10`.
        kind: KKS code of the measurement, such as `CP` (pressure).
    """

    x: int
    y: int
    name: str
    system: str
    kind: str


PLACES = (
    Place(20, 130, N_("coal flow"), "HFB20", "CF"),
    Place(20, 160, N_("mill current"), "HFC10", "CE"),
    Place(20, 190, N_("mill outlet"), "HFC10", "CT"),
    Place(20, 400, N_("secondary air"), "HLA20", "CF"),
    Place(20, 430, N_("hot air"), "HLA40", "CT"),
    Place(300, 30, N_("drum pressure"), "HAD10", "CP"),
    Place(300, 60, N_("drum level"), "HAD10", "CL"),
    Place(300, 210, N_("furnace pressure"), "HBK10", "CP"),
    Place(300, 240, N_("furnace exit gas"), "HBK20", "CT"),
    Place(300, 270, N_("water wall"), "HAD40", "CT"),
    Place(560, 20, N_("main steam"), "LBA10", "CP"),
    Place(560, 50, N_("main steam"), "LBA10", "CT"),
    Place(560, 80, N_("main steam"), "LBA10", "CF"),
    Place(560, 240, N_("hot reheat"), "LBB10", "CP"),
    Place(560, 270, N_("hot reheat"), "LBB10", "CT"),
    Place(830, 20, N_("control valve"), "MAA20", "CG"),
    Place(830, 50, N_("speed"), "MAY10", "CS"),
    Place(830, 80, N_("shaft vibration"), "MAD20", "CY"),
    Place(830, 280, N_("turbine bearing"), "MAD10", "CT"),
    Place(1180, 20, N_("active power"), "MKA10", "CE"),
    Place(1180, 50, N_("reactive power"), "MKA12", "CE"),
    Place(1180, 80, N_("frequency"), "MKA15", "CE"),
    Place(1180, 270, N_("stator winding"), "MKA20", "CT"),
    Place(1180, 300, N_("hydrogen"), "MKG10", "CP"),
    Place(920, 405, N_("condenser"), "MAG10", "CP"),
    Place(920, 435, N_("hotwell level"), "MAG10", "CL"),
    Place(1180, 405, N_("cooling in"), "PAB10", "CT"),
    Place(1180, 435, N_("cooling out"), "PAB20", "CT"),
    Place(920, 530, N_("condensate"), "LCA10", "CF"),
    Place(560, 405, N_("deaerator"), "LAA10", "CP"),
    Place(560, 435, N_("deaerator level"), "LAA10", "CL"),
    Place(560, 530, N_("feed pump"), "LAC10", "CS"),
    Place(300, 530, N_("feed water"), "LAB10", "CF"),
    Place(300, 560, N_("feed water"), "LAB20", "CT"),
    Place(20, 530, N_("oxygen"), "HNA30", "CQ"),
    Place(20, 560, N_("nitrogen oxides"), "HSJ20", "CQ"),
    Place(20, 590, N_("sulphur dioxide"), "HTD20", "CQ"),
    Place(20, 620, N_("dust"), "HNE10", "CQ"),
)


def unit_of(name: str) -> str:
    """The unit in a point's name; empty for names of another kind."""
    found = _KKS.fullmatch(name)
    return "" if found is None else found[1]


def units_of(points: Sequence[Point]) -> list[str]:
    """The units that some points belong to."""
    return sorted({unit for point in points if (unit := unit_of(point.name))})


def placed(points: Sequence[Point], unit: str) -> list[tuple[Place, Point | None]]:
    """Every place with its point; `None` where the unit has none.

    Args:
        points: In the order of their names.
        unit: The unit that is shown.
    """
    first: dict[tuple[str, str], Point] = {}
    for point in points:
        found = _KKS.fullmatch(point.name)
        if found is not None and found[1] == unit:
            first.setdefault((found[2], found[3]), point)
    return [(place, first.get((place.system, place.kind))) for place in PLACES]
