"""`catchment-hq app`: what headquarters does with rule apps."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import click

from headquarters import config
from headquarters.cli.view import EXIT_CODES, home_option, json_option, print_json, progress
from protocols.command import teach
from protocols.daemon import EXIT_FAULT
from protocols.errors import InputError, Problem

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@click.group(epilog=EXIT_CODES)
def app() -> None:
    """Try rule apps on the lake.

    \b
      catchment-hq app replay gas-detection-1.2.0.capp --settings gas-detection.toml \\
        --gateway unit-1 --from 2026-11-01 --to 2026-11-08 --out found
    """


@app.command(epilog=EXIT_CODES)
@home_option
@click.argument("package", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--settings",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The app's instances, bindings and parameters: the gateway's apps/ID.toml.",
)
@click.option("--gateway", required=True, help="Whose points it reads.")
@click.option("--from", "from_", required=True, metavar="TIME", help="The first scan: 2026-11-01T08:00Z.")
@click.option("--to", required=True, metavar="TIME", help="Scans before this time.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write report.json, events.csv and outputs.parquet to this folder.",
)
@json_option
@teach
def replay(
    home: Path,
    package: Path,
    settings: Path,
    gateway: str,
    from_: str,
    to: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Run the app in PACKAGE (a file or a folder) over the lake, and compare.

    What comes out is compared with what the gateway recorded: outputs sample by sample,
    events one by one. Exits with 1 when anything differs. Times without a zone are UTC.
    """
    from headquarters.lake.query import Engine
    from headquarters.replay.files import Folder
    from headquarters.replay.package import job_of
    from headquarters.replay.run import Replay

    span = _time_us("--from", from_), _time_us("--to", to)
    if span[0] >= span[1]:
        raise InputError([Problem("--to", "", to, f"a time after --from, which is {from_}")])
    job = job_of(package, settings, gateway)
    engine = Engine(config.load(home).lake)
    try:
        with nullcontext() if out is None else Folder(out) as folder:
            found = Replay(engine, job, folder).run(*span, progress("seconds of history"))
            if folder is not None:
                folder.finish(found)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError([Problem("--out", "", str(out), f"a folder to write: {reason}")]) from error
    finally:
        engine.close()
    if as_json:
        print_json(found.to_json())
    else:
        for line in found.lines():
            click.echo(line)
    if found.differs:
        raise SystemExit(EXIT_FAULT)


def _time_us(option: str, text: str) -> int:
    """A time of ISO 8601 in microseconds since 1970.

    >>> _time_us("--from", "1970-01-01T08:00+08:00"), _time_us("--to", "1970-01-02")
    (0, 86400000000)
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        expected = "a time such as 2026-11-01, 2026-11-01T08:00Z or 2026-11-01T16:00+08:00"
        raise InputError([Problem(option, "", text, expected)]) from error
    since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
