"""Runs rule apps over the lake with the code that gateways run, and compares (`docs/replay.md`).

`recorded` reads points and events, `align` puts samples onto scan instants, `run` runs the
app portion by portion, `compare` finds what differs, `report` tells it.
"""
