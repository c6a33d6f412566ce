"""Checking everything again, from what the ledger and the archive keep.

1. *Chains*: every header and signature, every link of every hash chain, every hole.
2. *Payloads*: while the archive has them, their hashes, and what they decode to against
   the rows of the lake; for all batches, archived or not, the number of their rows.
3. *Tiers*: what gateways and hubs state in their own signed ledgers against ours.

A fault is something that cannot be so. What a sender states and we do not have *yet* is
no fault; it is counted as waiting.
"""

from headquarters.verify.report import Fault, Report
from headquarters.verify.run import Verification

__all__ = ["Fault", "Report", "Verification"]
