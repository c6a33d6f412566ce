"""Backups of headquarters: what is kept of the lake and beside it, and drills."""
