"""The functions of the library against sums of series in 60 decimal digits, and at their special values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from functools import cache
from random import Random

import pytest

from edge_runtime.rules import compile_program
from tests.rules.tables import Scans

DIGITS = 60
SMALL = Decimal(10) ** -58
SAMPLES = 400


@cache
def scans_of(call: str) -> Scans:
    """A program that gives `y`, of x and maybe z."""
    inputs = "x, z : LREAL" if "z" in call else "x : LREAL"
    return Scans(
        compile_program(
            f"PROGRAM p VAR_INPUT {inputs}; END_VAR VAR_OUTPUT y : LREAL; END_VAR y := {call}; END_PROGRAM"
        )
    )


def of(call: str, x: float, z: float = 0.0) -> tuple[float, int]:
    """Value and quality of a call with good arguments."""
    outputs, _ = scans_of(call).scan(0, {"x": (x, 0), "z": (z, 0)})
    return outputs["y"]


def raw(call: str, x: str) -> tuple[float, int]:
    """Value and quality of a call with an argument that no input can be, an expression."""
    source = (
        "PROGRAM p VAR_INPUT one : LREAL; END_VAR VAR_OUTPUT y : LREAL; END_VAR VAR x : LREAL; END_VAR "
        f"x := {x}; y := {call}; END_PROGRAM"
    )
    outputs, _ = Scans(compile_program(source)).scan(0, {"one": (1.0, 0)})
    return outputs["y"]


INFINITE = "one * 1.0E308 * 10.0"
NOT_A_NUMBER = f"{INFINITE} - {INFINITE}"


# -- series in many digits -------------------------------------------------------------------------


def _arctan_of_inverse(n: int) -> Decimal:
    return _arctan_series(Decimal(1) / n)


def _arctan_series(x: Decimal) -> Decimal:
    total, term, k = Decimal(0), x, 1
    while abs(term) > SMALL:
        total += term / k
        term *= -x * x
        k += 2
    return total


@cache
def pi() -> Decimal:
    """By Machin's formula."""
    return 4 * (4 * _arctan_of_inverse(5) - _arctan_of_inverse(239))


def sine(x: Decimal) -> Decimal:
    x -= (x / (2 * pi())).to_integral_value() * 2 * pi()
    total, term, n = Decimal(0), x, 1
    while abs(term) > SMALL:
        total += term
        term *= -x * x / ((n + 1) * (n + 2))
        n += 2
    return total


def cosine(x: Decimal) -> Decimal:
    return sine(x + pi() / 2)


def arctan(x: Decimal) -> Decimal:
    if abs(x) > 1:
        return (pi() / 2).copy_sign(x) - arctan(1 / x)
    for _ in range(6):  # halve the angle
        x = x / (1 + (1 + x * x).sqrt())
    return 64 * _arctan_series(x)


def arcsine(x: Decimal) -> Decimal:
    return (pi() / 2).copy_sign(x) if abs(x) == 1 else arctan(x / (1 - x * x).sqrt())


DEFINITIONS: dict[str, Callable[[Decimal], Decimal]] = {
    "EXP(x)": Decimal.exp,
    "LN(x)": Decimal.ln,
    "LOG(x)": Decimal.log10,
    "SIN(x)": sine,
    "COS(x)": cosine,
    "TAN(x)": lambda x: sine(x) / cosine(x),
    "ATAN(x)": arctan,
    "ASIN(x)": arcsine,
    "ACOS(x)": lambda x: pi() / 2 - arcsine(x),
}


# -- arguments -------------------------------------------------------------------------------------


def _exponents(draw: Random) -> float:
    return draw.choice((draw.uniform(-708, 709.7), draw.gauss(0, 1), draw.uniform(-1e-3, 1e-3)))


def _positives(draw: Random) -> float:
    return draw.choice(
        (math.exp(draw.uniform(-708, 709)), 1 + draw.gauss(0, 0.1) ** 2, draw.uniform(0.1, 20))
    )


