"""What the vibration app must do: zones after ISO 20816-3, and trends by formulas in closed form."""

from __future__ import annotations

from edge_runtime.rules.apps.recording import Recording
from tests.apps.plainly import Alarms, Cell, Expected, Held, High, numbers, scans

HOUR_MS = 3_600_000
NEVER_H = 99999.0

ZONE_C = "vibration in zone C: unsatisfactory for long operation"
ZONE_D = "vibration in zone D: may cause damage"
HOT = "bearing temperature high"
CHANGED = "vibration changed from its baseline"
NEAR = "vibration will reach zone D"


def expect(recording: Recording) -> Expected:
    """Zones, their alarms and that of the temperature; nothing of changes and trends."""
    p, expected = numbers(recording), Expected()
    alarms, started = Alarms(expected.events), Held(p["start_time"])
    zone_c = High(p["limit_bc"], p["band"], p["delay_c"], p["off_delay"])
    zone_d = High(p["limit_cd"], p["band"], p["delay_d"], p["off_delay"])
    hot = High(p["temperature_high"], 2.0, p["temperature_delay"], p["off_delay"])
    last: dict[str, float] = {"velocity": 0.0, "temperature": 0.0, "running": 0.0}
    for now, value in scans(recording):
        last |= {name: seen for name, seen in value.items() if seen is not None}
        mark_v, mark_t = (2 if value[name] is None else 0 for name in ("velocity", "temperature"))
        steady = started(now, last["running"] == 1.0)
        seen = last["velocity"] if steady else 0.0
        limits = (p["limit_ab"], p["limit_bc"], p["limit_cd"])
        in_c, in_d = zone_c(now, seen), zone_d(now, seen)
        too_hot = hot(now, last["temperature"])
        expected.row(
            {"zone": mark_v, "alarm_c": mark_v, "alarm_d": mark_v, "alarm_temperature": mark_t},
            zone=sum(seen > limit for limit in limits) if steady else -1,
            alarm_c=alarms.follow(ZONE_C, now, in_c, seen),
            alarm_d=alarms.follow(ZONE_D, now, in_d, seen),
            alarm_temperature=alarms.follow(HOT, now, too_hot, last["temperature"]),
        )
    return expected


def expect_change(recording: Recording) -> Expected:
    """The same and the change of a vibration that is constant, then steps to another level.

    Brown's double smoothing with a gain of a answers a step, k scans after it began, with
    `1 - b**k + k a b**k` of its height, where b = 1 - a.
    """
    p, expected = numbers(recording), expect(recording)
    alarms, held = Alarms(expected.events), Held(p["change_delay"])
    velocity = [float(cell) for cell in recording.values["velocity"]]
    usual, steady_ms = velocity[0], p["start_time"] + recording.times_ms[0]
    learnt_ms = steady_ms + p["learn_time"]
    period_ms = recording.times_ms[1] - recording.times_ms[0]
    keep = p["smooth"] / (p["smooth"] + period_ms)
    for row, now in enumerate(recording.times_ms):
        k = sum(each != usual for each in velocity[: row + 1])
        part = 1.0 - keep**k + k * (1.0 - keep) * keep**k
        # It is learnt at the end of the scan that makes the time full.
        change = part * (velocity[row] - usual) if now >= learnt_ms - period_ms else 0.0
        changed = held(now, abs(change) > p["change_part"] * p["limit_bc"])
        expected.row(
            {},
            change=change,
            usual=usual if now >= steady_ms else None,
            alarm_change=alarms.follow(CHANGED, now, changed, change),
        )
    return expected


def expect_trend(recording: Recording) -> Expected:
    """The same and the trend of a vibration that grows evenly from the first steady scan on.

    Brown's double smoothing with a gain of `dt / (T + dt)` shows of a ramp's slope, k scans
    after its beginning, `1 - b**k - k b**(k + 1) dt / T`, where b = T / (T + dt): the sums of the
    two geometric series. Once smoothed it is `slope T (1 - b**k)` behind.
    """
    p, expected = numbers(recording), expect(recording)
    alarms, held = Alarms(expected.events), Held(p["trend_delay"])
    velocity = [float(cell) for cell in recording.values["velocity"]]
    period_ms = recording.times_ms[1] - recording.times_ms[0]
    tau = p["trend_time"]
    per_scan = velocity[1] - velocity[0]
    keep, ratio = tau / (tau + period_ms), tau / period_ms
    for k, now in enumerate(recording.times_ms):
        first = velocity[k] - per_scan * ratio * (1.0 - keep**k)
        apart = per_scan * (ratio * (1.0 - keep**k) - k * keep ** (k + 1))
        level, slope = first + apart, apart / tau * HOUR_MS
        settled = k * period_ms >= 3 * tau
        hours = NEVER_H
        if level >= p["limit_cd"]:
            hours = 0.0
        elif settled and slope * NEVER_H > p["limit_cd"] - level:
            hours = (p["limit_cd"] - level) / slope
        near = held(now, hours < p["warn_ahead"])
        cells: dict[str, Cell] = {"slope": slope, "hours_to_limit": hours}
        cells["alarm_trend"] = alarms.follow(NEAR, now, near, hours)
        expected.row({}, **cells)
    return expected
