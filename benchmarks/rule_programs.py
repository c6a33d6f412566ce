"""The rules that are measured, in the language, and written out by hand as what they are measured against.

`WATCH` is the rule that everybody has: a threshold, an on-delay, an alarm. `PUMP` is a program
of 15 lines with integers that wrap, a moving average, a hysteresis and an alarm. The loops by
hand do the same over the same columns and are what one would write who knows Python well.
"""

from __future__ import annotations

from typing import Any

List = list[Any]

DELAY_MS = 5_000

WATCH = """
PROGRAM watch
VAR_INPUT x : LREAL; END_VAR
VAR_INPUT CONSTANT high : LREAL := 16.0; END_VAR
VAR_OUTPUT too_high : BOOL; END_VAR
VAR late : TON; tell : ALARM; END_VAR
late(IN := x > high, PT := T#5s);
tell(IN := late.Q, VALUE := x, PRIORITY := 2, TEXT := 'too high');
too_high := tell.ACTIVE;
END_PROGRAM
"""

TIMED = """
PROGRAM timed
VAR_INPUT x : LREAL; END_VAR
VAR_INPUT CONSTANT high : LREAL := 16.0; END_VAR
VAR_OUTPUT too_high : BOOL; END_VAR
VAR late : TON; END_VAR
late(IN := x > high, PT := T#5s);
too_high := late.Q;
END_PROGRAM
"""

PUMP = """
PROGRAM pump
VAR_INPUT flow, pressure, power : LREAL; mode : DINT; END_VAR
VAR_OUTPUT efficiency, mean : LREAL; total : DINT; worn : BOOL; END_VAR
VAR step : DINT; head, smooth : LREAL; END_VAR
VAR average : MOVING_AVERAGE; band : HYSTERESIS; late : TON; tell : ALARM; END_VAR
CASE mode OF
    0: step := 1;
    1..3: step := mode * 3 - 1;
ELSE
    step := -7;
END_CASE;
total := total + step * 1000003;
head := pressure * 10.2 + 1.5;
efficiency := flow * head / power;
smooth := smooth + 0.1 * (efficiency - smooth);
average(IN := smooth, N := 60);
mean := average.OUT;
band(IN := -mean, HI := -70.0, LO := -74.0);
late(IN := band.Q, PT := T#5s);
tell(IN := late.Q, VALUE := mean, PRIORITY := 3, TEXT := 'pump worn');
worn := tell.ACTIVE;
END_PROGRAM
"""


def watch_by_hand(
    now: int,
    count: int,
    inputs: List,
    qualities: List,
    parameters: List,
    states: List,
    outputs: List,
    marks: List,
    events: List,
) -> None:
    """`WATCH`: one scan over all instances."""
    (x,), (q,), (high,), (too_high,), (seen,) = inputs, qualities, parameters, outputs, marks
    start, active = states
    for k in range(count):
        a = active[k]
        if x[k] > high[k]:
            t = start[k]
            if t < 0:
                start[k] = now
            elif a == 0 and now - t >= DELAY_MS:
                active[k] = a = 1
                events.append((k, 0, now, x[k], q[k]))
        else:
            start[k] = -1
            if a != 0:
                active[k] = a = 0
                events.append((k, 1, now, x[k], q[k]))
        too_high[k] = a
        seen[k] = q[k]


def pump_by_hand(
    now: int,
    count: int,
    inputs: List,
    qualities: List,
    states: List,
    outputs: List,
    marks: List,
    events: List,
) -> None:
    """`PUMP`: one scan over all instances."""
    flow, pressure, power, mode = inputs
    q0, q1, q2, q3 = qualities
    totals, smooths, rings, places, counts, sums, means, bands, starts, actives = states
    efficiencies, shown, seen_totals, worn = outputs
    w0, w1, w2, w3 = marks
    for k in range(count):
        m = mode[k]
        if m == 0:
            step = 1
        elif 1 <= m <= 3:
            step = m * 3 - 1
        else:
            step = -7
        total = totals[k] + step * 1000003
        if not -2147483648 <= total <= 2147483647:
            total = (total + 2147483648 & 4294967295) - 2147483648
        totals[k] = total
        q = max(q0[k], q1[k], q2[k])
        divisor = power[k]
        if divisor != 0.0:
            efficiency = flow[k] * (pressure[k] * 10.2 + 1.5) / divisor
        else:
            efficiency = 0.0
            q = 2
        smooths[k] = smooth = smooths[k] + 0.1 * (efficiency - smooths[k])
        if q < 2 and smooth - smooth == 0.0:
            place = places[k]
            ring = rings[k]
            if counts[k] >= 60:
                total_of = sums[k] - ring[place] + smooth
            else:
                counts[k] += 1
                total_of = sums[k] + smooth
            ring[place] = smooth
            place += 1
            if place == 60:
                place = 0
                total_of = 0.0
                for value in ring:
                    total_of += value
            places[k] = place
            sums[k] = total_of
            means[k] = total_of / counts[k]
            r = q
        else:
            r = 2
        mean = means[k]
        if -mean >= -70.0:
            bands[k] = 1
        elif -mean <= -74.0:
            bands[k] = 0
        a = actives[k]
        if bands[k]:
            t = starts[k]
            if t < 0:
                starts[k] = now
            elif a == 0 and now - t >= DELAY_MS:
                actives[k] = a = 1
                events.append((k, 0, now, mean, r))
        else:
            starts[k] = -1
            if a != 0:
                actives[k] = a = 0
                events.append((k, 1, now, mean, r))
        efficiencies[k] = efficiency
        shown[k] = mean
        seen_totals[k] = total
        worn[k] = a
        w0[k] = q
        w1[k] = r
        w2[k] = q3[k]
        w3[k] = r
