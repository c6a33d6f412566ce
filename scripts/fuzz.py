"""Feeds each parser of bytes from outside with damaged, spliced and invented input.

A parser may return or raise the peer's errors. Anything else is a fault: it is printed with
the input that caused it, and the run ends with exit code 1. So is taking more memory than
any input may cost. Equal seeds make equal inputs.

    python -m scripts.fuzz --seconds 600            # every parser, ten minutes in all
    python -m scripts.fuzz --seconds 5 --only columns
"""

from __future__ import annotations

import random
import resource
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

import click

from protocols.errors import PeerError
from scripts.fuzz_targets import TARGETS, Target

MEMORY_MB_MAX = 1024
"""Resident set of the whole run: the largest input may cost about 200 MB, and it is freed."""

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
        if runs >= len(target.seeds):
            data = (
                mutated(data, draw.choice(target.seeds), draw) if draw.random() < 0.98 else draw.randbytes(60)
            )
        else:
            data = target.seeds[runs]
        runs += 1
        try:
            target.parse(data)
            accepted += 1
        except PeerError:
            if runs <= len(target.seeds):
                return Outcome(runs, accepted, (data, "a seed, which is good input, was refused"))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return Outcome(runs, accepted, (data, traceback.format_exc()))
    return Outcome(runs, accepted, None)


@click.command()
@click.option("--seconds", default=600.0, show_default=True, help="How long, all parsers together.")
@click.option("--seed", default=1, show_default=True, help="Another seed makes other inputs.")
@click.option("--only", help="Only parsers whose name contains this.")
def main(seconds: float, seed: int, only: str | None) -> None:
    """Feed each parser with hostile input; exit code 1 if one misbehaves."""
    chosen = [target for target in TARGETS if only is None or only in target.name]
    if not chosen:
        names = ", ".join(target.name for target in TARGETS)
        raise click.UsageError(f"expected part of a parser's name, got {only!r}; there are {names}")
    failed = False
    for target in chosen:
        end = time.monotonic() + seconds / len(chosen)
        draw = random.Random(f"{target.name}/{seed}")
        outcome = attack(target, draw, lambda _, end=end: time.monotonic() < end)  # type: ignore[misc]
        click.echo(f"{target.name:28} {outcome.runs:9,} inputs, {outcome.accepted:9,} accepted")
        if outcome.failure is not None:
            failed = True
            data, why = outcome.failure
            click.echo(f"{why}\ninput ({len(data)} bytes): {data.hex()}", err=True)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(f"peak memory {peak_mb:.0f} MB")
    if peak_mb > MEMORY_MB_MAX:
        click.echo(f"expected at most {MEMORY_MB_MAX} MB", err=True)
        failed = True
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
