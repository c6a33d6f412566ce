"""The acked link as two pure state machines: `Sender` and `Receiver`.

Neither owns a socket, a clock or a store. Both take frames and `now`, and give frames
and events; `protocols.link` puts them on ZeroMQ, and the simulation on a lossy one.

What they guarantee together, whatever is lost, repeated or reordered between them:

1. A receiver acknowledges a batch only after its owner said it is durable.
2. A chain is taken in order and without holes; a hole is taken only when the owner
   gives the missing sequences up, and is marked as such.
3. A batch below the mark is held against the header hash known there: equal is a
   duplicate and is acknowledged again; different is a fork and is never dropped silently.
4. No more than the granted credit is under way.
5. One bad batch stops nothing but itself; a signed refusal says why.
"""

from protocols.session.events import SenderEvent
from protocols.session.messages import Accepted, Frames, Marks, Offer, Outbox
from protocols.session.receiver import Receiver
from protocols.session.sender import Sender

__all__ = ["Accepted", "Frames", "Marks", "Offer", "Outbox", "Receiver", "Sender", "SenderEvent"]
