"""Who belongs to the group, as a hub knows it: the directory, who is barred, and who asks to be let in.

Rules:
1. The directory comes from headquarters and is signed; the list by hand stands beside it. Without
   headquarters the newest one that is held goes on being used, and gateways are let in by it.
2. A node of which two live processes were seen is barred here at once, by its link key, and headquarters
   is told. Keys that took the place of barred ones are not barred.
3. Requests to be let in are passed on; the hub can read them and can change nothing in them.
4. When the hub has new keys, or headquarters has, the hub begins anew on them; who knows the hub by its
   former key is told the new ones behind that (`protocols.calls.former`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hub.config import HubConfig, UpstreamConfig
from hub.forward import Forwarder
from protocols.addresses import reachable
from protocols.calls import (
    NOT_YOURS,
    Caller,
    CallRefusedError,
    CallTimeoutError,
    Former,
    Handler,
    OwnCalls,
    read_former,
)
from protocols.daemon import EventLog
from protocols.directory import OFFLINE_WINDOW_DAYS, NodeState, Part, Roster, pieces
from protocols.enrolment import State, parse_signed, pending
from protocols.errors import CatchmentError, InputError, MalformedError, PeerError, StoreError
from protocols.held import HeldDirectory
from protocols.identity import AllowList, PublicIdentity
from protocols.records.fields import Fields
from protocols.renewal import Renewal, Step
from protocols.stations import StationKeys

OUT_OF_REACH = "headquarters is out of reach; the request is kept by whoever asks"

SOCKETS = ("data", "service", "enrolment")

AGAIN_S = 5.0
"""Headquarters that did not answer is asked again after so long: a hub that was just let in, whose key it
does not know for a second, serves its gateways so much sooner."""

REPORTS_MAX = 64
"""Suspicions that wait to be told to headquarters; the newest are kept."""


class Membership:
    """The part of a hub that knows nodes. One thread refreshes; handlers run in those of their sockets.

    Args:
        node: The hub's own name.
        held: The directory that is held.
        renewal: Renews the hub's own certificate.
        host: How gateways reach this machine.
        refresh_s: How often the directory is refreshed.
        refreshing: Calls of the refreshing thread; `None` where no upstream answers calls.
        forwarder: Passes requests on; `None` likewise.
        log: For news and refusals.
        is_current: Whether headquarters still has the keys that are in use.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        node: str,
        held: HeldDirectory,
        renewal: Renewal,
        host: str,
        refresh_s: float,
        refreshing: OwnCalls | None,
        forwarder: Forwarder | None,
        log: EventLog,
        is_current: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._held = held
        self._renewal = renewal
        self._host = host
        self._refresh_s = refresh_s
        self._refreshing = refreshing
        self._forwarder = forwarder
        self._log = log
        self._is_current = is_current
        self._clock = clock
        self._barred: set[bytes] = set()
        self._reports: list[dict[str, str]] = []
        self._addresses = dict.fromkeys(SOCKETS, "")
        self._ended = threading.Event()
        self._soon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="membership", daemon=True)
        self._in_reach = True
        if forwarder is not None:
            forwarder.passed = self._passed
        self.version = 0
        """Grows when `roster` would answer differently."""
        self.anew = ""
        """Why the hub must begin anew, on what is in its home then; empty while it need not."""

    def listening(self, bound: Mapping[str, str]) -> None:
        """Note where our sockets are, by `data`, `service` and `enrolment`."""
        self._addresses = {
            name: reachable(bound[name], self._host) if name in bound else "" for name in SOCKETS
        }

    def start(self) -> None:
        """Begin to refresh and to pass on."""
        if self._refreshing is not None:
            self._thread.start()
        if self._forwarder is not None:
            self._forwarder.start()

    def close(self) -> None:
        """End the threads."""
        self._ended.set()
        self._soon.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._forwarder is not None:
            self._forwarder.close()

    def _passed(self, answer: object) -> None:
        """Headquarters answered a request that we passed on: a grant means that it knows other keys now."""
        if isinstance(answer, dict) and answer.get("state") == State.GRANTED:
            self._soon.set()

    # -- who may connect ---------------------------------------------------------------------------

    def roster(self, by_hand: Iterable[PublicIdentity]) -> Roster:
        """The allow-list in force."""
        roster = Roster(self._held.parts.values(), by_hand, self._clock())
        if self._barred:
            roster.bar(self._barred)
        return roster

    def former(self, home: Path, own: PublicIdentity) -> Former | None:
        """The door for those who know us by the key that we had before; `None` where there is none.

        Args:
            home: Our home directory.
            own: Who we are.

        Raises:
            InputError: The key is damaged.
        """
        found = read_former(home)
        if found is None:
            return None

        def ready() -> bool:
            stations = self._held.parts.get(Part.STATIONS)
            named = stations is not None and own.link in {entry.node.link for entry in stations.entries}
            return named and Part.GATEWAYS in self._held.parts

        def expected() -> set[str]:
            entries = self._held.parts[Part.GATEWAYS].entries
            return {entry.node.id for entry in entries if entry.state is NodeState.ACTIVE}

        window_s = OFFLINE_WINDOW_DAYS * 86_400
        return Former(home, *found, window_s, expected, ready, self._clock)

    def bar(self, node: PublicIdentity, what: str, detail: str) -> None:
        """Two live processes of a node were seen: let it in no more, and tell headquarters."""
        if what == "clone" and self._is_enrolled(node.id):
            self._barred = {*self._barred, node.link}
            self.version += 1
            self._log.error("node-barred", node=node.id, why=detail)
        report = {"node": node.id, "what": what, "detail": detail[:200]}
        self._reports = [*self._reports[1 - REPORTS_MAX :], report]
        self._soon.set()

    def describe(self, allow: AllowList) -> dict[str, object]:
        """What the status says."""
        quarantined = list(allow.quarantined) if isinstance(allow, Roster) else []
        barred = [known.id for known in (*allow.identities, *allow.retired) if known.link in self._barred]
        return {
            "enrolled": self._held.enrolled,
            "directory": {part.name.lower(): self._held.version(part) for part in Part},
            "headquarters_in_reach": self._in_reach,
            "quarantined": sorted({*quarantined, *barred}),
            "limited": len(allow.limited),
        }

    # -- handlers ----------------------------------------------------------------------------------

    def service_handlers(self) -> dict[str, Handler]:
        """Of the socket of known keys."""
        return {"directory": self._directory, "renew": self._renew}

    def enrolment_handlers(self) -> dict[str, Handler]:
        """Of the socket of any key."""
        return {"enrol": self._enrol}

    def _directory(self, caller: Caller, argument: Any) -> object:
        fields = Fields.of(argument)
        part, version, offset = fields.value("part"), fields.whole("held"), fields.whole("offset")
        if part not in list(Part) or offset < 0:
            raise MalformedError("expected a part and an offset of the directory")
        if part != Part.STATIONS:
            raise CallRefusedError(NOT_YOURS, "a gateway holds the stations' part only")
        sealed = self._held.sealed(Part.STATIONS)
        if not sealed:
            raise CallRefusedError("no-directory", "the hub holds no directory yet; ask again later")
        return pieces(sealed, version, self._held.version(Part.STATIONS), offset)

    def _renew(self, caller: Caller, argument: Any) -> object:
        request = parse_signed(argument, "current").request
        if caller.identity is None or request.node.id != caller.identity.id:
            self._refuse("wrong-node", request.node.id, "a node renews its own certificate only")
        return self._pass_on("renew", argument)

    def _enrol(self, caller: Caller, argument: Any) -> object:
        request = parse_signed(argument, "token").request
        if request.node.link != caller.link:
            why = "the connection is not made with the link key of the request"
            self._refuse("wrong-link", request.node.id, why)
        return self._pass_on("enrol", argument)

    def _pass_on(self, verb: str, argument: Any) -> object:
        if self._forwarder is None:
            raise CallRefusedError("no-upstream", "this hub has no [[upstream]] with `service` to ask")
        return self._forwarder.ask(verb, argument, pending(OUT_OF_REACH))

    def _refuse(self, code: str, node: str, why: str) -> None:
        self._log.warning("enrolment-refused", code=code, node=node, via="", why=why)
        raise CallRefusedError(code, why)

    # -- the refreshing thread ---------------------------------------------------------------------

    def _run(self) -> None:
        assert self._refreshing is not None
        while not self._ended.is_set() and not self.anew:
            self._soon.clear()
            self._turn()
            self._soon.wait(self._refresh_s if self._in_reach else min(AGAIN_S, self._refresh_s))
        self._refreshing.close()

    def _turn(self) -> None:
        try:
            self._report()
            self._refresh()
            self._renew_own()
        except CallTimeoutError as error:
            if self._in_reach and not self._ended.is_set():
                self._log.warning("headquarters-out-of-reach", error=str(error))
            self._in_reach = False
            return
        except (CallRefusedError, PeerError, InputError, StoreError) as error:
            self._failed(error)
        self._in_reach = True

    def _refresh(self) -> None:
        calls, held = self._refreshing, self._held
        assert calls is not None
        beside = {"addresses": self._addresses}
        if not held.enrolled:  # what gateways are told comes from here all the same
            calls.call("directory", {"part": 0, "held": 1 << 62, "offset": 0, **beside})
            return
        for part in Part:
            if held.refresh(calls, part, self._clock, beside):
                self.version += 1
                self._log.info(
                    "directory-taken",
                    part=part.name.lower(),
                    version=held.version(part),
                    nodes=len(held.parts[part].entries),
                )
        if not self._is_current():
            self.anew = "headquarters has other keys"

    def _renew_own(self) -> None:
        if self.anew:
            return
        assert self._refreshing is not None
        rotate = self._held.rotates(self._node)
        step = self._renewal.step(self._refreshing, self._clock(), rotate=rotate, renew=self._held.outdated())
        if step in (Step.RENEWED, Step.CONFIRMED, Step.ROTATED):
            self._log.info("certificate-renewed", step=step.name.lower())
        if step is Step.RENEWED:
            self._soon.set()
        if step is Step.ROTATED:
            self.anew = "new keys"

    def _report(self) -> None:
        assert self._refreshing is not None
        while self._reports:
            report = self._reports[0]
            try:
                self._refreshing.call("suspect", report)
            except CallTimeoutError:
                raise
            except PeerError as error:
                self._failed(error)
            self._reports = [one for one in self._reports if one is not report]

    def _failed(self, error: CatchmentError) -> None:
        self._log.error("membership-failed", error=str(error), remedy="it is tried again")

    def _is_enrolled(self, node: str) -> bool:
        return any(entry.node.id == node for held in self._held.parts.values() for entry in held.entries)


def with_current_keys(config: HubConfig, held: HeldDirectory) -> HubConfig:
    """A configuration with the keys that headquarters, and what is beside it, have now.

    Args:
        config: As it is written.
        held: The directory that is held.
    """

    def current(upstream: UpstreamConfig) -> UpstreamConfig:
        written = StationKeys(upstream.link, upstream.signing)
        keys = next(iter(held.keys_of(upstream.id, written)), held.last_keys(upstream.id, written))
        return replace(upstream, link=keys.link, signing=keys.signing)

    known = config.headquarters
    if known is not None and held.headquarters is not None:
        known = (known[0], held.headquarters)
    return replace(config, upstreams=tuple(map(current, config.upstreams)), headquarters=known)
