"""Bounds of headquarters, each with its unit and its reason. What an operator sets is in `config`."""

from __future__ import annotations

from protocols import limits

DAYS_PER_BATCH_MAX = 400
"""Different dates in one batch: a year of daily values in one import. Each is a partition to open."""

BRANCH_DAYS_MAX = 90
"""How far back epochs are looked at for branches: as old as an image of a gateway may be that is
restored, since an epoch that was opened before the image was made is known to both its lives."""

AHEAD_MAX_US = 30 * 3_600_000_000
"""A gateway's clock is believed to be ahead of ours by 30 hours at most, which is any local time
taken for UTC and a day: one that says the year 2099 must not have every later batch compared."""

LATENCY_ROWS_MAX = 65_536
"""Rows of a commit whose latency is counted: of a larger one, which is a backlog, each so-manieth."""

WINDOW_ROWS_MAX = 4_000_000
WINDOW_BATCHES_MAX = 4096
"""Sample rows and batches that a verification compares at a time: about 500 MB."""

HASHES_MAX = 100_000
"""Header hashes remembered: the credit window of 200 gateways, 10 MB."""

SEGMENT_BYTES_MAX = 64 << 20
"""A segment is closed beyond this: small enough to copy, large enough to be few."""

ROWS_PER_GROUP = 65_536
"""Rows of a row group: what a query for one series must read at least, about 2 ms."""

ROLLED_ROWS_PER_GROUP = 8192
"""Of roll-ups: six series' minutes of a date. A trend of a month decodes 30 of them in 20 ms; of 65,536 rows
each it would take 70."""

TEXT_CHARS_MAX = 500_000_000
"""Characters of text in one portion: up to four bytes each, of the 2 GB that an Arrow column addresses."""

MERGE_ROWS_MAX = 4_000_000
"""Rows that an open date's merge may make: 250 MB in memory, a second of work."""

LARGE_ROWS = MERGE_ROWS_MAX // 3
LARGE_FILES_MAX = 32
"""So many files of a tier that are large already are left as they are: to merge two or three of
them rewrites millions of rows, in the middle of a backlog's draining, and spares a query one file."""

CHUNK_ROWS = 2_000_000
"""Rows sorted at once when a closed date is rewritten: bounds memory to about 300 MB."""

FILE_ROWS_MAX = 32_000_000
"""Rows of one sorted file: about 100 MB."""

HEADS_FILES_MAX = 128
"""Newest files of the ledger in which heads are looked for at a start: about two open dates."""

REQUEST_BYTES_MAX = 1 << 20
"""A request names at most some ten thousand points."""

assert limits.PAYLOAD_BYTES_MAX < SEGMENT_BYTES_MAX
assert ROLLED_ROWS_PER_GROUP <= ROWS_PER_GROUP <= CHUNK_ROWS <= MERGE_ROWS_MAX <= FILE_ROWS_MAX
