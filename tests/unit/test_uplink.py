"""Which upstream is used, and how one that came back is noticed."""

from __future__ import annotations

import socket
import time

import pytest

from edge_runtime.uplink import RETURN_S, Choice, Probe


def test_the_first_upstream_is_kept_while_it_answers() -> None:
    choice = Choice(3, failover_s=30.0, now=0.0)
    assert {choice.index_at(float(now), connected=True) for now in range(0, 10_000, 10)} == {0}


def test_short_silences_change_nothing() -> None:
    choice = Choice(2, failover_s=30.0, now=0.0)
    for now in range(0, 1000, 40):
        assert choice.index_at(now + 0.0, connected=True) == 0
        assert choice.index_at(now + 29.0, connected=False) == 0


def test_upstreams_are_tried_in_turn_and_over_again() -> None:
    choice = Choice(3, failover_s=30.0, now=0.0)
    tried = [choice.index_at(31.0 * turn, connected=False) for turn in range(7)]
    assert tried == [0, 1, 2, 0, 1, 2, 0]


def test_a_single_upstream_is_tried_for_ever() -> None:
    choice = Choice(1, failover_s=30.0, now=0.0)
    assert {choice.index_at(100.0 * turn, connected=False) for turn in range(9)} == {0}


def test_the_first_upstream_is_taken_back_only_when_it_has_answered_for_a_while() -> None:
    choice = Choice(2, failover_s=30.0, now=0.0)
    assert choice.index_at(31.0, connected=False) == 1
    choice.first_answered(40.0, answered=True)
    choice.first_answered(45.0, answered=False)  # it comes and goes
    choice.first_answered(50.0, answered=True)
    assert choice.index_at(50.0 + RETURN_S - 1, connected=True) == 1
    assert choice.index_at(50.0 + RETURN_S, connected=True) == 0
    assert choice.index_at(50.0 + RETURN_S + 29.0, connected=False) == 0, "it is given its time again"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_probe_finds_out_whether_somebody_listens(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.bind((host, 0))
    except OSError:
        listener.close()
        pytest.fail(f"expected {host} on this machine")
    port = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    probe = Probe(f"tcp://{shown}:{port}")
    probe.begin()
    assert not answered_within(probe, 0.0), "nobody listens yet"
    listener.listen()
    probe.begin()
    assert answered_within(probe, 5.0)
    assert not probe.answered(), "once asked, once answered"
    listener.close()


@pytest.mark.parametrize("address", ["tcp://no-such-host.invalid:1", "tcp://256.1.1.1:1"])
def test_a_probe_of_a_name_that_means_nothing_is_not_answered(address: str) -> None:
    probe = Probe(address)
    probe.begin()
    assert not probe.answered()


def answered_within(probe: Probe, seconds: float) -> bool:
    """Loopback answers at once, but not within the call."""
    end = time.monotonic() + seconds
    while True:
        if probe.answered():
            return True
        if time.monotonic() >= end:
            return False
        probe.begin()
