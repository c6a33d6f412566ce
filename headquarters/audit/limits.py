"""Bounds of the audit."""

from __future__ import annotations

RETENTION_DAYS_MIN = 180
"""Six months, as the Cybersecurity Law of the PRC (article 21) asks for network logs; the database's own
triggers refuse to remove anything younger."""

DETAIL_CHARS_MAX = 8000
"""What is told of one change: a page. A longer detail is cut, and says so."""

TEXT_CHARS_MAX = 400
"""Names and targets: longer ones come from who tries something, and are cut."""

PAGE = 2000
"""Entries read at a time when the chain is walked: about 1 MB."""
