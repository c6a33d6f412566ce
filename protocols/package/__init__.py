"""App packages: what an app is, as all tiers read it (docs/apps.md).

`manifest` holds what an app says of itself, `package` reads folders and archives, `archive`
is the one file that travels.
"""

from protocols.package.manifest import (
    SUFFIX,
    AppClass,
    Manifest,
    Parameter,
    ParameterValue,
    Permissions,
    ProgramSpec,
    Resources,
    Texts,
    local,
)  # fmt: skip
from protocols.package.modelspec import Mode, ModelInput, ModelOutput, ModelSpec
from protocols.package.package import Package, of_files, open_package

__all__ = [
    "SUFFIX",
    "AppClass",
    "Manifest",
    "Mode",
    "ModelInput",
    "ModelOutput",
    "ModelSpec",
    "Package",
    "Parameter",
    "ParameterValue",
    "Permissions",
    "ProgramSpec",
    "Resources",
    "Texts",
    "local",
    "of_files",
    "open_package",
]
