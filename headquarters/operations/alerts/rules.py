"""Alert rules: what they are made of, what is checked of them, and those that are there from the start.

>>> rule = Rule("hot", "catchment_hq_ingest_latency_p99_seconds", above=5.0, for_s=60)
>>> rule.kind, rule.breaks(5.1), rule.breaks(5.0)
('threshold', True, False)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from headquarters.operations.metrics import METRICS
from headquarters.operations.signals import SIGNALS
from protocols.batch import is_name
from protocols.errors import InputError, Problem

KINDS = ("threshold", "absence", "anomaly")
SEVERITIES = ("info", "warning", "critical")

Z_DEFAULT = 3.5
"""The limit that Iglewicz and Hoaglin recommend."""

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Args:
        name: Of the rule, a node name's characters.
        metric: What is watched; `docs/metrics.md` has them.
        kind: `threshold`: the value is above `above` or below `below`. `absence`: the metric, or a series
            of it that was there, is missing. `anomaly`: the value, of a counter its rate, is `z` robust
            standard deviations from what it was in the last `window_s`.
        above: Greatest good value.
        below: Least good value.
        z: For anomalies.
        window_s: For anomalies, seconds.
        for_s: How long it must hold without a break, seconds.
        labels: Patterns that labels must match (`*` any text, `?` any character).
        severity: `info`, `warning` or `critical`.
        summary: What is said; `{LABEL}` and `{value}` are put in.
        enabled: Whether it is judged.
    """

    name: str
    metric: str
    kind: str = "threshold"
    above: float | None = None
    below: float | None = None
    z: float = Z_DEFAULT
    window_s: float = 6 * 3600.0
    for_s: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    severity: str = "warning"
    summary: str = ""
    enabled: bool = True

    def breaks(self, value: float) -> bool:
        """Whether a value is beyond the limits."""
        return (self.above is not None and value > self.above) or (
            self.below is not None and value < self.below
        )

    def watches(self, metric: str, labels: Mapping[str, str]) -> bool:
        """Whether a series is one of the rule's."""
        return metric == self.metric and matches(self.labels, labels)

    def say(self, labels: Mapping[str, str], value: float | None) -> str:
        """The summary for one series; a place that no label fills stays as it is written."""
        said = "nothing" if value is None else f"{value:.6g}"
        text = self.summary or f"{self.metric} is {{value}}"
        for name, put in {**labels, "value": said}.items():
            text = text.replace("{" + name + "}", put)
        return text


def matches(patterns: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether labels match all patterns; a label that is not there is empty."""
    return all(fnmatchcase(labels.get(name, ""), pattern) for name, pattern in patterns.items())


def labels_of(metric: str) -> tuple[str, ...] | None:
    """Names of a metric's labels; `None` when there is no such metric."""
    return next((found.labels for found in (*METRICS, *SIGNALS) if found.name == metric), None)


def checked(rule: Rule) -> Rule:
    """A rule that can be judged.

    Raises:
        InputError: With everything that is wrong with it.
    """
    found: list[tuple[str, object, str]] = []
    if not is_name(rule.name):
        found.append(("name", rule.name, "lower-case letters, digits, '-', '_' or '.'"))
    known = labels_of(rule.metric)
    if known is None:
        found.append(
            ("metric", rule.metric, "a metric of catchment_hq or catchment_group; see docs/metrics.md")
        )
    if known is not None:
        expected = f"a label of {rule.metric}: {', '.join(known) or 'it has none'}"
        found += [("labels", name, expected) for name in rule.labels if name not in known]
    if rule.kind not in KINDS:
        found.append(("kind", rule.kind, f"one of {', '.join(KINDS)}"))
    if rule.severity not in SEVERITIES:
        found.append(("severity", rule.severity, f"one of {', '.join(SEVERITIES)}"))
    if (rule.kind == "threshold") is (rule.above is None and rule.below is None):
        found.append(("above, below", "", "at least one for a threshold, none for other kinds"))
    if not 0 <= rule.for_s <= 30 * DAY_S:
        found.append(("for_s", rule.for_s, "0 to 30 days"))
    if not 0.5 <= rule.z <= 100:
        found.append(("z", rule.z, "0.5 to 100"))
    if not 600 <= rule.window_s <= 30 * DAY_S:
        found.append(("window_s", rule.window_s, "10 minutes to 30 days"))
    if found:
        raise InputError([Problem(f"alert rule {rule.name!r}", *map(str, each)) for each in found])
    return rule


def to_json(rule: Rule) -> dict[str, Any]:
    """A rule as JSON can hold it."""
    return {each.name: getattr(rule, each.name) for each in fields(Rule)} | {"labels": dict(rule.labels)}


DEFAULTS = (
    Rule(
        "headquarters-silent", "catchment_group_headquarters_silent_seconds", above=30, severity="critical",
        summary="Headquarters has said nothing for {value} s: no data is taken in.",
    ),
    Rule(
        "lake-failing", "catchment_hq_failing", above=0, for_s=30, severity="critical",
        summary="The lake takes no commits; senders are paused. Look at the log and the disk.",
    ),
    Rule(
        "gateway-silent", "catchment_group_gateway_silent_seconds", above=300, for_s=60,
        summary="Gateway {gateway} of {site} has sent nothing for {value} s.",
    ),
    Rule(
        "backlog-grows", "catchment_group_gateway_backlog_seconds", above=900, for_s=600,
        summary="Gateway {gateway} of {site} holds samples of {value} s ago that have not come.",
    ),
    Rule(
        "rate-unusual", "catchment_group_gateway_samples_per_second", kind="anomaly", z=6, for_s=900,
        severity="info",
        summary="Gateway {gateway} of {site} sends {value} samples a second, which is not usual.",
    ),
    Rule(
        "disk-nearly-full", "catchment_hq_disk_free_bytes", below=10e9, for_s=300, severity="critical",
        summary="{value} bytes are free on the disk of headquarters' data.",
    ),
    Rule(
        "updates-expire", "catchment_hq_updates_expire_seconds", below=14 * DAY_S,
        summary="Update metadata of {role} expires in {value} s; see: catchment-hq updates status.",
    ),
    Rule(
        "certificate-expires", "catchment_group_certificate_expires_seconds", below=14 * DAY_S, for_s=3600,
        summary="The certificate of {node} expires in {value} s; it was to renew itself long ago.",
    ),
    Rule(
        "ingest-slow", "catchment_hq_ingest_latency_p99_seconds", above=60, for_s=600,
        summary="Samples are durable {value} s after their time (99 of 100).",
    ),
    Rule(
        "backup-too-old", "catchment_group_backup_age_seconds", above=2 * DAY_S,
        summary="The newest complete backup is {value} s old; run: catchment-hq backup run.",
    ),
    Rule(
        "tenant-storage-full", "catchment_group_tenant_storage_used_ratio", above=0.9,
        summary="Tenant {tenant} uses {value} of its storage quota; at 1 its people can keep nothing more.",
    ),
)  # fmt: skip
"""Rules that are there from the start; one of the same name that somebody adds takes its place."""
