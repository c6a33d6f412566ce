"""The audit: what people did and what was denied to them, hash-chained and append-only."""

from headquarters.audit.trail import record

__all__ = ["record"]
