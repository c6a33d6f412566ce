"""Backups of headquarters: what is kept of the lake and beside it, object stores, and drills."""
