"""`catchment-flash`: its commands, each group of them in a module, and `root` that finds them."""

from edge_runtime.flash.cli.root import cli, invoke, main

__all__ = ["cli", "invoke", "main"]
