"""Backups: one format for headquarters and hubs; see docs/backup.md and the modules' rules."""
