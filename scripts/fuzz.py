"""Feeds each parser of bytes from outside with damaged, spliced and invented input.

A parser may return or raise its refusal (of bytes, a `PeerError`). Anything else is a fault:
it is printed with the input that caused it, and the run ends with exit code 1. So is taking
more memory than any input may cost. Equal seeds make equal inputs.

    python -m scripts.fuzz --seconds 600            # every parser, ten minutes in all
    python -m scripts.fuzz --seconds 5 --only columns
    python -m scripts.fuzz --each 600 --jobs 4      # each parser ten minutes, four at a time
"""

from __future__ import annotations

import random
import resource
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

import click

from scripts.fuzz_targets import TARGETS, Target

MEMORY_MB_MAX = 1024
"""Resident set of a process: the largest input may cost about 200 MB, and it is freed."""

INTERESTING = (0, 1, 2, 4, 8, 0x7F, 0x80, 0x90, 0xA0, 0xC0, 0xC4, 0xCF, 0xD3, 0xDC, 0xDD, 0xDF, 0xFF)
"""Bytes that mean something: small numbers, ends of ranges, msgpack's type bytes."""


class Outcome(NamedTuple):
    """What a parser did.

    Args:
        runs: Inputs it was given.
        accepted: Of those, how many it returned from.
        failure: The first input that was handled wrongly, and the traceback.
    """

    runs: int
    accepted: int
    failure: tuple[bytes, str] | None


def mutated(seed: bytes, other: bytes, draw: random.Random) -> bytes:
    """One damaged input."""
    data = bytearray(seed)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        _MUTATIONS[draw.randrange(len(_MUTATIONS))](data, other, draw)
    return bytes(data)


def _flip(data: bytearray, other: bytes, draw: random.Random) -> None:
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _poke(data: bytearray, other: bytes, draw: random.Random) -> None:
    if data:
        data[draw.randrange(len(data))] = draw.choice(INTERESTING)


def _poke_number(data: bytearray, other: bytes, draw: random.Random) -> None:
    size = draw.choice((2, 4, 8))
    if len(data) >= size:
        at = draw.randrange(len(data) - size + 1)
        number = draw.choice((0, 1, 1 << (size * 4), (1 << (size * 8)) - 1, 1 << (size * 8 - 1)))
        data[at : at + size] = number.to_bytes(size, draw.choice(("little", "big")))


def _insert(data: bytearray, other: bytes, draw: random.Random) -> None:
    at = draw.randrange(len(data) + 1)
    data[at:at] = draw.randbytes(draw.choice((1, 2, 4, 9)))


def _drop(data: bytearray, other: bytes, draw: random.Random) -> None:
    at = draw.randrange(len(data) + 1)
    del data[at : at + draw.choice((1, 2, 4, 32))]


def _cut(data: bytearray, other: bytes, draw: random.Random) -> None:
    del data[draw.randrange(len(data) + 1) :]


def _repeat(data: bytearray, other: bytes, draw: random.Random) -> None:
    at = draw.randrange(len(data) + 1)
    data[at:at] = data[at : at + draw.choice((1, 4, 16))] * draw.choice((1, 2, 50))


def _splice(data: bytearray, other: bytes, draw: random.Random) -> None:
    data[draw.randrange(len(data) + 1) :] = other[draw.randrange(len(other) + 1) :]


_MUTATIONS: tuple[Callable[[bytearray, bytes, random.Random], None], ...] = (
    _flip, _flip, _poke, _poke, _poke_number, _insert, _drop, _cut, _repeat, _splice,
)  # fmt: skip


def attack(target: Target, draw: random.Random, go_on: Callable[[int], bool]) -> Outcome:
    """Give a parser one input after the other while `go_on(runs)` says so."""
    runs = accepted = 0
    while go_on(runs):
        data = draw.choice(target.seeds)
        data = _next(target, data, draw) if runs >= len(target.seeds) else target.seeds[runs]
        runs += 1
        try:
            target.parse(data)
            accepted += 1
        except target.refusal:
            if runs <= len(target.seeds):
                return Outcome(runs, accepted, (data, "a seed, which is good input, was refused"))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return Outcome(runs, accepted, (data, traceback.format_exc()))
    return Outcome(runs, accepted, None)


def _next(target: Target, seed: bytes, draw: random.Random) -> bytes:
    if target.damage is not None and draw.random() < 0.5:
        return target.damage(seed, draw)
    return mutated(seed, draw.choice(target.seeds), draw) if draw.random() < 0.98 else draw.randbytes(60)


class Report(NamedTuple):
    """What one parser's turn comes to, for the command.

    Args:
        line: For people.
        fault: What went wrong, if anything did.
        peak_mb: The largest resident set of its process so far.
    """

    line: str
    fault: str | None
    peak_mb: float


def turn(name: str, seconds: float, seed: int) -> Report:
    """Attack one parser for so long."""
    [target] = [target for target in TARGETS if target.name == name]
    end = time.monotonic() + seconds
    outcome = attack(target, random.Random(f"{name}/{seed}"), lambda _: time.monotonic() < end)
    fault = None
    if outcome.failure is not None:
        data, why = outcome.failure
        fault = f"{why}\ninput ({len(data)} bytes): {data.hex()}"
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = f"{name:28} {outcome.runs:12,} inputs, {outcome.accepted:12,} accepted"
    return Report(line, fault, peak_mb)


@click.command()
@click.option("--seconds", default=600.0, show_default=True, help="How long, shared out among the parsers.")
@click.option("--each", type=float, help="How long each parser, in place of --seconds.")
@click.option("--jobs", default=1, show_default=True, help="Parsers attacked side by side.")
@click.option("--seed", default=1, show_default=True, help="Another seed makes other inputs.")
@click.option("--only", help="Only parsers whose name contains this.")
def main(seconds: float, each: float | None, jobs: int, seed: int, only: str | None) -> None:
    """Feed each parser with hostile input; exit code 1 if one misbehaves."""
    chosen = [target.name for target in TARGETS if only is None or only in target.name]
    if not chosen:
        names = ", ".join(target.name for target in TARGETS)
        raise click.UsageError(f"expected part of a parser's name, got {only!r}; there are {names}")
    each = seconds / len(chosen) if each is None else each
    faults, peak_mb = 0, 0.0
    with ProcessPoolExecutor(jobs) as pool:
        for running in as_completed([pool.submit(turn, name, each, seed) for name in chosen]):
            report = running.result()
            click.echo(report.line)
            peak_mb = max(peak_mb, report.peak_mb)
            if report.fault is not None:
                faults += 1
                click.echo(report.fault, err=True)
    click.echo(f"peak memory {peak_mb:.0f} MB")
    if peak_mb > MEMORY_MB_MAX:
        click.echo(f"expected at most {MEMORY_MB_MAX} MB", err=True)
    raise SystemExit(1 if faults or peak_mb > MEMORY_MB_MAX else 0)


if __name__ == "__main__":
    main()
