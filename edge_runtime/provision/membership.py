"""Keeps a running gateway's place in the group: its certificate renewed, its directory fresh.

One thread calls the upstream now and then. What it finds changes the session only by asking for a
new one: new keys of its own, or of an upstream, or an upstream that is out of force.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from edge_runtime.config import GatewayConfig, UpstreamConfig
from protocols.calls import REPLACED, CallRefusedError, Calls, CallTimeoutError, ServiceAddress
from protocols.daemon import EventLog
from protocols.directory import Part
from protocols.errors import InputError, PeerError, StoreError
from protocols.held import HeldDirectory
from protocols.renewal import Renewal, Step
from protocols.stations import StationKeys

AGAIN_S = 20.0
"""While a renewal waits for headquarters, or an upstream does not answer, it is asked again after so long."""

SETTLE_S = 3.0
"""New keys are used after so long: by then the hub that passed the request on has them on its list. One
that has not refuses the connection, which costs ten seconds."""


class Member:
    """The gateway as a member of its group; used by one thread.

    Args:
        config: The gateway's configuration, as it is written.
        log: For news.
        clock: Seconds since 1970.

    Raises:
        InputError: What lies beside the certificate is damaged.
        StoreError: The disk failed.
    """

    def __init__(self, config: GatewayConfig, log: EventLog, clock: Callable[[], float] = time.time) -> None:
        written = None if config.headquarters is None else config.headquarters.signing
        self._held = HeldDirectory(config.home, config.data, clock(), written)
        self._renewal = Renewal(config.home)
        self._config = config
        self._node = config.id
        self._refresh_s = config.uplink.directory_s
        self._log = log
        self._clock = clock
        self._rotated = False
        self._used = self._stations()
        self.renewals_waiting = 0
        """How often headquarters was asked for the next certificate since it last answered."""

    def current(self) -> GatewayConfig:
        """The configuration with the keys that its upstreams and headquarters have now.

        An upstream that is out of force is left out. One that changes its keys stands there twice.
        """
        upstreams, signing = self._used = self._stations()
        kept = {upstream.id for upstream in upstreams}
        for upstream in self._config.upstreams:
            if upstream.id not in kept:
                self._log.error("upstream-revoked", upstream=upstream.id)
        known = self._config.headquarters
        if known is None or signing is None:
            return replace(self._config, upstreams=upstreams)
        return replace(self._config, upstreams=upstreams, headquarters=replace(known, signing=signing))

    def addresses(self) -> list[ServiceAddress]:
        """Whom the directory is asked for, by the keys that each has now.

        One that is out of force is asked by its last keys: what it gives is signed by the authority, and
        may name new ones.
        """
        upstreams, _ = self._used
        found = list(upstreams)
        for upstream in self._config.upstreams:
            if upstream.id not in {each.id for each in upstreams}:
                last = self._held.last_keys(upstream.id, StationKeys(upstream.link, upstream.signing))
                found.append(replace(upstream, link=last.link, signing=last.signing))
        return [
            ServiceAddress(each.id, each.service, each.link) for each in found if each.service is not None
        ]

    def turn(self, calls: Calls, anew: Callable[[str], None]) -> float:
        """Refresh and renew.

        Args:
            calls: The upstream.
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
            if self._stations() != self._used:  # perhaps it has its other keys now
                anew("an upstream may have other keys")
            return AGAIN_S
        except CallRefusedError as error:  # such as to a certificate that expired: renewing goes on
            self._log.info("directory-not-given", code=error.code)
        except (PeerError, StoreError) as error:
            self._log.error("directory-wrong", error=str(error), remedy="the one that is held stays in force")
        now, used = self._stations(), self._used
        if now[1] != used[1] or not set(used[0]) <= set(now[0]):
            anew("an upstream is out of force, or has other keys")
            return self._refresh_s
        return self._renew(calls)

    def _stations(self) -> tuple[tuple[UpstreamConfig, ...], bytes | None]:
        """The upstreams that are in force, by the keys they have now, and headquarters' key."""
        found: list[UpstreamConfig] = []
        for upstream in self._config.upstreams:
            written = StationKeys(upstream.link, upstream.signing)
            found += [
                replace(upstream, link=keys.link, signing=keys.signing)
                for keys in self._held.keys_of(upstream.id, written)
            ]
        return tuple(found), self._held.headquarters

    def _renew(self, calls: Calls) -> float:
        try:
            step = self._renewal.step(
                calls, self._clock(), rotate=self._held.rotates(self._node), renew=self._held.outdated()
            )
        except CallTimeoutError:
            return self._wait()
        except (PeerError, InputError, StoreError) as error:
            if isinstance(error, CallRefusedError) and error.code == REPLACED:
                return AGAIN_S  # the directory will name its new key
            self._log.error("renewal-failed", error=str(error), remedy="the certificate in force stays")
            return max(AGAIN_S, self._refresh_s)
        if step is Step.WAITING:
            return self._wait()
        self.renewals_waiting = 0
        if step is not Step.NOTHING:
            self._log.info("certificate-renewed", step=step.name.lower())
        if step is Step.ROTATED:
            self._rotated = True
            return SETTLE_S
        return 0.0 if step is Step.RENEWED else self._refresh_s

    def _wait(self) -> float:
        if not self.renewals_waiting:
            self._log.info("renewal-waits")
        self.renewals_waiting += 1
        return AGAIN_S
