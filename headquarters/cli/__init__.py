"""`catchment-hq`: its commands, each group of them in a module, `root` what is not in a group."""

from headquarters.cli.root import main

__all__ = ["main"]
