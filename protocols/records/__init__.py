"""Records that are not samples: openings, events, gaps, point definitions, statements, receipts.

Each is a msgpack map in a batch payload (compressed or not, by the header's flag), or
signed by itself where it travels outside a chain (receipts, refusals, commands). Reading one
raises only the peer's errors and allocates no more than `limits` allow.
"""

from protocols.records.appmarks import (
    AppSight,
    AppState,
    StateKind,
    read_marks,
    sight_records,
    state_records,
)
from protocols.records.chains import Correction, Opening, OpenReason
from protocols.records.commands import COMMAND_DOMAIN, NONCE_BYTES, TIME_DOMAIN, Command, SignedTime, peek
from protocols.records.definitions import PointDefinition, pack_definitions, parse_definitions
from protocols.records.events import (
    EventPayload,
    EventRecord,
    EventType,
    clean_event,
    pack_events,
    parse_events,
)
from protocols.records.fields import inflate, parse_chain, unpack
from protocols.records.gaps import Gap, GapCause, pack_gaps, parse_gaps
from protocols.records.signed import (
    RECEIPT_DOMAIN,
    REFUSAL_DOMAIN,
    Mark,
    Receipt,
    Refusal,
    RefusalReason,
    open_record,
    sign_record,
)
from protocols.records.statements import HubReport, HubStatement, Statement, StoreUse, parse_statement

__all__ = [
    "COMMAND_DOMAIN",
    "NONCE_BYTES",
    "RECEIPT_DOMAIN",
    "REFUSAL_DOMAIN",
    "TIME_DOMAIN",
    "AppSight",
    "AppState",
    "Command",
    "Correction",
    "EventPayload",
    "EventRecord",
    "EventType",
    "Gap",
    "GapCause",
    "HubReport",
    "HubStatement",
    "Mark",
    "OpenReason",
    "Opening",
    "PointDefinition",
    "Receipt",
    "Refusal",
    "RefusalReason",
    "SignedTime",
    "StateKind",
    "Statement",
    "StoreUse",
    "clean_event",
    "inflate",
    "open_record",
    "pack_definitions",
    "pack_events",
    "pack_gaps",
    "parse_chain",
    "parse_definitions",
    "parse_events",
    "parse_gaps",
    "parse_statement",
    "peek",
    "read_marks",
    "sight_records",
    "sign_record",
    "state_records",
    "unpack",
]
