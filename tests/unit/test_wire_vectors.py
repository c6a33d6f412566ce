"""The byte strings printed in docs/wire.md are what the code makes and reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocols import records
from protocols.batch import Batch, Chain, Header, Stream, check_payload, check_signature, header_hash
from protocols.desired import Health, ItemReport, ItemState, Report, SlotReport
from protocols.identity import VerifyKey
from protocols.session import messages
from tests.chains import GATEWAY_KEY, HEADQUARTERS_KEY, ChainOfBatches

DOCUMENT = Path(__file__).parents[2] / "docs" / "wire.md"


def made() -> dict[str, bytes]:
    """Every vector by its name, made by the code."""
    chain = ChainOfBatches().grow([b"first", b"second"])
    first, second = chain.batches
    receipt = records.Receipt(chain.chain, 2, chain.head, records.Mark.HEADQUARTERS, 1_700_000_000_000_000)
    refusal = records.Refusal(
        chain.chain, 1, chain.head, records.RefusalReason.HASH, "the payload differs", "hub"
    )
    vectors = {
        "public key": GATEWAY_KEY.public,
        "header, seq 0, payload `first`": first.header,
        "its signature": first.signature,
        "header, seq 1, payload `second`": second.header,
        "its signature (2)": second.signature,
        "its hash": header_hash(second.header),
    }
    chain.bury(1)
    vectors["signatures of its tombstone"] = chain.batches[1].signature
    vectors["open, reason first"] = records.Opening(records.OpenReason.FIRST, None, None).pack()
    vectors["gap, quota, 1 to 2"] = records.pack_gaps([records.Gap(records.GapCause.QUOTA, 1, 2, (7,), 3)])
    alarm = records.EventRecord(
        1,
        records.EventType.ALARM,
        "gas",
        "hall",
        "high",
        "CH4 high",
        1,
        "raised",
        "unacknowledged",
        20.5,
        number=7,
    )
    vectors["event, an alarm raised"] = next(records.pack_events([alarm])).data
    items = (
        ItemReport("app/gas", "1.2.0", ItemState.FAILED, "it crashed", "1.1.0"),
        ItemReport("points", "3", ItemState.ACTIVE, running="3"),
    )
    health = Health(window_s=60, samples=6000, due=6000)
    vectors["report on version 7, an app failed"] = Report(
        1, "gw", 7, "ab" * 32, items, "0.1.0", SlotReport("a", "1.0.0"), health
    ).pack()
    vectors["receipt for next 2, key of 32 bytes `71`"] = records.sign_record(receipt, HEADQUARTERS_KEY)
    vectors["refusal of seq 1, same key"] = records.sign_record(refusal, HEADQUARTERS_KEY)
    command = records.Command(
        7, bytes(range(16)), "gw", 1_700_000_000_000_000, 1_700_003_600_000_000, "li@hq", "read",
        {"points": ("FT-101",)},
    )  # fmt: skip
    vectors["command 7 to `gw`, same key"] = records.sign_record(command, HEADQUARTERS_KEY)
    signed_time = records.SignedTime(bytes(range(16)), 1_700_000_000_000_000)
    vectors["time for a nonce, same key"] = records.sign_record(signed_time, HEADQUARTERS_KEY)
    vectors["hello of gateway `gw`"] = messages.hello("gw", "gateway")[1]
    vectors["offer, oldest 0, next 2"] = messages.offers([messages.Offer(chain.chain, 0, 2, chain.head)])[0][
        1
    ]
    return vectors


def printed() -> dict[str, bytes]:
    text = DOCUMENT.read_text(encoding="utf-8")
    pairs = re.findall(r"^\*(.+)\*:\n\n```\n([0-9a-f\n]+)```$", text, flags=re.MULTILINE)
    return {name: bytes.fromhex(digits.replace("\n", "")) for name, digits in pairs}


@pytest.mark.parametrize("name", sorted(made()))
def test_the_document_prints_what_the_code_makes(name: str) -> None:
    assert printed()[name] == made()[name]


def test_every_vector_in_the_document_is_made() -> None:
    assert set(printed()) == set(made())


def test_the_printed_batches_hold_against_the_printed_key() -> None:
    vectors = printed()
    key = VerifyKey(vectors["public key"])
    for number, payload in ((0, b"first"), (1, b"second")):
        header = vectors[f"header, seq {number}, payload `{payload.decode()}`"]
        signature = vectors["its signature" if number == 0 else "its signature (2)"]
        batch = Batch(header, payload, signature)
        check_signature(batch, key)
        check_payload(Header.parse(header), batch)
    check_signature(Batch(header, b"", vectors["signatures of its tombstone"]), key)
    assert Header.parse(header).chain == Chain("gw", Stream.DATA, 1)
