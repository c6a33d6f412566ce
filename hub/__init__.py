"""The hub: takes signed batches from gateways, stores them, and relays them upward.

It verifies and never decodes. `main` wires; `store` is what it remembers, `ingest` and
`relay` are its two loops, `landing` takes the files of one-way isolators.
"""