def _angles(draw: Random) -> float:
    near_a_quarter = draw.randrange(-600_000, 600_000) * math.pi / 2
    return draw.choice(
        (draw.uniform(-1e6, 1e6), draw.uniform(-7, 7), near_a_quarter, draw.uniform(-0.8, 0.8))
    )


def _tangents(draw: Random) -> float:
    return draw.choice((draw.uniform(-3, 3), math.exp(draw.uniform(-30, 30)), draw.uniform(-0.2, 0.2)))


def _ratios(draw: Random) -> float:
    near_one = 1 - 10 ** draw.uniform(-16, 0)
    return draw.choice((draw.uniform(-1, 1), near_one, -near_one, draw.uniform(-0.2, 0.2)))


ARGUMENTS = {
    "EXP(x)": _exponents,
    "LN(x)": _positives,
    "LOG(x)": _positives,
    "SIN(x)": _angles,
    "COS(x)": _angles,
    "TAN(x)": _angles,
    "ATAN(x)": _tangents,
    "ASIN(x)": _ratios,
    "ACOS(x)": _ratios,
}
ULPS = {"ATAN(x)": 1.5, "ASIN(x)": 1.5, "ACOS(x)": 1.5}
"""What the library promises; of the others 1."""


def ulps(found: float, exact: Decimal) -> float:
    return float(abs(Decimal(found) - exact) / Decimal(math.ulp(float(exact))))


@pytest.mark.parametrize("call", DEFINITIONS)
def test_a_function_is_as_exact_as_promised(call: str) -> None:
    draw = Random(call)
    with localcontext(prec=DIGITS):
        for _ in range(SAMPLES):
            x = ARGUMENTS[call](draw)
            found, quality = of(call, x)
            assert ulps(found, DEFINITIONS[call](Decimal(x))) <= ULPS.get(call, 1.0), x
            assert quality == 0


def _powers() -> Iterator[tuple[float, float]]:
    draw = Random(5)
    for _ in range(SAMPLES):
        x = draw.choice((math.exp(draw.uniform(-700, 700)), draw.uniform(0.6, 1.5), draw.uniform(0.01, 20)))
        most = 700 / max(abs(math.log(x)), 1e-9)
        y = draw.uniform(-most, most)
        yield x, (float(int(y)) if draw.random() < 0.3 else y)


def test_a_power_is_as_exact_as_promised() -> None:
    with localcontext(prec=DIGITS):
        for x, y in _powers():
            found, quality = of("EXPT(x, z)", x, y)
            assert ulps(found, (Decimal(x).ln() * Decimal(y)).exp()) <= 1.0, (x, y)
            assert quality == 0


# -- special values --------------------------------------------------------------------------------


def test_powers_of_ten_have_whole_logarithms() -> None:
    assert [of("LOG(x)", 10.0**n)[0] for n in range(23)] == [float(n) for n in range(23)]


def test_subnormal_numbers_are_in_reach() -> None:
    assert of("LN(x)", 5e-324)[0] == math.log(5e-324)
    assert of("EXP(x)", -744.0)[0] == pytest.approx(math.exp(-744.0))
    assert of("EXP(x)", -746.0) == (0.0, 0)


def test_what_is_too_large_is_infinite_and_so_is_bad_at_an_output() -> None:
    assert of("EXP(x)", 709.78)[0] == pytest.approx(math.exp(709.78), rel=1e-15)
    assert of("EXP(x)", 709.79)[0] == math.inf
    assert of("EXPT(x, z)", 10.0, 309.0)[0] == math.inf


