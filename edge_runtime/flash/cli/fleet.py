"""`catchment-flash fleet`: many gateways in one go."""

from __future__ import annotations

from pathlib import Path

import click

from edge_runtime.cli.view import count, json_option, print_json

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command(short_help="Prepare many gateways in one go, and their labels.")
@click.argument("file", type=_FILE)
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The directory to make them in: a machine's root for each, with its home.",
)
@click.option(
    "--config", type=_FILE, help="The gateway.toml of rows that name none; {{id}}, {{site}} are filled in."
)
@click.option("--points", type=_FILE, help="The points.csv of rows that name none.")
@click.option("--token-on-label", is_flag=True, help="Put the token on the label; whoever sees it can enrol.")
@json_option
def fleet(
    file: Path, target: Path, config: Path | None, points: Path | None, token_on_label: bool, as_json: bool
) -> None:
    """Prepare the gateways of FILE, a CSV or XLSX table, and print labels with QR codes.

    Columns: id, and as needed site, token, address, link, config, points, hostname, interface, ip,
    router, dns, ntp, note. Tokens come from catchment-hq gateways invite. All problems of all rows
    are told at once, and then nothing is made. For each gateway there is a directory with its
    home: configuration, keys, network and token. Keep it as safe as the gateways, and delete it
    when it is on them. The page labels.html is made to be printed.

    \b
      catchment-flash fleet gateways.csv --to prepared --config template.toml
    """
    from edge_runtime.flash import fleet as fleets

    made = fleets.prepare(file, target, config, points)
    page = fleets.write_labels(made, target, token_on_label)
    if as_json:
        gateways = [
            {"id": each.line.id, "root": str(each.root), "fingerprint": each.fingerprint} for each in made
        ]
        print_json({"gateways": gateways, "labels": str(page)})
        return
    click.echo(f"{count(len(made), 'gateway')} in {target}; labels to print: {page}")
