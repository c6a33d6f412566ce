"""Keeps a running gateway's place in the group: its certificate renewed, its directory fresh.

One thread calls the upstream now and then. What it finds changes the session only by asking for a
new one: new keys, or an upstream that is out of force.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_runtime.config import UpstreamConfig
from protocols.calls import CallRefusedError, Calls, CallTimeoutError
from protocols.daemon import EventLog
from protocols.directory import Part
from protocols.errors import InputError, PeerError, StoreError
from protocols.held import HeldDirectory
from protocols.renewal import Renewal, Step

AGAIN_S = 20.0
"""While a renewal waits for headquarters, or an upstream does not answer, it is asked again after so long."""

SETTLE_S = 3.0
"""New keys are used after so long: by then the hub that passed the request on has them on its list. One
that has not refuses the connection, which costs ten seconds."""


class Member:
    """The gateway as a member of its group; used by one thread.

    Args:
        home: The gateway's home directory.
        data: Where it keeps the directory.
        node: Its name.
        refresh_s: How often the directory is asked for.
        log: For news.
        clock: Seconds since 1970.

    Raises:
        InputError: What lies beside the certificate is damaged.
    """

    def __init__(
        self,
        home: Path,
        data: Path,
        node: str,
        refresh_s: float,
        log: EventLog,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._held = HeldDirectory(home, data, clock())
        self._renewal = Renewal(home)
        self._node = node
        self._refresh_s = refresh_s
        self._log = log
        self._clock = clock
        self._rotated = False

    def trusted(self, upstreams: Sequence[UpstreamConfig]) -> tuple[UpstreamConfig, ...]:
        """The upstreams that are not out of force by the directory that is held."""
        revoked = self._revoked()
        kept = tuple(up for up in upstreams if up.signing not in revoked)
        for upstream in upstreams:
            if upstream not in kept:
                self._log.error("upstream-revoked", upstream=upstream.id)
        return kept

    def turn(self, calls: Calls, upstreams: Sequence[UpstreamConfig], anew: Callable[[str], None]) -> float:
        """Refresh and renew.

        Args:
            calls: The upstream.
            upstreams: Those in use.
            anew: Called with a reason when the session must begin anew.

        Returns:
            Seconds until the next turn.
        """
        if self._rotated:
            anew("new keys")
            return self._refresh_s
        try:
            if self._held.refresh(calls, Part.STATIONS, self._clock):
                self._log.info("directory-taken", version=self._held.version(Part.STATIONS))
        except CallTimeoutError:
            return AGAIN_S
        except CallRefusedError as error:  # such as to a certificate that expired: renewing goes on
            self._log.info("directory-not-given", code=error.code)
        except (PeerError, StoreError) as error:
            self._log.error("directory-wrong", error=str(error), remedy="the one that is held stays in force")
        if any(up.signing in self._revoked() for up in upstreams):
            anew("an upstream is out of force")
            return self._refresh_s
        return self._renew(calls)

    def _renew(self, calls: Calls) -> float:
        try:
            step = self._renewal.step(calls, self._clock(), self._held.rotates(self._node))
        except CallTimeoutError:
            return AGAIN_S
        except (PeerError, InputError, StoreError) as error:
            self._log.error("renewal-failed", error=str(error), remedy="the certificate in force stays")
            return max(AGAIN_S, self._refresh_s)
        if step is Step.WAITING:
            return AGAIN_S
        if step is not Step.NOTHING:
            self._log.info("certificate-renewed", step=step.name.lower())
        if step is Step.ROTATED:
            self._rotated = True
            return SETTLE_S
        return 0.0 if step is Step.RENEWED else self._refresh_s

    def _revoked(self) -> set[bytes]:
        held = self._held.parts.get(Part.STATIONS)
        return set() if held is None else {signing for signing, _ in held.revoked}
