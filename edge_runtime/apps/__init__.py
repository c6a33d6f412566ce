"""Rule apps of a gateway: `apps/<id>.toml` and the package beside it (docs/apps.md).

`loading` reads what is installed, `install` changes it, `service` runs it. Nothing is
imported here: a gateway without apps does not load their compiler.
"""
