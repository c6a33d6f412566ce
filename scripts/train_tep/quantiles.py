"""Quantiles of the F distribution, without a library for them.

>>> round(f_quantile(0.99, 9, 491), 4)
2.4435
"""

from __future__ import annotations

import math

_TURNS_MAX = 500
_NEAR_ENOUGH = 1e-15


def f_quantile(probability: float, d1: int, d2: int) -> float:
    """The value below which a share of the F distribution lies.

    Args:
        probability: The share, 0 to 1.
        d1: Degrees of freedom of the numerator.
        d2: Of the denominator.

    Source: NIST Digital Library of Mathematical Functions 8.17; by bisection.
    """
    low, high = 0.0, 1.0
    while f_share(high, d1, d2) < probability:
        low, high = high, high * 2
    for _ in range(200):
        middle = (low + high) / 2
        if f_share(middle, d1, d2) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def f_share(x: float, d1: int, d2: int) -> float:
    """The share of the F distribution below x."""
    return beta_share(d1 * x / (d1 * x + d2), d1 / 2, d2 / 2)


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b).

    Source: NIST Digital Library of Mathematical Functions 8.17.22, the continued fraction
    evaluated by Lentz's method.
    """
    if x <= 0.0 or x >= 1.0:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_share(1.0 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _TURNS_MAX):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / (1.0 + even * d), 1.0 + even / c
        fraction *= c * d
        d, c = 1.0 / (1.0 + odd * d), 1.0 + odd / c
        fraction *= c * d
        if abs(c * d - 1.0) < _NEAR_ENOUGH:
            break
    return math.exp(front) * fraction / a
