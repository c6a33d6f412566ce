"""The gateways: a list to search, and all that is known of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headquarters.desired.store import Entry, Reported
from headquarters.lake.query import literal
from headquarters.security.office import listing
from headquarters.tenancy.scope import Scope
from headquarters.views.alarmboard import Alarm, detail_of
from headquarters.views.alarms import standing_alarms
from headquarters.views.fleetboard import GatewayTotals
from headquarters.views.paging import Page, Paging, page_of
from headquarters.views.seeing import EVERYTHING, sees_site
from headquarters.views.sources import Sources
from headquarters.views.standing import Standing, standing_of
from protocols.batch import Header

DAY_US = 86_400_000_000

GAPS_SHOWN = 50
GAPS_DAYS = 30


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """One gateway in a list.

    Args:
        id: Its name.
        site: Its site.
        via: The hub that it was let in through; empty for none, or when that is not known.
        standing: How it stands.
        state: In the register: `active`, `quarantined`, `revoked`; `listed` when it is on the list by hand.
        why: Why it is quarantined or revoked.
        received_us: When its last batch came.
        sample_us: The newest time of a sample.
        lag_s: How old the newest sample was when it came; `None` before there was one.
        rate: Samples a second over the last five minutes.
        backlog_s: Age of the oldest sample that it still holds, as it reports; `None` when it does not.
        points: Its series.
        alarms: Alarms that are not normal and not silenced.
        desired: Version of its desired document; `None` for none.
        reported: Version of the document that it runs.
        settled: How far it is with it: `in place`, `on its way`, `never reported`, or states of items.
        program: Version of its program.
        tags: By which roll-outs select it.
    """

    id: str
    site: str
    via: str
    standing: Standing
    state: str
    why: str
    received_us: int | None
    sample_us: int | None
    lag_s: float | None
    rate: float
    backlog_s: int | None
    points: int
    alarms: int
    desired: int | None
    reported: int | None
    settled: str
    program: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChainRow:
    """One chain of a gateway, as headquarters' ledger has it.

    Args:
        stream: `data`, `event` or `meta`.
        epoch: Its epoch.
        next: One beyond the highest sequence that is durable here.
        batches: How many are here.
        samples: In them.
        missing: Sequences below `next` that are not here.
        tombstones: Batches whose payload the gateway had dropped.
        refused: Batches that could not be read.
        t_max_us: The newest time in it.
        received_us: When its last batch came.
        waits: Batches that the gateway stated it has sealed and that are not here; `None` when it
            has not stated anything of this chain.
    """

    stream: str
    epoch: int
    next: int
    batches: int
    samples: int
    missing: int
    tombstones: int
    refused: int
    t_max_us: int | None
    received_us: int
    waits: int | None


@dataclass(frozen=True, slots=True)
class Clock:
    """What a gateway said of its clock with its newest samples.

    Args:
        state: `synchronised`, `holdover`, `unsynchronised`.
        offset_us: By how much it is known to be wrong.
        boot: Which run of the machine, hexadecimal.
        at_us: The newest time in that batch.
    """

    state: str
    offset_us: int
    boot: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a gateway should have.

    Args:
        ref: `config`, `points`, `firmware`, `app/ID` or `model/ID`.
        desired: The version that it should have; `None`: none.
        running: The version that it has.
        state: How far it is.
        drift: What becomes of local changes.
        why: Why it is no further.
    """

    ref: str
    desired: str | None
    running: str | None
    state: str | None
    drift: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Slot:
    """Which firmware runs.

    Args:
        slot: `a` or `b`; empty where there are none.
        version: Firmware in it.
        trying: Firmware that is being tried.
        last: What became of the last that was tried.
    """

    slot: str
    version: str
    trying: str
    last: str


