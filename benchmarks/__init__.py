"""Measurements of the product, each against a peer or a limit in the same run.

Every benchmark is a table of `Measurement`s handed to `frame.run`: it prints a readable
table, or with `--json` one JSON array of rows as its last line.
"""
