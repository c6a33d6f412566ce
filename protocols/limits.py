"""Every bound of the wire and the link, with its unit and its reason.

A decoder compares a claim with its bound before it allocates anything. The
relations between bounds are asserted at the end, so that a change of one that
breaks another is seen at import.
"""

from __future__ import annotations

# -- names and numbers -------------------------------------------------------------

NAME_CHARS_MAX = 63
"""Gateway, hub and site names: a DNS label's length (RFC 1035, 2.3.4)."""

POINT_ID_MAX = 2**32 - 1
"""A local point id is an unsigned 32-bit number; ids are never used again."""

INT63_MAX = 2**63 - 1
"""Sequences, epochs and times fit signed 64-bit columns everywhere downstream."""

# -- one batch -----------------------------------------------------------------------

BATCH_SAMPLES_MAX = 1 << 20
"""Samples in one batch. The gateway cuts at 60,000; a million leaves room for bulk import."""

BATCH_POINTS_MAX = 1 << 18
"""Distinct points in one batch: more than the largest gateway (100,000 points) has."""

PAYLOAD_BYTES_MAX = 16 << 20
"""A payload as it travels. A million incompressible doubles and stamps are 16 MB."""

PAYLOAD_RAW_BYTES_MAX = 64 << 20
"""A payload once decompressed. Bounds what a zstd bomb can make us allocate."""

TEXT_BYTES_MAX = 64 << 10
"""One text value, UTF-8. Longer ones are cut by the driver and marked uncertain."""

HEADER_BYTES_MAX = 512
"""A packed header: 19 fields, the longest a name and three hashes; about 260 in practice."""

RECORD_BYTES_MAX = 8 << 20
"""A msgpack record (point table, gap list, statement): 100,000 points at 80 bytes."""

RECORD_ITEMS_MAX = 1 << 18
"""Entries of one list inside a record: as many as points in a batch."""

EVENTS_PER_BATCH_MAX = 4096
"""Events in one batch: a flood of a large unit in a second."""

EVENTS_BYTES_MAX = 1 << 20
"""Packed events in one batch, but for a single one that is larger; about 250 bytes each in practice."""

EVENT_NAME_CHARS_MAX = 128
"""Of an event: app, instance, path in the program, transition, state, operator; as a point's name."""

EVENT_TEXT_CHARS_MAX = 512
"""Of an event: its text and an operator's comment; as a point's description."""

EVENT_DETAIL_ITEMS_MAX = 16
"""What an app may tell beside: as many as a screen shows."""

APP_STATE_BYTES_MAX = 256 << 10
"""An app's state as it is recorded for replays, compressed: 46 events of 7 kB every ten minutes."""

APP_STATE_RAW_BYTES_MAX = 64 << 20
"""The same before it is compressed: as much as a package may ask for one instance."""

EVENT_PRIORITY_MAX = 4
"""Alarm priorities: ISA-18.2 and EEMUA 191 ask for three or four."""

# -- calls ---------------------------------------------------------------------------------

CALL_BYTES_MAX = 64 << 10
"""What is asked: a certificate request or a path, with room for a list of things already held."""

ANSWER_BYTES_MAX = 1 << 20
"""What is answered: a piece of a file, or a directory of a thousand nodes, compressed."""

CALLS_WAITING_MAX = 4096
"""Callers that wait for an answer at one server: more than the gateways of a region."""

# -- commands --------------------------------------------------------------------------------

COMMAND_BYTES_MAX = 16 << 10
"""One command: a hundred alarms or points by name; some dozens fit one answer."""

COMMAND_ARGUMENTS_MAX = 16
"""Arguments of one command."""

COMMAND_LIFE_MAX_S = 7 * 86_400
"""Until when a command may be begun: a gateway that is off over a holiday still gets it; what is
older says nothing about the plant any more."""

COMMANDS_PER_ANSWER_MAX = 32
"""Commands in one answer to a gateway or hub."""

COMMANDS_TOLD_MAX = 256
"""Commands of which one call tells how far they are."""

COMMANDS_SERVED_MAX = 500
"""Gateways that a hub names in one call: 500 names of 63 characters fit it."""

BLOB_BYTES_MAX = 16 << 20
"""What one command may fetch, compressed: logs of some days."""

BLOB_PIECE_BYTES = 48 << 10
"""Of it in one call."""

# -- updates ---------------------------------------------------------------------------------

