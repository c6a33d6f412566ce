"""`catchment-hq`: make, run, query and verify headquarters."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import Any

import click

from edge_runtime.slots.commands import slots_group, supervise_command
from edge_runtime.slots.tier import Tier
from headquarters import config
from headquarters.cli.alerts import alerts, capacity, versions
from headquarters.cli.apps import app
from headquarters.cli.authority import authority, authority_options, make_authority
from headquarters.cli.backup import backup
from headquarters.cli.commands import command
from headquarters.cli.desired import desired
from headquarters.cli.gateways import gateways, refuse_enrolled
from headquarters.cli.metadata import audit, db, metadata
from headquarters.cli.publish import publish
from headquarters.cli.rollout import rollout
from headquarters.cli.tenants import tenants
from headquarters.cli.updates import updates
from headquarters.cli.users import first_administrator, url_option, users
from headquarters.cli.view import (
    EXIT_CODES,
    home_option,
    json_option,
    print_json,
    print_table,
    progress,
)
from headquarters.jsontext import json_text
from protocols import keyfiles
from protocols.addresses import is_bind
from protocols.batch import is_name
from protocols.command import teach
from protocols.daemon import EXIT_FAULT, EXIT_UNREACHABLE, read_status
from protocols.errors import InputError, Problem
from protocols.identity import ALLOW, IDENTITY, Identity, read_peers
from protocols.support import Parts
from protocols.supportcommands import support_group

STALE_S = 10.0
"""A status older than this is that of a headquarters that does not run."""

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(
    epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="catchment", prog_name="catchment-hq")
@click.option(
    "--level",
    type=click.IntRange(1, 3),
    help="With run and serve: where this platform stands, in the place of [headquarters] level.",
)
@click.pass_context
def main(context: click.Context, level: int | None) -> None:
    """Take signed batches from hubs and gateways into one lake, and answer for every one.

    \b
    A new headquarters:
      catchment-hq init --home /srv/hq --id headquarters
      catchment-hq allow --home /srv/hq hub-north.toml unit-1.toml
      catchment-hq run --home /srv/hq

    \b
    And then:
      catchment-hq query --home /srv/hq "SELECT * FROM history ORDER BY time DESC LIMIT 5"
      catchment-hq verify --home /srv/hq
    """
    context.obj = level


@main.command(epilog=EXIT_CODES)
@home_option
@click.option("--id", "id_", required=True, help="The node name of headquarters, unique in the group.")
@click.option(
    "--bind", default="tcp://0.0.0.0:7600", show_default=True, help="Where hubs and gateways connect."
)
@click.option("--service", help="Where known nodes call, such as tcp://0.0.0.0:7601; left out: closed.")
@click.option("--enrolment", help="Where new nodes ask, such as tcp://0.0.0.0:7602; left out: closed.")
@click.option(
    "--admin", default="admin", show_default=True, help="The login of the first administrator of the portal."
)
@url_option
@authority_options
@json_option
@teach
def init(
    home: Path,
    id_: str,
    bind: str,
    service: str | None,
    enrolment: str | None,
    admin: str,
    url: str | None,
    root_key: Path | None,
    seal_root: bool,
    seal: bool,
    as_json: bool,
) -> None:
    """Make the directory of headquarters: keys, an authority, headquarters.toml and an empty allow-list.

    Prints a link by which the first administrator of the portal signs in, once, within three days:
    there is no default password.

    The keys in keys/ are readable by you alone and never leave this machine; identity.toml is
    the public half, to hand to hubs and gateways. The root's key is needed again in years only:
    take its file away to a safe place.
    """
    if (home / config.CONFIG).exists():
        problem = Problem(str(home / config.CONFIG), "", "a configuration", "none yet; choose another --home")
        raise InputError([problem])
    if not is_name(id_):
        expected = "lower-case letters, digits, '-', '_' or '.', starting with a letter or digit"
        raise InputError([Problem("--id", "", id_, expected)])
    for option, address in (("--bind", bind), ("--service", service), ("--enrolment", enrolment)):
        if address is not None and not is_bind(address):
            raise InputError([Problem(option, "", address, "an address such as 'tcp://0.0.0.0:7600'")])
    passphrase = keyfiles.required_passphrase("--seal") if seal else None
    home.mkdir(parents=True, exist_ok=True)
    identity = Identity.create(home, id_, "headquarters", passphrase=passphrase)
    root_key = make_authority(home, id_, root_key, seal_root, passphrase)
    (home / config.CONFIG).write_text(config.example(id_, bind, service, enrolment), encoding="utf-8")
    (home / ALLOW).touch()
    with metadata(home) as (_, engine):
        link = first_administrator(home, engine, admin, url)
    if as_json:
        paths = {"home": home, "identity": home / IDENTITY, "root_key": root_key}
        made = {name: str(path) for name, path in paths.items()}
        print_json({"id": identity.id, "sign_in_link": link} | made)
        return
    click.echo(f"Made headquarters {id_} in {home}, with an authority of its own.")
    click.echo(f"Take the root's key away to a safe place: {root_key}")
    click.echo(f"Next: give {home / IDENTITY} to hubs and gateways,")
    click.echo(f"      catchment-hq allow --home {home} IDENTITY.toml for each of them,")
    click.echo(f"      catchment-hq run --home {home}")
    click.echo(f"To sign in as {admin}, once, within three days: {link}")


@main.command(epilog=EXIT_CODES)
@home_option
@click.pass_context
@teach
def run(context: click.Context, home: Path) -> None:
    """Run headquarters until SIGTERM or Ctrl-C; log lines are JSON, on standard error.

    Another headquarters.toml takes a restart; allow.toml is read again whenever it changes.
    With [web] bind it keeps `serve` running beside it.
    """
    from headquarters.main import run as run_headquarters

    run_headquarters(home, level=context.obj)


@main.command(epilog=EXIT_CODES)
@home_option
@click.option("--until-eof", is_flag=True, help="Stop as well when standard input ends.")
@click.pass_context
@teach
def serve(context: click.Context, home: Path, until_eof: bool) -> None:
    """Serve the API and, at level 1, the portal, on [web] bind; `run` does it by itself.

    \b
      catchment-hq serve --home /srv/hq
      curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8600/api/v1/overview
    """
    from headquarters.web import serve as serve_web

    serve_web(home, context.obj, until_eof=until_eof)


@main.command("allow", epilog=EXIT_CODES)
@home_option
@click.argument(
    "identities", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@json_option
@teach
def allow_(home: Path, identities: tuple[Path, ...], as_json: bool) -> None:
    """Allow the nodes in IDENTITIES (their identity.toml): hubs to connect, gateways to sign.

    Gateways behind a hub must be allowed as well: their own signatures are checked here.
    A node of the same name is replaced; what it signed with its old key stays valid.
    """
    from headquarters.trust import allow

    config.load(home)
    nodes = [node for path in identities for node in read_peers(path)]
    refuse_enrolled(home, nodes)
    replaced = [node.id for node in nodes if allow(home, node)]
    if as_json:
        print_json({"allowed": [node.id for node in nodes], "replaced": replaced})
        return
    click.echo("Allowed " + ", ".join(f"{node.role} {node.id}" for node in nodes) + ".")
    if replaced:
        click.echo(f"New keys for {', '.join(replaced)}; signatures by the old ones stay valid.")


@main.command(epilog=EXIT_CODES)
@home_option
@json_option
@teach
def status(home: Path, as_json: bool) -> None:
    """Show rates, sessions, tables and latency of a running headquarters.

    Exits with 3 when it does not run, with 1 when it runs and the lake fails.
    """
    settings = config.load(home)
    found = read_status(settings.status)
    running = found is not None and not found["stopped"] and time.time() - found["time"] < STALE_S
    if as_json:
        print_json({"running": running, **(found or {})})
    elif found is None:
        click.echo(f"headquarters {settings.id} has not run here yet; start it: catchment-hq run")
    else:
        _print_status(settings.id, found, running)
    if found is None or not running:
        raise SystemExit(EXIT_UNREACHABLE)
    if found["failing"]:
        raise SystemExit(EXIT_FAULT)


@main.command(epilog=EXIT_CODES)
@home_option
@click.argument("sql")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of objects.")
@click.option("--parquet", type=FILE, help="Write the result to this Parquet file.")
@click.option("--timezone", default="UTC", show_default=True, help="Zone of the times, read and written.")
@click.option(
    "--as-tenant", "tenant", help="Ask as this tenant: what its people see, by the rules they have."
)
@click.option("--explain", is_flag=True, help="Do not run it; show what it would read, and the plan.")
@teach
def query(
    home: Path,
    sql: str,
    as_csv: bool,
    as_json: bool,
    parquet: Path | None,
    timezone: str,
    tenant: str | None,
    explain: bool,
) -> None:
    """Ask the lake in SQL (DuckDB's), beside the running process or without it.

    \b
    Tables: samples, series, gaps, ledger, events, samples_minute, samples_hour; `history` is
    samples with names and units, `series_history` every definition there ever was. Naming a
    point by series_of('NAME') is the quick way to its samples.
      catchment-hq query "SELECT time, value FROM samples WHERE series = series_of('10LBA10CT001')"
      catchment-hq query "SELECT name, avg(value) FROM history WHERE date = today() GROUP BY name"
      catchment-hq query --csv --timezone Asia/Shanghai "FROM gaps" > gaps.csv
      catchment-hq query --as-tenant north "SELECT count(*) FROM samples"
    """
    if as_csv + as_json + (parquet is not None) > 1:
        raise click.UsageError("choose one of --csv, --json and --parquet")
    if explain and (as_csv or parquet is not None):
        raise click.UsageError("--explain prints a table, or JSON with --json")
    settings = config.load(home)
    engine = _query_engine(settings, timezone, tenant, explain)
    try:
        if explain:
            _print_estimate(engine.explain(sql), as_json)
        elif parquet is not None:
            rows = _write_parquet(engine, sql, parquet)
            click.echo(f"wrote {rows:,} rows to {parquet}", err=True)
        elif as_csv:
            names, texts = engine.texts(sql)
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(names)
            writer.writerows(texts)
        elif as_json:
            names, values = engine.rows(sql)
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                expected = "columns of different names, because JSON keeps one of each; name them with AS"
                raise InputError([Problem("query", "columns", ", ".join(twice), expected)])
            _print_array(dict(zip(names, row, strict=True)) for row in values)
        else:
            names, texts = engine.texts(sql)
            count = print_table(names, texts)
            click.echo(f"({count:,} row{'' if count == 1 else 's'})")
    finally:
        engine.close()


@main.command(epilog=EXIT_CODES)
@home_option
@json_option
@teach
def ledger(home: Path, as_json: bool) -> None:
    """Show what was taken in: batches, samples and holes of every chain, gaps by cause.

    A chain is one gateway's stream within one epoch; its batches count from 0. Gateways' own
    statements are shown beside. `verify` checks all of it.
    """
    from headquarters.ledger import summarise

    found = summarise(config.load(home).lake)
    if as_json:
        print_json(found.to_json())
        return
    for title, names, rows in found.tables():
        click.echo(f"{title}:")
        print_table(names, rows)
        click.echo("")


@main.command(epilog=EXIT_CODES)
@home_option
@json_option
@click.option("--quick", is_flag=True, help="Leave out what needs the archive: payloads against rows.")
@click.option("--faults", "faults_max", default=100, show_default=True, help="Faults that are printed.")
@teach
def verify(home: Path, as_json: bool, quick: bool, faults_max: int) -> None:
    """Check everything again: signatures, hash chains, payloads, rows, and all tiers' ledgers.

    Every header and signature in the ledger is checked with the gateway's key; every payload
    that the archive still has is compared with its hash and, decoded, with the lake's rows;
    what gateways and hubs state in their own ledgers must be there. Exits with 1 and says
    exactly where when anything differs.
    """
    from headquarters.verify import Verification

    settings = config.load(home)
    report = Verification(settings, progress("batches")).run(quick)
    if as_json:
        print_json(report.to_json())
    else:
        for fault in report.faults[:faults_max]:
            click.echo(f"FAULT {fault}")
        if len(report.faults) > faults_max:
            click.echo(f"... and {len(report.faults) - faults_max:,} more (all of them with --json)")
        for line in report.lines():
            click.echo(line)
    if report.faults:
        raise SystemExit(EXIT_FAULT)


@main.command(epilog=EXIT_CODES)
@home_option
@click.argument("names", nargs=-1)
@json_option
@teach
def latest(home: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Show the latest value of points NAMES (all by default), from the running process.

    Values are there as soon as a batch has arrived, before it is in the lake.
    """
    from headquarters.latest import ask

    rows = ask(config.load(home).data, names)
    missing = sorted(set(names) - {row["name"] for row in rows})
    if as_json:
        print_json(rows)
    else:
        table = [
            (r["gateway"], r["name"], r["time"], r["text"] or r["value"], r["unit"], f"{r['quality']:#x}")
            for r in rows
        ]
        print_table(("gateway", "name", "time", "value", "unit", "quality"), table)
    if missing:
        expected = "points with a value since headquarters started; see: catchment-hq query 'FROM series'"
        raise InputError([Problem("latest", "name", name, expected) for name in missing])


@main.group(epilog=EXIT_CODES)
def custody() -> None:
    """Let hubs and gateways forget what is in a backup.

    \b
      catchment-hq custody snapshot marks.json     (before the copy)
      copy the lake, the archive and the keys      (and check the copy)
      catchment-hq custody confirm marks.json      (after it)
    """


@custody.command(epilog=EXIT_CODES)
@home_option
@click.argument("file", type=FILE)
@teach
def snapshot(home: Path, file: Path) -> None:
    """Write how far every chain is durable to FILE, before a copy of the lake is taken."""
    from headquarters.custody import pack, snapshot_of

    positions = snapshot_of(config.load(home).lake)
    file.write_bytes(pack(positions, _iso_now()))
    click.echo(f"wrote the marks of {len(positions):,} chains to {file}; now copy the lake")


@custody.command(epilog=EXIT_CODES)
@home_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@teach
def confirm(home: Path, file: Path) -> None:
    """Confirm that what FILE marks is in a safe copy: receipts for it go out at once.

    Hubs with trim = "backed-up" then let go of it. A headquarters that does not run gives the
    receipts when it is started.
    """
    from headquarters.custody import confirm as keep
    from headquarters.custody import parse

    settings = config.load(home)
    positions = parse(file)
    settings.data.mkdir(parents=True, exist_ok=True)
    keep(settings.custody, positions, _iso_now())
    click.echo(f"confirmed {len(positions):,} chains as backed up")


def _support(home: Path) -> Parts:
    from headquarters.operations.support import parts

    return parts(home)


for _group in (
    alerts,
    app,
    audit,
    authority,
    backup,
    capacity,
    command,
    db,
    desired,
    gateways,
    publish,
    rollout,
    support_group(_support),
    tenants,
    updates,
    users,
    versions,
):
    main.add_command(_group)


def _iso_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _print_status(id_: str, found: dict[str, Any], running: bool) -> None:
    age = time.time() - found["time"]
    click.echo(f"headquarters {id_}: {'running' if running else f'not running, last seen {age:.0f} s ago'}")
    click.echo(f"  listens on {found['address']}")
    click.echo(f"  {found['rows']:,} rows of {found['batches']:,} batches in {found['commits']:,} commits")
    if found["lake_latency_p99_s"] is not None:
        click.echo(f"  samples are durable after {found['lake_latency_p99_s']:.2f} s (p99, last minutes)")
    if found["failing"]:
        click.echo("  THE LAKE FAILS: nothing is taken in until the disk is well; see the log")
    if found["refused"]:
        click.echo(f"  {found['refused']:,} batches refused and kept in quarantine")
    for line in _updates_lines(found.get("updates")):
        click.echo(line)
    for hole in found["holes"]:
        click.echo(
            f"  waiting for {hole['chain']} {hole['seq_from']} to {hole['seq_to']}: {hole['waited_s']} s"
        )
    connected = ", ".join(sorted(found["sessions"])) or "nobody"
    click.echo(f"  connected: {connected}")
    rows = [(name, t["rows"], t["files"], f"{t['bytes'] / 1e6:.1f}") for name, t in found["tables"].items()]
    print_table(("table", "rows", "files", "MB"), rows)


def _updates_lines(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    lines = [f"  UPDATES ARE NOT SIGNED: {found['failing']}"] if found["failing"] else []
    return lines + [
        f"  updates: {each['role']} expires in {each['days_left']:.0f} days; {each['remedy']}"
        for each in found["alarms"]
    ]


def _query_engine(
    settings: config.HeadquartersConfig, timezone: str, tenant: str | None, explain: bool
) -> Any:
    """DuckDB for who sits at the machine; as a tenant, or for what a query would cost, the query service."""
    if tenant is None and not explain:
        from headquarters.lake.query import Engine

        return Engine(settings.lake, timezone)
    from headquarters.metadata import open_metadata
    from headquarters.services.sql.local import GovernedEngine, reach_of
    from headquarters.services.sql.rights import Reach

    if tenant is None:
        return GovernedEngine(settings.lake, Reach(None), timezone)
    metadata = open_metadata(settings.data, settings.metadata_url)
    try:
        return GovernedEngine(settings.lake, reach_of(metadata, tenant), timezone)
    finally:
        metadata.dispose()


def _print_estimate(estimate: Any, as_json: bool) -> None:
    if as_json:
        tables = [dict(zip(("table", "files", "rows"), row, strict=True)) for row in estimate.tables]
        print_json({"files": estimate.files, "rows": estimate.rows, "tables": tables, "plan": estimate.plan})
        return
    print_table(("table", "files", "rows"), [*estimate.tables, ("", estimate.files, estimate.rows)])
    click.echo(f"\n{estimate.plan}")


def _write_parquet(engine: Any, sql: str, path: Path) -> int:
    import pyarrow.parquet as pq

    reader = engine.arrow(sql)
    rows = 0
    try:
        with pq.ParquetWriter(path, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
                rows += len(batch)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError([Problem("--parquet", "", str(path), f"a file to write: {reason}")]) from error
    return rows


def _print_array(objects: Any) -> None:
    """Print a JSON array without holding it in memory."""
    click.echo("[", nl=False)
    for number, entry in enumerate(objects):
        click.echo((",\n " if number else "") + json_text(entry), nl=False)
    click.echo("]")


def _tier() -> Tier:
    from headquarters.supervised import TIER

    return TIER


main.add_command(supervise_command(_tier))
main.add_command(slots_group(_tier))
