"""Bounds of the hub, each with its unit and its reason."""

from __future__ import annotations

from protocols import limits

GROUP_BATCHES_MAX = 256
"""Batches in one transaction: enough that the disk's flush costs little a batch."""

GROUP_BYTES_MAX = 32 << 20
"""The same in bytes: bounds what one transaction holds in memory."""

HASHES_PER_CHAIN_MAX = 1024
"""Header hashes kept of a chain below its oldest batch. A sender that fell behind by more is
still recognised: the batch that follows our mark must carry the hash of our last header."""

FINISHED_CHAINS_MAX = 64
"""Wholly trimmed epochs remembered of each stream of a gateway. A forgotten one that is
offered again is taken again, and headquarters drops the duplicates."""

QUARANTINE_BATCHES_MAX = 4096
"""Damaged batches set aside for people to look at; the oldest go first."""

REFUSALS_MAX = 10_000
"""Refusals remembered; the oldest go first."""

TRIM_BATCHES_MAX = 512
"""Batches trimmed in one transaction: a few milliseconds, so that ingest never waits long."""

RECENT_BYTES_MAX = 64 << 20
"""Batches just stored that are kept in memory, so that relaying need not read them again."""

NEWS_MAX = 65_536
"""Events from upstreams that wait for the thread that stores. Where there are more, relays wait;
where the store fails, the oldest go: headquarters repeats what is lost."""

ROWS_PER_STATEMENT_MAX = 20_000
"""Chains in one statement; a hub with more makes several. About 1.5 MB."""

LANDING_FILES_PER_LOOK = 4
"""Files of a one-way isolator taken in at a time: links are not kept waiting for longer."""

LANDING_MISSING_MAX = 10_000
"""Missing file numbers remembered of each sender."""

assert GROUP_BATCHES_MAX <= limits.CREDIT_BATCHES_MAX
assert GROUP_BYTES_MAX <= limits.CREDIT_BYTES_MAX
assert limits.PAYLOAD_BYTES_MAX <= GROUP_BYTES_MAX

COMMANDS_MAX = 20_000
"""Commands that wait here for their gateways: some for each gateway of a region, 320 MB at the most."""

GATEWAY_NOTED_S = 3600
"""How exactly it is known when a gateway last asked for commands."""

GATEWAY_KEPT_S = 30 * 86_400
"""A gateway that has not asked for a month is somebody else's."""
