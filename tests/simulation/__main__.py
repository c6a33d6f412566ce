"""Run many worlds, or look at one: ``python -m tests.simulation --seeds 10000``.

Prints each world that breaks a promise with its seed; ends with 1 if there was one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from multiprocessing import Pool

from tests.simulation.world import Verdict, World


def run(seed: int) -> Verdict:
    """One world as it should be."""
    return World(seed).run()


def run_ablated(seed: int) -> Verdict:
    """One world whose headquarters forget what they hold."""
    return World(seed, watermark=False).run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many worlds")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="worlds at a time")
    parser.add_argument("--explain", type=int, metavar="SEED", help="run this one and say where all stands")
    parser.add_argument(
        "--ablate", action="store_true", help="switch the lake's watermark off; must find doubles"
    )
    options = parser.parse_args()
    if options.explain is not None:
        world = World(options.explain)
        print(world.run(), world.explain(), sep="\n")
        return 0
    began, broken, plans = time.monotonic(), 0, Counter[str]()
    seeds = range(options.start, options.start + options.seeds)
    with Pool(options.jobs) as pool:
        play = run_ablated if options.ablate else run
        for done, verdict in enumerate(pool.imap_unordered(play, seeds, chunksize=5), 1):
            plans[verdict.plan.rsplit(", ", 1)[1]] += 1
            if not verdict.good:
                broken += 1
                print(verdict, flush=True)
            if done % 500 == 0:
                rate = done / (time.monotonic() - began)
                print(f"{done} worlds, {broken} broken, {rate:.0f} a second", file=sys.stderr, flush=True)
    print(f"{options.seeds} worlds from seed {options.start}: {broken} broken; {dict(plans)}")
    return 1 if broken else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets must replay as well
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    sys.exit(main())
