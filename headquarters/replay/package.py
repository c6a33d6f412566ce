"""From a package and the settings of a gateway's app to what is replayed.

The settings are the `apps/<id>.toml` of the gateway. Which package they name does not matter:
another version is tried on the same points. Whether the gateway's points fit is not asked,
and the scan class is not looked up; what the lake knows of points and scans counts.
"""

from __future__ import annotations

from pathlib import Path

from edge_runtime.rules.apps.build import build
from edge_runtime.rules.apps.settings import SettingsReader
from edge_runtime.rules.models.model import Model, ReplayedModel
from headquarters.replay.job import Job
from protocols.errors import InputError
from protocols.package import open_package
from protocols.tomlfile import TomlFile

SETTINGS_MISSING = "the settings of the app at the gateway: apps/<id>.toml in its home"


def job_of(package: Path, settings: Path, gateway: str) -> Job:
    """What is replayed.

    Args:
        package: A folder or an archive.
        settings: The app's instances, bindings and parameters, as on the gateway.
        gateway: Whose points it reads.

    Raises:
        InputError: With every problem of the package, or of the settings.
        PeerError: The archive is damaged.
    """
    built = build(open_package(package))
    file = TomlFile(settings, SETTINGS_MISSING)
    instances = SettingsReader(built, file).instances()
    if file.problems:
        raise InputError(file.problems)
    manifest = built.package.manifest
    return Job(
        built.app,
        gateway,
        1000 * manifest.period_ms,
        tuple(instance.name for instance in instances),
        {name: tuple(instance.inputs[name] for instance in instances) for name in built.app.inputs},
        {
            name: tuple(instance.parameters[at] for instance in instances)
            for at, name in enumerate(built.app.parameters)
        },
        tuple(
            ReplayedModel(Model.load(spec, built.package.files[spec.file]), len(instances))
            for spec in manifest.models
        ),
        built.package.files,
        {
            name: tuple(instance.outputs[at] for instance in instances)
            for at, name in enumerate(built.outputs)
        },
    )