TARGET_PATH_CHARS_MAX = 200
"""A target's path: folder, publisher and file name, with room; short enough for any file system."""

TARGET_BYTES_MAX = 2 << 30
"""One target: a firmware image with its wheels has some hundred megabytes."""

PIECE_BYTES_MAX = 128 << 10
"""Bytes of a file in one answer: at 32 kB/s four seconds, well within a call's time. A hub's memory
holds one for each gateway that fetches: 64 MB for 500."""

ROOT_BYTES_MAX = 64 << 10
"""Root metadata: nine keys and signatures are 6 kB."""

TIMESTAMP_BYTES_MAX = 16 << 10
"""Timestamp metadata: one entry and a few signatures are under 1 kB."""

SNAPSHOT_BYTES_MAX = 1 << 20
"""Snapshot metadata: 30 bytes a role; thousands of publishers and bins fit."""

TARGETS_BYTES_MAX = 4 << 20
"""Metadata of one role: 200 bytes a target, 20,000 of them."""

ROOT_ROTATIONS_MAX = 256
"""Root versions that a client walks at once: years of rotations."""

# -- what an operator writes --------------------------------------------------------------

CONFIG_BYTES_MAX = 1 << 20
"""A TOML configuration: hundreds of devices at 1 kB each, and comments."""

TABLE_BYTES_MAX = 64 << 20
"""A point table as a file: 100,000 points at 300 bytes, twice over."""

TABLE_POINTS_MAX = 100_000
"""Points of one gateway: what the collecting path is measured with."""

STORES_PER_REPORT_MAX = 16
"""Stores that a hub reports on; it has three."""

POINT_NAME_CHARS_MAX = 128
"""A point's name; KKS and ISA tags have 20, OPC UA paths used as names up to 100."""

POINT_TEXT_CHARS_MAX = 512
"""An address or a description of a point: OPC UA node ids with long string identifiers."""

UNIT_CHARS_MAX = 32
"""A UCUM code: the longest in common use have about 20 characters."""

# -- the link --------------------------------------------------------------------------

CREDIT_BATCHES_MAX = 4096
"""Unacknowledged batches a session may have; the receiver may grant fewer."""

CREDIT_BYTES_MAX = 64 << 20
"""Unacknowledged payload bytes a session may have: bounds a receiver's memory."""

OFFERS_PER_FRAME_MAX = 512
"""Chains in one offer frame; a hub with more sends several frames."""

CHAINS_PER_SESSION_MAX = 65_536
"""Chains one peer may keep open at a receiver: 3 streams of 20,000 gateways."""

POSITIONS_MAX = 2 * CHAINS_PER_SESSION_MAX
"""Chains of which a receiver remembers where they stand; beyond it those that nobody has open go first."""

FRAMES_MAX = 4
"""Parts of one link message: the kind and at most header, payload, signature."""

CONTROL_BYTES_MAX = 1 << 20
"""A control frame: 512 offers of about 150 bytes, with ample room."""

BACKLOG = 4096
"""Listen backlog; with the usual 100 a reconnect of 3,000 gateways took three times as long."""

RECEIVE_HWM = 1000
"""ZeroMQ's receive queue in messages. Loss never happens here: credit is the bound."""

# -- one-way files ---------------------------------------------------------------------

CONTAINER_BATCHES_MAX = 4096
"""Batches in one file for a one-way isolator."""

CONTAINER_MESSAGES_MAX = CONTAINER_BATCHES_MAX + CHAINS_PER_SESSION_MAX // OFFERS_PER_FRAME_MAX
"""Batches and offers in one such file."""

CONTAINER_BYTES_MAX = 64 << 20
"""One such file: isolators commonly move files up to 100 MB."""

# -- app packages -----------------------------------------------------------------------

PACKAGE_BYTES_MAX = 32 << 20
"""One app package: models of a gateway have at most some megabytes, programs some kilobytes."""

PACKAGE_FILES_MAX = 1000
"""Files in one: a hundred programs with nine recorded tests each."""

PACKAGE_PATH_CHARS_MAX = 160
"""A file's name with its folders: short enough to be unpacked anywhere."""

APP_NAMES_MAX = 1000
"""Inputs, outputs or parameters of one app; a model of a whole unit reads some hundreds of points."""

APP_STEPS_MAX = 100
"""Programs, or models, of one app."""

