"""What a gateway should run, and what it says of itself: desired and reported state.

Headquarters writes one `Document` for each gateway and lets the update repository sign it; the
gateway applies the difference and answers with a `Report` in its own signed meta chain.
"""

from protocols.desired.document import (
    SINGLE,
    AppSettings,
    Document,
    Drift,
    Grant,
    InstanceSettings,
    Item,
    ItemKind,
    ModelUse,
    WriteRange,
    parse_document,
    target_of,
)
from protocols.desired.report import (
    Health,
    ItemReport,
    ItemState,
    Report,
    SlotReport,
)

__all__ = [
    "SINGLE",
    "AppSettings",
    "Document",
    "Drift",
    "Grant",
    "Health",
    "InstanceSettings",
    "Item",
    "ItemKind",
    "ItemReport",
    "ItemState",
    "ModelUse",
    "Report",
    "SlotReport",
    "WriteRange",
    "parse_document",
    "target_of",
]