@pytest.mark.parametrize(
    ("call", "x"),
    [
        ("LN(x)", 0.0),
        ("LN(x)", -1.0),
        ("LOG(x)", 0.0),
        ("LOG(x)", -10.0),
        ("ASIN(x)", 1.0000000000000002),
        ("ASIN(x)", -2.0),
        ("ACOS(x)", 2.0),
        ("SIN(x)", 1.1e6),
        ("COS(x)", -1.1e6),
        ("TAN(x)", 1e300),
    ],
)
def test_what_has_no_result_is_zero_and_bad(call: str, x: float) -> None:
    assert of(call, x) == (0.0, 2)


@pytest.mark.parametrize(
    ("call", "x", "y"),
    [
        ("EXP(x)", 0.0, 1.0),
        ("EXP(x)", 1.0, math.e),
        ("LN(x)", 1.0, 0.0),
        ("SIN(x)", 0.0, 0.0),
        ("SIN(x)", 5e-324, 5e-324),
        ("COS(x)", 0.0, 1.0),
        ("TAN(x)", -1e-300, -1e-300),
        ("ATAN(x)", 1.0, math.pi / 4),
        ("ATAN(x)", 1e300, math.pi / 2),
        ("ASIN(x)", 1.0, math.pi / 2),
        ("ASIN(x)", -1.0, -math.pi / 2),
        ("ASIN(x)", 1e-310, 1e-310),
        ("ACOS(x)", 1.0, 0.0),
        ("ACOS(x)", -1.0, math.pi),
        ("ACOS(x)", 0.0, math.pi / 2),
    ],
)
def test_exact_values(call: str, x: float, y: float) -> None:
    assert of(call, x) == (y, 0)


@pytest.mark.parametrize(
    ("x", "y", "power"),
    [
        (0.0, 0.0, (1.0, 0)),
        (5.0, 0.0, (1.0, 0)),
        (1.0, -3.5, (1.0, 0)),
        (0.0, 3.0, (0.0, 0)),
        (0.0, -1.0, (0.0, 2)),
        (-2.0, 3.0, (-8.0, 0)),
        (-2.0, -2.0, (0.25, 0)),
        (-2.0, 0.5, (0.0, 2)),
        (-1.0, 1e300, (1.0, 0)),
        (-1.0, 4503599627370497.0, (-1.0, 0)),
        (2.0, 10.0, (1024.0, 0)),
        (2.0, -1074.0, (5e-324, 0)),
        (0.5, 1e300, (0.0, 0)),
        (2.0, -1e300, (0.0, 0)),
        (9.0, 0.5, (3.0, 0)),
        (10.0, 3.0, (1000.0, 0)),
    ],
)
def test_powers_of_special_numbers(x: float, y: float, power: tuple[float, int]) -> None:
    assert of("EXPT(x, z)", x, y) == power


@pytest.mark.parametrize("name", ["EXP", "LN", "LOG", "SIN", "COS", "TAN", "ATAN", "ASIN", "ACOS"])
def test_no_number_gives_no_number(name: str) -> None:
    assert math.isnan(raw(f"{name}(x)", NOT_A_NUMBER)[0])


@pytest.mark.parametrize(
    ("call", "x", "y"),
    [
        ("EXP(x)", INFINITE, math.inf),
        ("EXP(x)", f"-({INFINITE})", 0.0),
        ("LN(x)", INFINITE, math.inf),
        ("LOG(x)", INFINITE, math.inf),
        ("ATAN(x)", INFINITE, math.pi / 2),
        ("ATAN(x)", f"-({INFINITE})", -math.pi / 2),
        ("SIN(x)", INFINITE, 0.0),
        ("EXPT(x, 0.5)", INFINITE, math.inf),
        ("EXPT(x, -0.5)", INFINITE, 0.0),
        ("EXPT(0.5, x)", INFINITE, 0.0),
        ("EXPT(2.0, x)", INFINITE, math.inf),
        ("EXPT(-1.0, x)", INFINITE, 1.0),
        ("EXPT(x, 3.0)", f"-({INFINITE})", -math.inf),
    ],
)
def test_infinite_arguments(call: str, x: str, y: float) -> None:
    assert raw(call, x)[0] == y
