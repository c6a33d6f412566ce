"""Rule apps of a gateway: `apps/<id>.toml` and the package beside it (docs/apps.md).

`loading` reads what is installed, `install` changes it.
"""

from edge_runtime.apps.installed import Grant, InstalledApp, Instance
from edge_runtime.apps.loading import load_apps

__all__ = ["Grant", "InstalledApp", "Instance", "load_apps"]
