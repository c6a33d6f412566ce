"""`catchment-edge`: the gateway's commands, each group of them in a module, `root` what is not in a group."""

from edge_runtime.cli.root import CONTEXT, EPILOG, cli, invoke, invoked, main

__all__ = ["CONTEXT", "EPILOG", "cli", "invoke", "invoked", "main"]
