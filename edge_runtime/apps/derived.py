"""The points that apps make: their ids, their definitions, their samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edge_runtime import pointids
from edge_runtime.apps.installed import InstalledApp
from edge_runtime.config import GatewayConfig
from edge_runtime.rules.types import Type
from protocols.records import PointDefinition
from protocols.samples import BAD, GOOD, UNCERTAIN, SampleBlock, ValueType

STATUS_CODES = np.array([GOOD, UNCERTAIN, BAD], np.uint32)
"""Of the qualities 0, 1 and 2."""

_VALUE_TYPES = {Type.BOOL: ValueType.BOOL, Type.REAL: ValueType.F32, Type.LREAL: ValueType.F64}


class Derived(NamedTuple):
    """One output of an app, over its instances.

    Args:
        output: Its name.
        type: What travels.
        ids: Its points, one an instance.
    """

    output: str
    type: ValueType
    ids: tuple[int, ...]


def value_type(app: InstalledApp, output: str) -> ValueType:
    """What travels of an output; a model's is an f64."""
    column = app.built.app.outputs.get(output)
    return ValueType.F64 if column is None else _VALUE_TYPES.get(column.type, ValueType.I64)


def derive(config: GatewayConfig, apps: Sequence[InstalledApp]) -> dict[str, tuple[Derived, ...]]:
    """Give the outputs of all apps their point ids, durably.

    Args:
        config: The gateway.
        apps: What is installed.

    Returns:
        By app id, its outputs in order.

    Raises:
        StoreError: The ids cannot be written.
    """
    with pointids.locked(config.home):
        ids = pointids.load(config.home)
        found = {
            app.id: tuple(
                Derived(
                    output,
                    value_type(app, output),
                    tuple(
                        ids.assign(instance.outputs[at], value_type(app, output))
                        for instance in app.instances
                    ),
                )
                for at, output in enumerate(app.built.outputs)
            )
            for app in apps
        }
        pointids.save(config.home, ids)
    return found


def definitions(app: InstalledApp, derived: Sequence[Derived]) -> list[PointDefinition]:
    """What headquarters must know of an app's points."""
    made = []
    for at, each in enumerate(derived):
        column = app.built.app.outputs.get(each.output)
        for instance, id in zip(app.instances, each.ids, strict=True):
            made.append(
                PointDefinition(
                    id,
                    instance.outputs[at],
                    each.type,
                    (column.unit or "") if column is not None else "",
                    app.scan.period_ms,
                    description=f"{each.output} of {instance.name}, by the app {app.id}",
                )
            )
    return made


def sample_blocks(
    derived: Sequence[Derived],
    time_us: int,
    outputs: Mapping[str, Sequence[Any]],
    qualities: Mapping[str, Sequence[int]],
) -> tuple[SampleBlock, ...]:
    """The samples of one scan."""
    blocks = []
    for kind in dict.fromkeys(each.type for each in derived):
        same = [each for each in derived if each.type is kind]
        ids = np.array([id for each in same for id in each.ids], np.uint32)
        values = np.array([value for each in same for value in outputs[each.output]], kind.dtype)
        codes = np.array([code for each in same for code in qualities[each.output]], np.int64)
        times = np.full(len(ids), time_us, np.int64)
        blocks.append(SampleBlock(kind, ids, times, values, STATUS_CODES[codes]))
    return tuple(blocks)
