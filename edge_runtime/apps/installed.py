"""An app as it is installed on a gateway: compiled, and bound to points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.config import ScanClass
from edge_runtime.rules.apps.build import BuiltApp
from edge_runtime.rules.checking.typed import Value
from protocols.errors import Problem
from protocols.points import Point, Report


def is_thinned(point: Point) -> bool:
    """Whether values are left out that cannot be told from those that are kept."""
    return point.report not in (Report.ALWAYS, Report.CHANGE)


@dataclass(frozen=True, slots=True)
class Instance:
    """One set of points that an app runs for.

    Args:
        name: Unique in the app.
        points: For each input of the app, in the order of `app.inputs`, its point.
        parameters: For each parameter, in the order of `app.parameters`, its value in the
            declared type (TIME in milliseconds).
        outputs: For each of `BuiltApp.outputs`, in their order, the derived point's name.
    """

    name: str
    points: tuple[Point, ...]
    parameters: tuple[Value, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """An output that may be written to a device.

    Args:
        instance: Of which instance.
        output: Which output.
        point: Where it is written.
        low: Least value that is written, in the point's unit; anything below is not.
        high: Greatest one.
    """

    instance: str
    output: str
    point: Point
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class InstalledApp:
    """An installed app that can run.

    Args:
        settings: Its `apps/<id>.toml`.
        sha256: Hash of its package.
        built: The app, compiled.
        scan: The scan class in which it runs.
        instances: In the order of the settings.
        grants: What it may write.
        warnings: What is allowed but was perhaps not meant.
        ungranted: What its settings let it write and the desired document does not: not written.
    """

    settings: Path
    sha256: str
    built: BuiltApp
    scan: ScanClass
    instances: tuple[Instance, ...]
    grants: tuple[Grant, ...] = ()
    warnings: tuple[Problem, ...] = ()
    ungranted: tuple[Grant, ...] = ()

    @property
    def id(self) -> str:
        """The app's id."""
        return self.built.app.id

    @property
    def version(self) -> str:
        """Its version."""
        return self.built.app.version

    @property
    def bindings(self) -> Mapping[str, tuple[Point, ...]]:
        """For each input the point of every instance."""
        return {
            name: tuple(instance.points[at] for instance in self.instances)
            for at, name in enumerate(self.built.app.inputs)
        }

    @property
    def parameters(self) -> Mapping[str, tuple[Value, ...]]:
        """For each parameter the value of every instance: what `LiveApp` takes."""
        return {
            name: tuple(instance.parameters[at] for instance in self.instances)
            for at, name in enumerate(self.built.app.parameters)
        }

    @property
    def thinned(self) -> tuple[str, ...]:
        """Points it reads of which values are left out: it is replayed approximately.

        Of those kept on change, the value last kept is what every scan until the next one saw.
        """
        points = {point for instance in self.instances for point in instance.points}
        return tuple(sorted(point.name for point in points if is_thinned(point)))

    def fields(self) -> dict[str, Any]:
        """For a machine."""
        return {
            "id": self.id,
            "version": self.version,
            "class": str(self.built.package.manifest.app_class),
            "sha256": self.sha256,
            "scan": self.scan.name,
            "period_s": self.scan.period_ms / 1000,
            "operations": self.built.app.operations,
            "state_bytes": self.built.app.state_bytes,
            "replay": "approximate" if self.thinned else "exact",
            "instances": [self._instance(instance) for instance in self.instances],
            "grants": [
                {
                    "instance": grant.instance,
                    "output": grant.output,
                    "point": grant.point.name,
                    "low": grant.low,
                    "high": grant.high,
                }
                for grant in self.grants
            ],
        }

    def _instance(self, instance: Instance) -> dict[str, Any]:
        app = self.built.app
        return {
            "name": instance.name,
            "inputs": {name: point.name for name, point in zip(app.inputs, instance.points, strict=True)},
            "parameters": dict(zip(app.parameters, instance.parameters, strict=True)),
            "outputs": dict(zip(self.built.outputs, instance.outputs, strict=True)),
        }
