"""`catchment-hq desired`: what gateways should run, and what they say of it."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headquarters import config
from headquarters.cli.view import (
    EXIT_CODES,
    ControlCommand,
    home_option,
    json_option,
    print_json,
    print_table,
)
from protocols.command import teach
from protocols.daemon import iso_time
from protocols.errors import InputError, Problem
from protocols.limits import INT63_MAX
from protocols.tomlfile import suggest

if TYPE_CHECKING:
    from headquarters.desired.difference import Change
    from headquarters.desired.store import DesiredStore, Entry
    from protocols.desired import Document

gateway_argument = click.argument("gateway")
comment_option = click.option("--comment", default="", help="Why; kept in the history.")


@click.group(epilog=EXIT_CODES)
def desired() -> None:
    """Say what each gateway should run, and see what it says of it.

    \b
      catchment-hq desired set unit-1 --file unit-1.toml
      catchment-hq desired set unit-1 --put apps/acme/gas-detection-1.2.0.capp
      catchment-hq desired show unit-1
      catchment-hq desired revert unit-1
    """


@desired.command("list", epilog=EXIT_CODES)
@home_option
@json_option
@teach
def list_(home: Path, as_json: bool) -> None:
    """List gateways: document desired and in place, how far, tags, when last heard."""
    with _store(home) as store:
        tags, reported = store.tags(), store.all_reported()
        rows: list[dict[str, Any]] = []
        for gateway in sorted({*store.gateways(), *_sites(home)}):
            entry, said = store.newest(gateway), reported.get(gateway)
            report = None if said is None else said.report
            rows.append(
                {
                    "gateway": gateway,
                    "desired": None if entry is None else entry.document.version,
                    "reported": None if report is None else report.document,
                    "state": _state(entry, None if report is None else report.document, report),
                    "program": None if report is None else report.program,
                    "tags": sorted(tags.get(gateway, ())),
                    "heard": None if said is None else iso_time(said.received_us / 1e6),
                }
            )
    if as_json:
        print_json(rows)
        return
    names = ("gateway", "desired", "reported", "state", "program", "tags", "heard")
    shown = [{**row, "tags": " ".join(row["tags"])} for row in rows]
    print_table(names, [tuple(row[name] for name in names) for row in shown])


@desired.command("show", epilog=EXIT_CODES)
@home_option
@gateway_argument
@json_option
@teach
def show(home: Path, gateway: str, as_json: bool) -> None:
    """Show what GATEWAY should run beside what it reports."""
    with _store(home) as store:
        entry, said = store.newest(gateway), store.reported(gateway)
        if entry is None and said is None:
            raise _unknown(store, gateway)
    wanted = {} if entry is None else entry.document.by_ref
    found = {} if said is None else {item.ref: item for item in said.report.items}
    rows: list[dict[str, Any]] = []
    for ref in sorted(wanted.keys() | found.keys()):
        item, reported = wanted.get(ref), found.get(ref)
        rows.append(
            {
                "item": ref,
                "desired": None if item is None else item.version,
                "running": None if reported is None else reported.running,
                "state": None if reported is None else str(reported.state),
                "drift": None if item is None else str(item.drift),
                "why": "" if reported is None else reported.why,
            }
        )
    if as_json:
        document = None if entry is None else entry.document
        print_json(
            {
                "gateway": gateway,
                "desired": None if document is None else document.version,
                "published": None if entry is None else entry.published,
                "document": None if document is None else _document(document),
                "report": None if said is None else said.report.fields(),
                "received": None if said is None else iso_time(said.received_us / 1e6),
                "items": rows,
            }
        )
        return
    if entry is None:
        click.echo(f"{gateway}: nothing is desired of it")
    else:
        waits = "" if entry.published else "; NOT in the update repository yet"
        made = iso_time(entry.made_us / 1e6)
        click.echo(f"{gateway}: version {entry.document.version}, set {made} by {entry.author}{waits}")
    if said is None:
        click.echo("  it has not reported")
    else:
        report = said.report
        age = time.time() - said.received_us / 1e6
        click.echo(f"  reported {age:,.0f} s ago: document {report.document}, program {report.program}")
        if report.slots.slot:
            trying = f", trying {report.slots.trying}" if report.slots.trying else ""
            click.echo(f"  slot {report.slots.slot}: firmware {report.slots.version}{trying}")
        if report.why:
            click.echo(f"  it takes no newer document: {report.why}")
    for point, range in sorted({} if entry is None else entry.document.writes.items()):
        click.echo(f"  commands may write {point} from {range.low:g} to {range.high:g}")
    names = ("item", "desired", "running", "state", "drift", "why")
    print_table(names, [tuple(row[name] for name in names) for row in rows])


@desired.command("set", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("gateways", nargs=-1, required=True)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="All that is desired, as TOML; what is not in it goes. See docs/desired-state.md.",
)
@click.option(
    "--put", multiple=True, metavar="TARGET", help="Have this target of the repository; repeatable."
)
@click.option(
    "--remove",
    multiple=True,
    metavar="ITEM",
    help="No longer have this item, as app/gas, or this grant, as write/SP-7; repeatable.",
)
@click.option(
    "--write",
    multiple=True,
    metavar="POINT=LOW:HIGH",
    help="Let commands write this point within a range, where its [[command_write]] says so; repeatable.",
)
@click.option(
    "--drift",
    type=click.Choice(("report", "keep-local", "overwrite")),
    help="With --put: what becomes of a file that was changed at the gateway.",
)
@comment_option
@json_option
@teach
def set_(
    home: Path,
    gateways: tuple[str, ...],
    file: Path | None,
    put: tuple[str, ...],
    remove: tuple[str, ...],
    write: tuple[str, ...],
    drift: str | None,
    comment: str,
    as_json: bool,
) -> None:
    """Say what GATEWAYS should run: all of it from a file, or changes to what is desired now.

    An app whose target is replaced by --put keeps its instances, parameters and grants. What is
    desired already changes nothing.
    """
    from headquarters.cli.metadata import metadata
    from headquarters.desired.room import demand_room
    from headquarters.desired.targets import UpdateRepository, publish
    from headquarters.desired.wanted import (
        WRITE,
        changed,
        items_of,
        read_wanted,
        rewritten,
        write_option,
    )
    from protocols.desired import Document

    if (file is None) == (not put and not remove and not write):
        raise click.UsageError("choose --file, or --put, --remove and --write")
    settings = config.load(home)
    repository = UpdateRepository(settings)
    targets = repository.targets()
    _known(home, gateways)
    whole = None if file is None else read_wanted(file, targets)
    items = items_of(put, targets, drift or "", "command line", "--put")
    more = dict(map(write_option, write))
    gone = [ref.partition("/")[2] for ref in remove if ref.startswith(f"{WRITE}/")]
    others = [ref for ref in remove if not ref.startswith(f"{WRITE}/")]
    results = []
    with _store(home) as store, metadata(home) as (_, engine):
        with store.transaction():
            before = {gateway: store.newest(gateway) for gateway in gateways}
            after = {}
            for gateway, entry in before.items():
                if whole is None:
                    document = Document(gateway, 0) if entry is None else entry.document
                    wanted = changed(document.items, items, others)
                    after[gateway] = wanted, rewritten(document.writes, more, gone)
                else:
                    after[gateway] = whole
            demand_room(engine, store, _sites(home), {gateway: each for gateway, (each, _) in after.items()})
            for gateway, (wanted, writes) in after.items():
                entry = before[gateway]
                document, is_new = store.put(gateway, wanted, _now_us(), _author(), comment, writes=writes)
                results.append((gateway, document, is_new, _changes(entry, document)))
        publish(store, repository)
    _print_set(results, as_json)


@desired.command("diff", epilog=EXIT_CODES)
@home_option
@gateway_argument
@click.argument("versions", nargs=-1, type=int)
@json_option
@teach
def diff(home: Path, gateway: str, versions: tuple[int, ...], as_json: bool) -> None:
    """Show how two VERSIONS of a document differ: the last two, one and the newest, or both named."""
    with _store(home) as store:
        newest = _need(store, gateway)
        chosen = sorted(versions) or [newest.document.version - 1]
        if len(chosen) == 1:
            chosen.append(newest.document.version)
        if len(chosen) > 2:
            raise click.UsageError("expected at most two versions")
        old, new = (None if number == 0 else _entry(store, gateway, number) for number in chosen)
    assert new is not None, "the higher of two versions is above 0"
    changes = _changes(old, new.document)
    if as_json:
        print_json([change.to_json() for change in changes])
        return
    for change in changes:
        click.echo(str(change))
    if not changes:
        click.echo("no difference")


@desired.command("history", epilog=EXIT_CODES)
@home_option
@gateway_argument
@json_option
@teach
def history(home: Path, gateway: str, as_json: bool) -> None:
    """Show every version of a gateway's document: when, by whom, why, and what changed."""
    with _store(home) as store:
        _need(store, gateway)
        entries = store.history(gateway)
    rows: list[dict[str, Any]] = []
    for at, entry in enumerate(entries):
        before = entries[at + 1] if at + 1 < len(entries) else None
        rows.append(
            {
                "version": entry.document.version,
                "made": iso_time(entry.made_us / 1e6),
                "author": entry.author,
                "comment": entry.comment,
                "changes": [str(change) for change in _changes(before, entry.document)],
                "published": entry.published,
            }
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        comment = f": {row['comment']}" if row["comment"] else ""
        click.echo(f"version {row['version']}, {row['made']}, {row['author']}{comment}")
        for change in row["changes"]:
            click.echo(f"    {change}")


@desired.command("revert", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@gateway_argument
@click.option("--to", type=int, help="The version to go back to; by default the one before.")
@comment_option
@json_option
@teach
def revert(home: Path, gateway: str, to: int | None, comment: str, as_json: bool) -> None:
    """Desire again what was desired before: the next version has the content of an earlier one."""
    from headquarters.desired.targets import UpdateRepository, publish

    repository = UpdateRepository(config.load(home))
    with _store(home) as store:
        with store.transaction():
            newest = _need(store, gateway)
            number = newest.document.version - 1 if to is None else to
            former = _entry(store, gateway, number)
            reason = comment or f"back to version {number}"
            document, is_new = store.put(
                gateway,
                former.document.items,
                _now_us(),
                _author(),
                reason,
                writes=former.document.writes,
            )
        publish(store, repository)
    _print_set([(gateway, document, is_new, _changes(newest, document))], as_json)


@desired.command("again", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("gateways", nargs=-1)
@comment_option
@json_option
@teach
def again(home: Path, gateways: tuple[str, ...], comment: str, as_json: bool) -> None:
    """Desire again what is desired of GATEWAYS, or of all, as versions above whatever they have.

    After a thief of the director's key desired something else, and after the update repository
    was made anew. See docs/security.md.
    """
    from headquarters.desired.targets import UpdateRepository, publish

    repository = UpdateRepository(config.load(home))
    results = []
    with _store(home) as store:
        with store.transaction():
            versions, reported = store.versions(), store.all_reported()
            for gateway in gateways or sorted(versions):
                entry = _need(store, gateway)
                said = reported.get(gateway)
                above = max(entry.document.version, 0 if said is None else said.report.document)
                if above >= INT63_MAX:
                    expected = "a version that can be followed; remove data/desired/accepted at the gateway"
                    raise InputError([Problem(gateway, "reported document", str(above), expected)])
                reason = comment or "desired again"
                document, is_new = store.put(
                    gateway, entry.document.items, _now_us(), _author(), reason, above=above
                )
                results.append((gateway, document, is_new, _changes(entry, document)))
        publish(store, repository)
    _print_set(results, as_json)


@desired.command("tag", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@gateway_argument
@click.option("--add", multiple=True, help="A tag to give; repeatable.")
@click.option("--remove", multiple=True, help="A tag to take away; repeatable.")
@json_option
@teach
def tag(home: Path, gateway: str, add: tuple[str, ...], remove: tuple[str, ...], as_json: bool) -> None:
    """Give GATEWAY tags, by which the rings of a roll-out select it; without options show them."""
    from protocols.batch import is_name

    wrong = [text for text in add if not is_name(text)]
    if wrong:
        expected = "lower-case letters, digits, '-', '_' and '.'"
        raise InputError([Problem("command line", "--add", text, expected) for text in wrong])
    _known(home, (gateway,))
    with _store(home) as store:
        tags = sorted(store.tag(gateway, add, remove))
    if as_json:
        print_json({"gateway": gateway, "tags": tags})
    else:
        click.echo(f"{gateway}: {' '.join(tags) or 'no tags'}")


# -- leaves ------------------------------------------------------------------------------------


@contextmanager
def _store(home: Path) -> Iterator[DesiredStore]:
    from headquarters.desired.store import DesiredStore

    store = DesiredStore(config.load(home).data)
    try:
        yield store
    finally:
        store.close()


def _sites(home: Path) -> dict[str, str]:
    """Sites of the gateways that may deliver."""
    from headquarters.trust import gateway_sites

    return gateway_sites(home, config.load(home).offline_days)


def _known(home: Path, gateways: Sequence[str]) -> None:
    sites = _sites(home)
    wrong = [gateway for gateway in gateways if gateway not in sites]
    if wrong:
        raise InputError(
            [
                Problem(
                    "command line",
                    "GATEWAY",
                    gateway,
                    f"a gateway that is allowed; {suggest(gateway, sites)}",
                )
                for gateway in wrong
            ]
        )


def _unknown(store: DesiredStore, gateway: str) -> InputError:
    expected = f"a gateway with a desired state; {suggest(gateway, store.gateways())}"
    return InputError([Problem("command line", "GATEWAY", gateway, expected)])


def _need(store: DesiredStore, gateway: str) -> Entry:
    found = store.newest(gateway)
    if found is None:
        raise _unknown(store, gateway)
    return found


def _entry(store: DesiredStore, gateway: str, version: int) -> Entry:
    found = store.entry(gateway, version)
    if found is None:
        expected = "a version in its history; see: catchment-hq desired history"
        raise InputError([Problem("command line", "version", str(version), expected)])
    return found


def _changes(entry: Entry | None, document: Document) -> list[Change]:
    from headquarters.desired.difference import difference

    return difference(None if entry is None else entry.document, document)


def _document(document: Document) -> dict[str, Any]:
    items = [item.fields() for item in document.items]
    writes = {point: [range.low, range.high] for point, range in document.writes.items()}
    return {"version": document.version, "items": items, "writes": writes}


def _state(entry: Entry | None, reported: int | None, report: Any) -> str:
    if entry is None:
        return ""
    if report is None:
        return "never reported"
    if reported != entry.document.version:
        return "on its way"
    states = sorted({str(item.state) for item in report.items} - {"active"})
    return ", ".join(states) or "in place"


def _print_set(results: Sequence[tuple[str, Document, bool, list[Change]]], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "gateway": gateway,
                    "version": document.version,
                    "changed": is_new,
                    "changes": [change.to_json() for change in changes] if is_new else [],
                }
                for gateway, document, is_new, changes in results
            ]
        )
        return
    for gateway, document, is_new, changes in results:
        if not is_new:
            click.echo(f"{gateway}: version {document.version} says so already")
            continue
        click.echo(f"{gateway}: version {document.version}")
        for change in changes:
            click.echo(f"    {change}")


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a process without a user of its own
        return "unknown"


def _now_us() -> int:
    return time.time_ns() // 1000