APP_INSTANCES_MAX = 10_000
"""Instances of one app on one gateway: one rule for every motor of the largest plants."""

APP_TEXT_CHARS_MAX = 1000
"""A title or a summary, in one language."""

# -- desired state ------------------------------------------------------------------------

DESIRED_BYTES_MAX = 4 << 20
"""One gateway's document: a thousand instances of apps at 1 kB each, four times over."""

DESIRED_ITEMS_MAX = 256
"""Items of one document: configuration, points, firmware, and more apps and models than a gateway runs."""

DESIRED_NEEDS_MAX = 32
"""Items that one item names as needed first."""

DESIRED_PATH_CHARS_MAX = 200
"""A target's path: folder, publisher, and a name of an app with its version."""
# -- provisioning console -----------------------------------------------------------------

CONSOLE_SEGMENT_BYTES_MAX = 1024
"""Payload of a frame on a serial cable: 90 ms at 115,200 baud, so that a damaged one costs little."""

CONSOLE_SEGMENT_BYTES_MIN = 24
"""Least payload: with its 20 bytes of frame half of them arrive whole when 1% of bytes do not."""

CONSOLE_MESSAGE_BYTES_MAX = 1 << 20
"""A message on a serial cable: the status of a gateway with a hundred devices has some 50 kB."""

CONSOLE_CHUNK_BYTES = 4096
"""A file's piece in one call: 0.36 s at 115,200 baud, so that progress is seen."""

CONSOLE_CHUNK_BYTES_MAX = 64 << 10
"""What a gateway takes and gives in one call."""

# -- backups ------------------------------------------------------------------------------

BACKUP_CHUNK_BYTES = 256 << 10
"""What is sealed at a time inside an object: how closely damage is located."""

BACKUP_PIECE_BYTES = 16 << 20
"""A file is stored in pieces of this size: 64 objects a gigabyte, and one in memory for each thread."""

BACKUP_DATABASE_PIECE_BYTES = 1 << 20
"""Pieces of a database, which changes in few places: what one changed page costs at most."""

BACKUP_SMALL_BYTES = 64 << 10
"""Smaller files are stored together: a table's log alone is a hundred of them."""

BACKUP_PACK_BYTES = 4 << 20
"""Small files in one object."""

BACKUP_OBJECT_BYTES_MAX = 2 << 30
"""What an object may become when it is opened: a list of ten million files."""

BACKUP_THREADS = 4
"""Objects sealed and sent at once: sealing goes at a gigabyte a second and core, sending waits."""

assert BACKUP_SMALL_BYTES < BACKUP_PACK_BYTES <= BACKUP_PIECE_BYTES < BACKUP_OBJECT_BYTES_MAX
assert PAYLOAD_BYTES_MAX <= PAYLOAD_RAW_BYTES_MAX
assert PIECE_BYTES_MAX + 1024 <= ANSWER_BYTES_MAX
assert PAYLOAD_BYTES_MAX <= CREDIT_BYTES_MAX, "one batch must always fit the window"
assert BATCH_POINTS_MAX <= BATCH_SAMPLES_MAX
assert TABLE_POINTS_MAX <= min(BATCH_POINTS_MAX, RECORD_ITEMS_MAX)
assert RECORD_BYTES_MAX <= PAYLOAD_BYTES_MAX
assert (
    EVENTS_BYTES_MAX + 4 * (EVENT_DETAIL_ITEMS_MAX + 2) * (EVENT_NAME_CHARS_MAX + EVENT_TEXT_CHARS_MAX) * 2
    <= RECORD_BYTES_MAX
), "one event more than fits must still be a record"
assert EVENTS_PER_BATCH_MAX <= RECORD_ITEMS_MAX
assert PAYLOAD_BYTES_MAX + HEADER_BYTES_MAX < CONTAINER_BYTES_MAX
assert COMMANDS_PER_ANSWER_MAX * (COMMAND_BYTES_MAX + 128) <= ANSWER_BYTES_MAX
assert COMMANDS_SERVED_MAX * (NAME_CHARS_MAX + 2) + COMMANDS_TOLD_MAX * 48 < CALL_BYTES_MAX
assert BLOB_PIECE_BYTES + 1024 < CALL_BYTES_MAX
assert CONSOLE_CHUNK_BYTES <= CONSOLE_CHUNK_BYTES_MAX < CONSOLE_MESSAGE_BYTES_MAX
