"""What is replayed: an app with its settings, on one gateway's points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.rules.apps.app import CompiledApp, Scorer
from edge_runtime.rules.apps.key import run_key


@dataclass(frozen=True, slots=True)
class Job:
    """What is replayed.

    Args:
        app: The app.
        gateway: Where it ran.
        period_us: Of its scans.
        instances: Names of its instances.
        bindings: For each of the app's inputs the point of each instance.
        parameters: By name, a value for each instance; left out: the declared one.
        scorers: Its models, loaded.
        files: Of the package: with the settings they say which recorded states are this app's.
        recorded: For each output the derived point of each instance; left out: `<app>.<instance>.<output>`.
    """

    app: CompiledApp
    gateway: str
    period_us: int
    instances: tuple[str, ...]
    bindings: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    scorers: Sequence[Scorer] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    recorded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def points(self) -> tuple[str, ...]:
        """The points that it reads, each once, in the order of its bindings."""
        return tuple(dict.fromkeys(name for names in self.bindings.values() for name in names))

    @property
    def key(self) -> bytes:
        """What states of this app, with these settings, bear."""
        return run_key(self.files, self.instances, self.bindings, self.parameters)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The app's outputs and its models', as they are recorded."""
        models = [name for scorer in self.scorers for name in scorer.outputs]
        return (*self.app.outputs, *models)

    def derived(self, output: str) -> tuple[str, ...]:
        """The points that an output is recorded as, one an instance."""
        usual = tuple(f"{self.app.id}.{instance}.{output}" for instance in self.instances)
        return self.recorded.get(output, usual)
