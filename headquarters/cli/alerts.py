"""`catchment-hq alerts`, `capacity` and `versions`: what is looked after, from the command line."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from headquarters import config
from headquarters.cli.metadata import metadata, operator, span_us, time_of
from headquarters.cli.view import EXIT_CODES, home_option, json_option, print_json, print_table
from protocols.command import teach
from protocols.daemon import EXIT_FAULT
from protocols.errors import InputError, Problem

SEVERITIES = ("info", "warning", "critical")


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in given)
    if wrong := [text for text in given if "=" not in text]:
        raise InputError([Problem("command line", option, text, "LABEL=PATTERN") for text in wrong])
    return pairs


@click.group(epilog=EXIT_CODES)
def alerts() -> None:
    """Be told when something is wrong: rules, what fires, silences.

    Rules are judged while headquarters runs; where messages go is set in [alerts].

    \b
      catchment-hq alerts list
      catchment-hq alerts add pump-rate --metric catchment_group_gateway_samples_per_second \\
        --below 1 --for 5min --label gateway=pump-*
      catchment-hq alerts silence --rule 'gateway-*' --label site=plant-a --for 2h --comment works
    """


@alerts.command("list", epilog=EXIT_CODES)
@home_option
@click.option("--rules", is_flag=True, help="The rules, instead of what fires and fired.")
@click.option("--lines", default=50, show_default=True, help="The newest so many.")
@json_option
@teach
def list_(home: Path, rules: bool, lines: int, as_json: bool) -> None:
    """List what fires and fired, the newest first; exits with 1 when something critical fires."""
    from headquarters.db.engine import reading
    from headquarters.operations.alerts.rules import to_json
    from headquarters.operations.alerts.store import Notifications, Rules

    with metadata(home) as (_, engine), reading(engine) as session:
        known = Rules(session).all()
        told = Notifications(session).page(None, lines)
        firing = Notifications(session).firing()
    if rules:
        if as_json:
            print_json([to_json(rule) for rule in known])
            return
        names = ("name", "kind", "metric", "limit", "for s", "severity", "enabled")
        print_table(names, [_rule_row(rule) for rule in known])
        return
    if as_json:
        print_json([asdict(each) for each in told])
    else:
        rows = [
            (time_of(each.fired_us), time_of(each.resolved_us), each.severity, each.rule, each.summary)
            for each in told
        ]
        print_table(("fired", "ended", "severity", "rule", "summary"), rows)
    if any(each.severity == "critical" for each in firing):
        raise SystemExit(EXIT_FAULT)


@alerts.command(epilog=EXIT_CODES)
@home_option
@click.argument("name")
@click.option("--metric", required=True, help="What is watched; docs/metrics.md has them.")
@click.option("--absence", is_flag=True, help="Fire when it is missing.")
@click.option("--anomaly", is_flag=True, help="Fire when it, or a counter's rate, is not as usual.")
@click.option("--above", type=float, help="Fire above this.")
@click.option("--below", type=float, help="Fire below this.")
@click.option("--z", type=float, default=3.5, show_default=True, help="Robust standard deviations.")
@click.option("--window", default="6h", show_default=True, help="What is usual is learnt of so long.")
@click.option("--for", "for_", help="How long it must hold, such as 5min; by default once is enough.")
@click.option("--label", "labels", multiple=True, help="LABEL=PATTERN that must match; repeat it.")
@click.option(
    "--severity", type=click.Choice(SEVERITIES), default="warning", show_default=True, help="How bad it is."
)
@click.option("--summary", default="", help="What is said; {LABEL} and {value} are put in.")
@click.option("--off", is_flag=True, help="Keep the rule, and do not judge it.")
@json_option
@teach
def add(home: Path, name: str, **given: Any) -> None:
    """Add the rule NAME, or put it in the place of the one of that name, also of one from the start."""
    from headquarters.audit import record
    from headquarters.db.base import now_us
    from headquarters.db.engine import writing
    from headquarters.operations.alerts.rules import Rule, to_json
    from headquarters.operations.alerts.store import Rules

    if given["absence"] and given["anomaly"]:
        raise click.UsageError("choose one of --absence and --anomaly")
    rule = Rule(
        name,
        given["metric"],
        "absence" if given["absence"] else "anomaly" if given["anomaly"] else "threshold",
        above=given["above"],
        below=given["below"],
        z=given["z"],
        window_s=span_us("--window", given["window"]) / 1e6,
        for_s=0.0 if given["for_"] is None else span_us("--for", given["for_"]) / 1e6,
        labels=_pairs("--label", given["labels"]),
        severity=given["severity"],
        summary=given["summary"],
        enabled=not given["off"],
    )
    with metadata(home) as (_, engine), writing(engine) as session:
        Rules(session).put(rule, now_us())
        record(session, operator(), "alerts.put-rule", name, detail=to_json(rule))
    if given["as_json"]:
        print_json(to_json(rule))
    else:
        click.echo(f"Rule {name} is in force from the next step on.")


@alerts.command(epilog=EXIT_CODES)
@home_option
@click.argument("name")
@teach
def remove(home: Path, name: str) -> None:
    """Remove what was added as NAME; a rule that is there from the start is then as it was."""
    from headquarters.audit import record
    from headquarters.db.engine import writing
    from headquarters.operations.alerts.store import Rules

    with metadata(home) as (_, engine), writing(engine) as session:
        if not Rules(session).remove(name):
            expected = "a rule that was added; see: catchment-hq alerts list --rules"
            raise InputError([Problem("command line", "NAME", name, expected)])
        record(session, operator(), "alerts.remove-rule", name)
    click.echo(f"Removed {name}.")


@alerts.command("test", epilog=EXIT_CODES)
@home_option
@json_option
@teach
def test_(home: Path, as_json: bool) -> None:
    """Send a test message through every channel of [alerts]; exits with 1 when one does not take it."""
    from headquarters.db.base import new_id
    from headquarters.operations.alerts.channels import ChannelError, channels_of
    from headquarters.operations.alerts.store import Delivery, Notification

    settings = config.load(home)
    now_us = time.time_ns() // 1000
    text = f"This is a test of {settings.id}; nothing is wrong."
    told = Notification(new_id(), "test", {}, "info", text, now_us, None, True)
    results: dict[str, str] = {}
    for channel in channels_of(settings.alerts, settings.id):
        try:
            channel.send([Delivery(new_id(), channel.name, True, 0, now_us, told)], now_us / 1e6)
            results[channel.name] = "taken"
        except ChannelError as error:
            results[channel.name] = str(error)
    if as_json:
        print_json(results)
    else:
        for name, result in results.items():
            click.echo(f"{name}: {result}")
        if not results:
            click.echo("no channel is set: see [alerts] in docs/settings.md; alerts are shown and go nowhere")
    if any(result != "taken" for result in results.values()):
        raise SystemExit(EXIT_FAULT)


@alerts.command(epilog=EXIT_CODES)
@home_option
@click.option("--rule", default="*", show_default=True, help="Pattern of the rules' names.")
@click.option("--label", "labels", multiple=True, help="LABEL=PATTERN that must match; repeat it.")
@click.option("--for", "for_", help="From now on, for so long: 30min, 2h, 14d.")
@click.option("--comment", default="", help="Why.")
@click.option("--end", help="End the silence of this id instead.")
@json_option
@teach
def silence(
    home: Path,
    rule: str,
    labels: tuple[str, ...],
    for_: str | None,
    comment: str,
    end: str | None,
    as_json: bool,
) -> None:
    """Deliver nothing of what matches for a while; it is shown all the same."""
    from headquarters.db.base import now_us
    from headquarters.db.engine import writing
    from headquarters.operations.alerts import acts

    at_us = now_us()
    with metadata(home) as (_, engine), writing(engine) as session:
        if end is not None:
            if not acts.end_silence(session, operator(), end, at_us):
                expected = "an open silence; see: catchment-hq alerts silences"
                raise InputError([Problem("command line", "--end", end, expected)])
            click.echo(f"Ended {end}.")
            return
        if for_ is None or not comment:
            missing = "--for" if for_ is None else "--comment"
            raise InputError([Problem("command line", missing, "", "how long, and why")])
        matching = _pairs("--label", labels)
        ends_us = at_us + span_us("--for", for_)
        made = acts.silence(session, operator(), rule, matching, at_us, ends_us, comment)
    if as_json:
        print_json(asdict(made))
    else:
        click.echo(f"Silence {made.id} until {time_of(made.ends_us)}.")


@alerts.command(epilog=EXIT_CODES)
@home_option
@json_option
@teach
def silences(home: Path, as_json: bool) -> None:
    """List silences that are not over."""
    from headquarters.db.base import now_us
    from headquarters.db.engine import reading
    from headquarters.operations.alerts.store import Silences

    with metadata(home) as (_, engine), reading(engine) as session:
        found = Silences(session).open(now_us())
    if as_json:
        print_json([asdict(each) for each in found])
        return
    rows = [
        (each.id, each.rule, _labels(dict(each.labels)), time_of(each.ends_us), each.made_by, each.comment)
        for each in found
    ]
    print_table(("id", "rule", "labels", "until", "by", "comment"), rows)


@click.command(epilog=EXIT_CODES)
@home_option
@json_option
@teach
def capacity(home: Path, as_json: bool) -> None:
    """Show how full the disk of headquarters and the stores of hubs are, and when they will be full."""
    from headquarters.operations.capacity import forecasts
    from headquarters.views.sources import Sources

    sources = Sources(config.load(home))
    try:
        found = forecasts(sources)
    finally:
        sources.close()
    if as_json:
        print_json([asdict(each) for each in found])
        return
    for each in found:
        part = 100 * each.used_bytes / max(1, each.limit_bytes)
        used = f"{each.used_bytes / 1e9:,.1f} of {each.limit_bytes / 1e9:,.1f} GB ({part:.0f} %)"
        click.echo(f"{each.node} {each.what}: {used}")
        if not each.hours:
            continue
        if each.per_day_bytes is None:
            click.echo(f"  {each.hours} h measured; a forecast needs 24")
            continue
        click.echo(f"  {each.per_day_bytes / 1e9:+,.2f} GB a day, from {each.hours} h")
        days = [each.earliest_days, each.likely_days, each.latest_days]
        shown = ["never" if day is None else f"{day:,.0f} days" for day in days]
        click.echo(f"  full in {shown[1]} (95 %: {shown[0]} to {shown[2]})")
    if not found:
        click.echo("headquarters has not run here yet; start it: catchment-hq run")


@click.command(epilog=EXIT_CODES)
@home_option
@json_option
@teach
def versions(home: Path, as_json: bool) -> None:
    """Show what runs where: programs, firmware, apps, models and configuration, as they report."""
    from headquarters.operations.versions import versions as inventory
    from headquarters.views.sources import Sources

    sources = Sources(config.load(home))
    try:
        found = inventory(sources)
    finally:
        sources.close()
    if as_json:
        print_json([asdict(each) for each in found])
        return
    rows = [
        (each.node, each.role, each.what, each.version, each.wanted, time_of(each.reported_us))
        for each in found
    ]
    print_table(("node", "role", "what", "version", "wanted", "reported"), rows)


def _rule_row(rule: Any) -> tuple[object, ...]:
    limits = {"threshold": f"{_limit('>', rule.above)}{_limit('<', rule.below)}", "anomaly": f"z {rule.z:g}"}
    limit = limits.get(rule.kind, "")
    return (
        rule.name,
        rule.kind,
        rule.metric,
        limit,
        rule.for_s,
        rule.severity,
        "yes" if rule.enabled else "no",
    )


def _limit(sign: str, value: float | None) -> str:
    return "" if value is None else f"{sign}{value:g} "


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={pattern}" for name, pattern in labels.items())
