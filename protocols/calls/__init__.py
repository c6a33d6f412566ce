"""Questions and answers between tiers, beside the custody link: what comes down, and enrolment.

Rules:
1. A call is one message of three parts (number, verb, argument), an answer is one message of
   three parts (number, status, result); all in bounded msgpack over CURVE.
2. A server answers each call once, at once or later (a long poll); an answer that nobody
   waits for any more is dropped. Whatever comes in, the server goes on.
3. A client has one call under way. When no answer comes in time it makes a new socket, so
   that an old answer never passes for a new one. Calls may be repeated: handlers take that.
4. Who may call is decided by the door before a byte is read; what a caller may have is decided
   by each handler, from the key that the connection proved.
"""

from protocols.calls.client import CallClient, CallTimeoutError
from protocols.calls.former import REPLACED, Former, read_former
from protocols.calls.messages import NOT_YOURS, CallRefusedError
from protocols.calls.server import Caller, CallServer, Handler, Later
from protocols.calls.threads import CallThreads
from protocols.calls.upward import Calls, OwnCalls, ServiceAddress, Upward

__all__ = [
    "NOT_YOURS",
    "REPLACED",
    "CallClient",
    "CallRefusedError",
    "CallServer",
    "CallThreads",
    "CallTimeoutError",
    "Caller",
    "Calls",
    "Former",
    "Handler",
    "Later",
    "OwnCalls",
    "ServiceAddress",
    "Upward",
    "read_former",
]