@dataclass(frozen=True, slots=True)
class GapRow:
    """A declared gap.

    Args:
        cause: Why.
        from_us: First instant concerned.
        to_us: End, exclusive.
        points: Ids concerned; `None` for all of the gateway.
        samples: How many are missing; `None` when nobody can know.
        declared_by: `gateway` or `headquarters`.
        detail: One sentence.
    """

    cause: str
    from_us: int
    to_us: int
    points: tuple[int, ...] | None
    samples: int | None
    declared_by: str
    detail: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A gateway's keys in force.

    Args:
        fingerprint: Of the keys, as the gateway shows it.
        serial: Of the certificate, hexadecimal.
        expires: When it ends, ISO 8601.
        is_expired: Whether it has.
        rotate: Whether new keys were asked for.
    """

    fingerprint: str
    serial: str
    expires: str
    is_expired: bool
    rotate: bool


@dataclass(frozen=True, slots=True)
class RatePoint:
    """Samples a second in one minute.

    Args:
        time_us: Begin of the minute.
        rate: Samples a second that came in it.
    """

    time_us: int
    rate: float


@dataclass(frozen=True, slots=True)
class Gateway:
    """All of one gateway.

    Args:
        row: As in the list.
        rates: Of the last hour, minute by minute.
        chains: Its ledger.
        clock: Of its clock; `None` before there were samples.
        items: Desired and running.
        slot: Which firmware runs; `None` before it reported.
        health: What it counted since its report before; empty before it reported.
        reported_us: When its newest report came.
        statement: Its own last ledger: `time_us`, `collected`, `thinned`, `journalled`, `sealed`,
            `dropped` and `buried`; empty before it made one.
        gaps: The newest declared gaps of the last 30 days.
        alarms: What is not normal.
        certificate: `None` for one of the list by hand.
    """

    row: GatewayRow
    rates: tuple[RatePoint, ...]
    chains: tuple[ChainRow, ...]
    clock: Clock | None
    items: tuple[Item, ...]
    slot: Slot | None
    health: dict[str, int]
    reported_us: int | None
    statement: dict[str, Any] = field(default_factory=dict)
    gaps: tuple[GapRow, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    certificate: Certificate | None = None


def gateways(
    sources: Sources,
    scope: Scope,
    paging: Paging | None = None,
    search: str = "",
    site: str = "",
    standing: Standing | None = None,
) -> Page[GatewayRow]:
    """Gateways by name.

    Args:
        sources: Where to look.
        scope: Whose.
        paging: Which part.
        search: Words that all must occur in name, site, hub or tags.
        site: Only those of this site.
        standing: Only those that stand so.

    Raises:
        InputError: The cursor is none of this list.
        StoreError: A store cannot be read.
    """
    words = search.casefold().split()
    rows = [
        row
        for row in gateway_rows(sources, scope)
        if (not site or row.site == site)
        and (standing is None or row.standing is standing)
        and all(word in " ".join((row.id, row.site, row.via, *row.tags)).casefold() for word in words)
    ]
    return page_of(rows, lambda row: (row.id,), paging or Paging())


def gateway_rows(sources: Sources, scope: Scope) -> list[GatewayRow]:
    """Every gateway that is seen, by name."""
    rows = sources.once("gateways", lambda: _rows(sources))
    return [row for row in rows if sees_site(scope, row.site)]


def _rows(sources: Sources) -> list[GatewayRow]:
    with sources.desired() as store:
        versions, reported, tags = store.versions(), store.all_reported(), store.tags()
    fleet, points, now_us = sources.fleet(), sources.points(), sources.now_us()
    alarms: dict[str, int] = {}
    for alarm in standing_alarms(sources, EVERYTHING):
        if not alarm.is_silenced:
            alarms[alarm.alarm.gateway] = alarms.get(alarm.alarm.gateway, 0) + 1
    rows = []
    for id_, (site, via, state, why) in sorted(_known(sources).items()):
        totals = fleet.gateways.get(id_, GatewayTotals())
        version, said = versions.get(id_), reported.get(id_)
        rows.append(
            GatewayRow(
                id=id_,
                site=site,
                via=via,
                standing=standing_of(state, totals.received_us or None, totals.sample_us, now_us),
                state=state,
                why=why,
                received_us=totals.received_us or None,
                sample_us=totals.sample_us,
                lag_s=_lag_s(totals),
                rate=round(totals.rate(now_us), 3),
                backlog_s=None if said is None else said.report.health.backlog_s,
                points=points.per_gateway.get(id_, 0),
                alarms=alarms.get(id_, 0),
                desired=version,
                reported=None if said is None else said.report.document,
                settled=settled(version, said),
                program="" if said is None else said.report.program,
                tags=tuple(sorted(tags.get(id_, ()))),
            )
        )
    return rows


def gateway(sources: Sources, scope: Scope, id: str) -> Gateway | None:
    """All of one gateway; `None` when there is none of this name, or it is not seen.

    Raises:
        StoreError: A store cannot be read.
    """
    row = next((row for row in gateway_rows(sources, scope) if row.id == id), None)
    if row is None:
        return None
    with sources.desired() as store:
        entry, said = store.newest(id), store.reported(id)
    totals = sources.fleet().gateways.get(id, GatewayTotals())
    statement, gaps = _from_lake(sources, id)
    return Gateway(
        row=row,
        rates=tuple(RatePoint(at, round(rate, 3)) for at, rate in totals.course(sources.now_us())),
        chains=_chains(sources, id, statement),
        clock=_clock(totals.header),
        items=items_of(entry, said),
        slot=None if said is None else Slot(*_slot(said)),
        health={} if said is None else said.report.health.counts(),
        reported_us=None if said is None else said.received_us,
        statement={name: value for name, value in statement.items() if name != "chains"},
        gaps=gaps,
        alarms=tuple(each.alarm for each in standing_alarms(sources, scope) if each.alarm.gateway == id),
        certificate=_certificate(sources, id),
    )


def settled(version: int | None, said: Reported | None) -> str:
    """How far a gateway is with its document, in words; empty where nothing is desired."""
    if version is None:
        return ""
    if said is None:
        return "never reported"
    if said.report.document != version:
        return "on its way"
    states = sorted({str(item.state) for item in said.report.items} - {"active"})
    return ", ".join(states) or "in place"


def items_of(entry: Entry | None, said: Reported | None) -> tuple[Item, ...]:
    """What is desired beside what is reported, by reference."""
    wanted = {} if entry is None else entry.document.by_ref
    found = {} if said is None else {item.ref: item for item in said.report.items}
    rows = []
    for ref in sorted(wanted.keys() | found.keys()):
        item, reported = wanted.get(ref), found.get(ref)
        rows.append(
            Item(
                ref,
                None if item is None else item.version,
                None if reported is None else reported.running,
                None if reported is None else str(reported.state),
                None if item is None else str(item.drift),
                "" if reported is None else reported.why,
            )
        )
    return tuple(rows)


# -- leaves ------------------------------------------------------------------------------------


def _known(sources: Sources) -> dict[str, tuple[str, str, str, str]]:
    """Site, hub, state and reason of every gateway that belongs, or belonged, to the group."""
    trust = sources.trust()
    found = {node.id: (node.site, "", "listed", "") for node in trust.identities if node.role == "gateway"}
    for row in sources.nodes().values():
        if row.role == "gateway":
            found[row.id] = (row.site, row.via, str(row.state), row.why)
    for id_ in sources.points().per_gateway:
        if id_ not in found:  # it delivered, and was taken off the list
            found[id_] = (trust.site_of(id_), "", "revoked", "no longer on the list")
    return found


def _lag_s(totals: GatewayTotals) -> float | None:
    if totals.sample_us is None:
        return None
    return round(max(0, totals.received_us - totals.sample_us) / 1e6, 3)


def _chains(sources: Sources, id_: str, statement: dict[str, Any]) -> tuple[ChainRow, ...]:
    streams = {0: "event", 1: "meta", 2: "data"}
    stated = {
        (streams.get(stream, ""), epoch): next_ for stream, epoch, next_, _ in statement.get("chains", ())
    }
    rows = []
    for (gateway_, stream, epoch), chain in sorted(sources.fleet().chains.items()):
        if gateway_ == id_:
            said = stated.get((stream, epoch))
            rows.append(
                ChainRow(
                    stream,
                    epoch,
                    chain.next,
                    chain.batches,
                    chain.samples,
                    chain.missing,
                    chain.tombstones,
                    chain.refused,
                    chain.t_max_us,
                    chain.received_us,
                    None if said is None else max(0, said - chain.next),
                )
            )
    return tuple(rows)


def _clock(header: bytes | None) -> Clock | None:
    if header is None:
        return None
    found = Header.parse(header)
    return Clock(found.clock_state.name.lower(), found.clock_offset_us, found.boot_id.hex(), found.t_max_us)


def _slot(said: Reported) -> Sequence[str]:
    slots = said.report.slots
    return slots.slot, slots.version, slots.trying, slots.last


def _from_lake(sources: Sources, id_: str) -> tuple[dict[str, Any], tuple[GapRow, ...]]:
    """A gateway's own last ledger, and its newest gaps."""
    if not sources.lake.exists:
        return {}, ()
    since_us = sources.now_us() - GAPS_DAYS * DAY_US
    with sources.engine() as engine:
        _, stated = engine.rows(
            "SELECT epoch_us(time), detail FROM events WHERE kind = 'statement' "
            f"AND gateway = {literal(id_)} AND date >= make_timestamptz({since_us})::DATE "
            "ORDER BY batch DESC LIMIT 1"
        )
        statement = next(({"time_us": at, **detail_of(detail)} for at, detail in list(stated)), {})
        _, gaps = engine.rows(
            "SELECT cause, epoch_us(t_from), epoch_us(t_to), points, samples, declared_by, "
            f"coalesce(detail, '') FROM gaps WHERE gateway = {literal(id_)} "
            f"AND date >= make_timestamptz({since_us})::DATE ORDER BY t_from DESC LIMIT {GAPS_SHOWN}"
        )
        rows = tuple(
            GapRow(cause, at, to, None if points is None else tuple(points), samples, by, detail)
            for cause, at, to, points, samples, by, detail in gaps
        )
    return statement, rows


def _certificate(sources: Sources, id_: str) -> Certificate | None:
    if sources.registry is None:
        return None
    for row in listing(sources.registry, sources.now_us() / 1e6, "gateway"):
        if row["id"] == id_ and "serial" in row:
            rotate = bool(row.get("rotate"))
            return Certificate(row["fingerprint"], row["serial"], row["expires"], row["expired"], rotate)
    return None
