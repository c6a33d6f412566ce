"""What crosses a boundary between field device, gateway, hub and headquarters.

This room imports none of the others: a tier can be replaced by another program
that follows `docs/wire.md`.
"""
