"""Bounds of governed queries, each with its unit and its reason. What an operator sets is in `settings`."""

from __future__ import annotations

SQL_CHARS_MAX = 65_536
"""Characters of a query: 1,000 lines."""

TOKENS_MAX = 10_000
"""Words and signs of a query: sqlglot reads so many in a second or two."""

NODES_MAX = 20_000
"""Nodes of a query's tree: about as many words."""

DEPTH_MAX = 180
"""Levels of a query's tree: each costs sqlglot up to five calls of Python's thousand."""

NAME_CHARS_MAX = 80
"""Characters of the name that a column gets from its expression: what a heading can show."""

RUNS_MAX = 8
"""Runs of series that are written into a query: by comparing with so many a row costs half of a look-up."""

PAGE_ROWS = 1000
"""Rows of a page of a result: what a table in a browser shows at once without trouble."""

STOP_GRACE_S = 3.0
"""How long a query that was interrupted may take to stop before its process is ended."""

FRAME_BYTES_MAX = 16 << 20
"""A message between the service and a worker: a query with its parameters, or an answer about it."""

PLANNERS_MAX = 3
"""Time zones whose planner a worker keeps: each takes 70 MB of addresses, and one has many spellings."""

PLAN_CHARS_MAX = 100_000
"""Characters of a plan that is shown."""

assert SQL_CHARS_MAX * 4 < FRAME_BYTES_MAX
