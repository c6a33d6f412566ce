"""One world: a plan drawn from a seed, run with trouble, then in calm, then judged.

The judge knows every sample that ever was durable on a gateway's disk. Each must be in
the lake exactly once, with its value, or lie in a declared gap; nothing else may be there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from protocols.batch import Stream
from protocols.records import Mark
from tests.simulation.kernel import Kernel, Trouble
from tests.simulation.nodes import POINTS, Gateway, Group, Headquarters, Hub

TROUBLED_S = 40.0
CALM_S = 300.0

DISASTERS = ("none", "hub disk", "old headquarters", "old gateway", "rot", "quota", "two deaths")


@dataclass(slots=True)
class Verdict:
    """What the judge found.

    Args:
        seed: Replays the world.
        plan: What was drawn.
        samples: Rows in the lake.
        missing: Durable samples that are neither in the lake nor in a gap.
        doubled: Samples that are there more than once.
        wrong: Samples that nobody made, or with another value.
        undelivered: Gateways whose buffer did not drain in calm.
        crashes: How often a process died.
    """

    seed: int
    plan: str
    samples: int = 0
    missing: list[tuple[str, int]] = field(default_factory=list)
    doubled: list[tuple[str, int]] = field(default_factory=list)
    wrong: list[tuple[str, int]] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)
    crashes: int = 0

    @property
    def good(self) -> bool:
        """Whether every promise held."""
        return not (self.missing or self.doubled or self.wrong or self.undelivered)

    def __str__(self) -> str:
        found = {
            name: getattr(self, name)[:5]
            for name in ("missing", "doubled", "wrong", "undelivered")
            if getattr(self, name)
        }
        counts = f"{self.samples} samples, {self.crashes} crashes"
        return f"seed {self.seed} ({self.plan}): {counts}, {found or 'good'}"


class World:
    """The group of one seed.

    Args:
        seed: Decides everything.
        watermark: False for the ablation: headquarters forgets what it holds.
    """

    def __init__(self, seed: int, watermark: bool = True) -> None:
        self.kernel = Kernel(seed)
        self.seed = seed
        random = self.kernel.random
        self.disaster = random.choice(DISASTERS)
        levels = random.choice((2, 3, 3))
        hubs = 0 if levels == 2 else random.choice((1, 2))
        gateways = random.choice((1, 2, 3))
        self.kernel.trouble = Trouble(
            crash=random.choice((0.0, 0.002, 0.01)),
            lose=random.choice((0.0, 0.01, 0.1)),
            repeat=random.choice((0.0, 0.01, 0.1)),
            reorder=random.choice((0.0, 0.01, 0.1)),
            latency_s=random.choice((0.01, 0.2, 2.0)),
            outage_every_s=random.choice((0.0, 10.0, 30.0)),
            outage_s=random.choice((2.0, 20.0)),
        )
        self.plan = f"{levels} levels, {gateways} gateways, {hubs} hubs, {self.disaster}"
        self.group = Group(self.kernel)
        safe = Mark.BACKED_UP if self.disaster == "old headquarters" else Mark.HEADQUARTERS
        self.headquarters = Headquarters(self.kernel, self.group, watermark=watermark, hole_wait_s=20.0)
        self.hubs = [Hub(self.kernel, self.group, f"hub{i}", trim=safe) for i in range(hubs)]
        upstreams = [hub.name for hub in self.hubs] or ["hq"]
        quota = 120_000 if self.disaster == "quota" else None
        self.gateways = [
            Gateway(self.kernel, self.group, f"gw{i}", upstreams, trim=safe, quota=quota)
            for i in range(gateways)
        ]
        for node in self.nodes:
            self.group.key(node.name)

    @property
    def nodes(self) -> list[Gateway | Hub | Headquarters]:
        """Everyone."""
        return [self.headquarters, *self.hubs, *self.gateways]

    def run(self) -> Verdict:
        """Live through it and judge."""
        kernel = self.kernel
        for node in self.nodes:
            kernel.after(kernel.random.uniform(0, 2), node.start)
        self._plan_outages()
        self._plan_disasters()
        kernel.run_until(TROUBLED_S)
        kernel.calm = True
        for gateway in self.gateways:
            gateway.producing = False
        for end in range(10, int(CALM_S) + 1, 10):
            kernel.run_until(TROUBLED_S + end)
            if self.disaster == "old headquarters" and self.headquarters.up:
                self.headquarters.take_copy()
            if self._settled():
                break
        return self._judge()

    # -- trouble ---------------------------------------------------------------------------------

    def _plan_outages(self) -> None:
        kernel, every = self.kernel, self.kernel.trouble.outage_every_s
        if not every:
            return
        links = [(g.name, u) for g in self.gateways for u in g.upstreams] + [
            (h.name, "hq") for h in self.hubs
        ]
        for link in links:
            at = kernel.random.expovariate(1 / every)
            while at < TROUBLED_S:
                self.group.cuts[link] = 0.0
                until = at + kernel.random.uniform(0.5, kernel.trouble.outage_s)
                kernel.after(at, partial(self.group.cuts.__setitem__, link, until))
                at = until + kernel.random.expovariate(1 / every)

    def _plan_disasters(self) -> None:
        kernel, random = self.kernel, self.kernel.random
        at = random.uniform(12.0, 34.0)
        if self.disaster == "hub disk" and self.hubs:
            kernel.after(at, random.choice(self.hubs).lose_disk)
        elif self.disaster == "old headquarters":
            kernel.after(at - random.uniform(1, 11), self.headquarters.take_copy)
            kernel.after(at, self.headquarters.restore_copy)
        elif self.disaster == "old gateway":
            gateway = random.choice(self.gateways)
            kernel.after(at - random.uniform(1, 11), gateway.take_image)
            kernel.after(at, gateway.restore_image)
        elif self.disaster == "rot" and self.hubs:
            kernel.after(at, random.choice(self.hubs).rot)
        elif self.disaster == "two deaths":
            for node in random.sample(self.nodes, 2):
                kernel.after(at, node.die)

    # -- judgement -------------------------------------------------------------------------------

    def _settled(self) -> bool:
        return all(gateway.up and gateway.buffer.settled for gateway in self.gateways)

    def _judge(self) -> Verdict:
        verdict = Verdict(self.seed, self.plan, crashes=self.kernel.crashes)
        lake = self._lake(verdict)
        for gateway in self.gateways:
            if not gateway.up or not gateway.buffer.settled:
                verdict.undelivered.append(gateway.name)
            gaps = self._gaps(gateway.name)
            for instant in sorted(gateway.made | gateway.poison):
                for point in range(POINTS):
                    found = lake.pop((gateway.name, point, instant), 0)
                    if found > 1:
                        verdict.doubled.append((gateway.name, instant))
                    if not found and not any(start <= instant < end for start, end in gaps):
                        verdict.missing.append((gateway.name, instant))
        verdict.wrong += [(gateway, instant) for gateway, _, instant in lake]
        return verdict

    def _lake(self, verdict: Verdict) -> Counter[tuple[str, int, int]]:
        tables = self.headquarters.tables
        names = {row.series: (row.gateway, row.point) for row in tables.series.rows}
        lake: Counter[tuple[str, int, int]] = Counter()
        for chunk in tables.samples.rows:
            assert chunk.value is not None
            verdict.samples += len(chunk)
            rows = zip(chunk.series.tolist(), chunk.time.tolist(), chunk.value.tolist(), strict=True)
            for series, time_us, value in rows:
                gateway, point = names[series]
                lake[(gateway, point, time_us)] += 1
                if value != time_us % 1e6 + point:
                    verdict.wrong.append((gateway, time_us))
        return lake

    def _gaps(self, gateway: str) -> list[tuple[int, int]]:
        rows = self.headquarters.tables.gaps.rows
        return [(row.gap.t_from_us, row.gap.t_to_us) for row in rows if row.gateway == gateway]

    def explain(self) -> str:
        """Where everything stands, for a person who replays a seed."""
        lines = [f"{self.seed}: {self.plan}, {self.kernel.trouble}"]
        for gateway in self.gateways:
            lines += [
                f"  {gateway.name} offers {offer.chain} {offer.oldest}..{offer.next}"
                for offer in gateway.buffer.offers()
            ]
        for hub in self.hubs:
            lines += [
                f"  {hub.name} {row.chain} {row.floor}..{row.next} hq {row.hq_next}"
                for row in hub.store.chains
                if row.chain.stream is Stream.DATA
            ]
        for chain, last in self.headquarters.tables.samples.marks.items():
            lines.append(f"  hq {chain} {last + 1}")
        return "\n".join(lines)
