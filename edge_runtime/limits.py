"""Bounds of the gateway, each with its unit and its reason. What an operator sets is in `settings`."""

from __future__ import annotations

from protocols import limits

DELIVERIES_MAX = 50_000
"""Deliveries that wait while nothing can be written, whatever is in them: about 15 MB. Where nothing
changes they hold no samples, and the bound of samples would never be reached."""

EVENTS_WAITING_MAX = 20_000
"""Events that wait to be written: five batches, about 10 MB. A flood of a large unit has some hundreds."""

ALARMS_MAX = 100_000
"""Alarms of one gateway whose states are kept: as many as points."""

ALARM_JOURNAL_ROWS_MAX = 100_000
"""Rows of the gateway's own journal, about 30 MB; the lake keeps all of them."""

ALARM_RECORDS_WAITING_MAX = 20_000
"""Journal rows in memory while the disk takes none; beyond it the oldest go."""

SHELVE_MAX_S = 7 * 86_400
"""Longest shelving. ISA-18.2 wants it limited; a week covers a part that must be ordered."""

APP_INSTANTS_WAITING_MAX = 600
"""Instants of one task that wait for an app's scan: ten minutes at one a second; an engine that is
so far behind has given up scans before."""

APP_SCANS_BEHIND_MAX = 60
"""Scans of one app that are caught up with; of more, the oldest are given up and declared."""

CONTROL_CLIENTS_WAITING_MAX = 64
"""Clients of the control door that wait for their turn; one more is refused at once."""

CONTROL_REQUEST_BYTES_MAX = 64 << 10
"""One command at the control door: some hundreds of alarms by name."""

CONTROL_ANSWER_BYTES_MAX = 16 << 20
"""One answer: the outcome for 100,000 alarms."""

COMMANDS_KEPT = 10_000
"""Commands that a gateway remembers, about 4 MB: what is older than all of them is refused."""

COMMANDS_WAITING_MAX = 64
"""Commands that wait for their turn at a gateway; one more is refused."""

COMMAND_POINTS_MAX = 100
"""Points of one command that reads."""

COMMAND_REFUSALS_PER_MIN = 10
"""Refusals of what nobody signed that are told as events; more are counted in the next one."""

STEPS_KEPT = 16
"""Steps of the clock that later turns may still have to explain."""

GAPS_PER_RECORD_MAX = 1000
"""Gap entries in one batch: well below what a record may hold and easy to look at."""

THINNED_MAX = 3
"""A sample in eight is kept at the least; after that whole batches go."""

REFUSALS_MAX = 3
"""A batch that is whole here and refused so often is cast out of its chain."""

SALVAGE_BYTES_MAX = 64 << 20
"""Of one chain, read into memory before it is written; the newest come first."""

PROBLEMS_SHOWN_MAX = 100
"""Problems printed for people; `--json` gives all."""

assert GAPS_PER_RECORD_MAX <= limits.RECORD_ITEMS_MAX

CONSOLE_UPLOAD_BYTES_MAX = 512 << 20
"""A file over the serial console: a firmware image with all its wheels has some 100 MB."""

CONSOLE_UPLOADS_MAX = 4
"""Files on their way, or come and not used: a configuration has two, an image is one."""

CONSOLE_SPARE_BYTES = 16 << 20
"""Left on the disk by an upload: the gateway goes on collecting beside it."""
