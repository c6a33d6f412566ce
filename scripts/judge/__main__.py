"""`python -m scripts.judge LAKE LOG...`: exit 0 when nothing is lost, doubled or altered."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from scripts.judge import judge, replayed
from scripts.judge.lake import Lake
from scripts.plant.layout import PREFIXES
from scripts.plant.replay import parse

EXISTING = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("lake", type=EXISTING)
@click.argument("logs", type=EXISTING, nargs=-1, required=True)
@click.option("--gateway", help="Judge only what this gateway delivered.")
@click.option("--replay", type=EXISTING, help="The table that was replayed: compare with the file as well.")
@click.option("--transpose", is_flag=True, help="The table's rows were columns.")
def main(
    lake: Path, logs: tuple[Path, ...], gateway: str | None, replay: Path | None, transpose: bool
) -> None:
    """Hold LAKE (a directory or its samples table) against the LOGS of plant servers."""
    try:
        verdict = judge(lake, logs, gateway)
        if replay is not None:
            table = parse(replay.read_text(encoding="utf-8"), transpose)
            for prefix in PREFIXES.values():
                verdict.wrong += replayed.compare(Lake(lake), table, prefix, gateway).wrong
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(json.dumps(verdict.to_json(), indent=1))
    sys.exit(0 if verdict.passed else 1)


if __name__ == "__main__":
    main()
