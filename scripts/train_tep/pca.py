"""Principal components, and the limits of their two statistics.

Source: J. E. Jackson, G. S. Mudholkar, "Control procedures for residuals associated with
principal component analysis", Technometrics 21 (1979) 341-349; L. H. Chiang, E. L. Russell,
R. D. Braatz, "Fault Detection and Diagnosis in Industrial Systems", Springer 2001, chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from scripts.train_tep.quantiles import f_quantile

Floats = npt.NDArray[np.float64]

DIGITS = 9
"""Significant digits that are kept of what was trained: those that no linear algebra library
computes otherwise, so that anybody who trains gets the same file."""


@dataclass(frozen=True, slots=True)
class Pca:
    """What was trained.

    Args:
        mean: Of each variable.
        deviation: Its standard deviation.
        loadings: (variables, components).
        variances: Of the components.
        t2_limit: Of Hotelling's T2.
        spe_limit: Of the squared prediction error.
    """

    mean: Floats
    deviation: Floats
    loadings: Floats
    variances: Floats
    t2_limit: float
    spe_limit: float


def train(rows: Floats, components: int, confidence: float) -> Pca:
    """Train on rows of normal operation.

    Args:
        rows: (samples, variables).
        components: How many are kept.
        confidence: Of the limits, such as 0.99.
    """
    mean, deviation = _kept(rows.mean(axis=0)), _kept(rows.std(axis=0, ddof=1))
    scaled = (rows - mean) / deviation
    variances, vectors = np.linalg.eigh(scaled.T @ scaled / (len(rows) - 1))
    variances, vectors = variances[::-1], vectors[:, ::-1]
    loadings = vectors[:, :components]
    # The sign of a component is free: the weightiest variable gets a positive one.
    weightiest = np.abs(loadings).argmax(axis=0)
    loadings = loadings * np.sign(loadings[weightiest, np.arange(components)])
    return Pca(
        mean,
        deviation,
        np.round(loadings, DIGITS),
        _kept(variances[:components]),
        _digits(t2_limit(len(rows), components, confidence)),
        _digits(spe_limit(variances[components:], confidence)),
    )


def t2_limit(samples: int, components: int, confidence: float) -> float:
    """The limit of T2 for a new sample, when mean and variances were estimated."""
    factor = components * (samples**2 - 1) / (samples * (samples - components))
    return factor * f_quantile(confidence, components, samples - components)


def spe_limit(rest: Floats, confidence: float) -> float:
    """The limit of SPE by Jackson and Mudholkar.

    Args:
        rest: Variances of the components that are not kept.
        confidence: Such as 0.99.
    """
    first, second, third = (float((rest**power).sum()) for power in (1, 2, 3))
    h0 = 1 - 2 * first * third / (3 * second**2)
    deviate = NormalDist().inv_cdf(confidence)
    root = deviate * math.sqrt(2 * second * h0**2) / first + 1 + second * h0 * (h0 - 1) / first**2
    return float(first * root ** (1 / h0))


def statistics(pca: Pca, rows: Floats) -> tuple[Floats, Floats]:
    """T2 and SPE of rows, as the graph computes them."""
    scaled = (rows - pca.mean) / pca.deviation
    scores = scaled @ pca.loadings
    residual = scaled - scores @ pca.loadings.T
    return (scores**2 / pca.variances).sum(axis=1), (residual**2).sum(axis=1)


def _kept(values: Floats) -> Floats:
    return np.array([_digits(value) for value in values.tolist()])


def _digits(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
