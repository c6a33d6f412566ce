"""Training of the process-monitoring app's model: quantiles, limits, and figures on the reference runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from protocols.errors import InputError
from scripts.train_tep import pca
from scripts.train_tep.__main__ import BEGIN, with_model
from scripts.train_tep.graph import onnx_bytes
from scripts.train_tep.quantiles import beta_share, f_quantile, f_share
from scripts.train_tep.reference import ONSET, read_training, variables

DATA = Path(__file__).parents[3] / "shared" / "data" / "tep"
MODEL = Path(__file__).parents[2] / "apps" / "process-monitoring" / "models" / "pca.onnx"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"the reference runs are not in {DATA}")


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.95, 0.99])
@pytest.mark.parametrize("d2", [1, 7, 491])
def test_with_two_degrees_of_freedom_the_f_quantile_is_its_closed_form(probability: float, d2: int) -> None:
    expected = d2 / 2 * ((1 - probability) ** (-2 / d2) - 1)
    assert f_quantile(probability, 2, d2) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("d1", "d2", "expected"), [(5, 10, 5.6363), (10, 5, 10.0510), (9, 120, 2.5586), (1, 1, 4052.18)]
)
def test_f_quantiles_are_those_of_printed_tables(d1: int, d2: int, expected: float) -> None:
    assert f_quantile(0.99, d1, d2) == pytest.approx(expected, abs=5e-5, rel=1e-5)
    assert f_share(f_quantile(0.99, d1, d2), d1, d2) == pytest.approx(0.99)


def test_the_incomplete_beta_function_is_symmetric() -> None:
    for x in (0.01, 0.3, 0.77, 0.999):
        assert beta_share(x, 2.5, 40) + beta_share(1 - x, 40, 2.5) == pytest.approx(1.0, abs=1e-13)


def drawn(rows: int, seed: int = 3) -> pca.Floats:
    """Twelve variables that follow three causes, with noise of their own."""
    source = np.random.default_rng(seed)
    return source.normal(size=(rows, 3)) @ np.random.default_rng(1).normal(size=(3, 12)) + source.normal(
        size=(rows, 12)
    )


def test_limits_are_passed_by_about_one_new_sample_in_a_hundred() -> None:
    trained = pca.train(drawn(5000), 3, 0.99)
    t2, spe = pca.statistics(trained, drawn(200_000, seed=4))
    assert np.mean(t2 > trained.t2_limit) == pytest.approx(0.01, abs=0.002)
    assert np.mean(spe > trained.spe_limit) == pytest.approx(0.01, abs=0.002)


def test_the_same_figures_give_the_same_file() -> None:
    assert onnx_bytes(pca.train(drawn(500), 3, 0.99)) == onnx_bytes(pca.train(drawn(500), 3, 0.99))


def test_a_manifest_without_the_parameters_is_refused() -> None:
    with pytest.raises(InputError, match="t2_limit"):
        with_model(BEGIN, pca.train(np.random.default_rng(1).normal(size=(200, 52)), 9, 0.99))


def test_there_are_52_variables_with_different_names() -> None:
    assert len({variable.name for variable in variables()}) == 52


# -- on the reference runs -----------------------------------------------------------------------

DETECTED = (
    ("01", 99.3, 99.8),
    ("02", 98.3, 98.8),
    ("04", 9.9, 99.5),
    ("05", 26, 33),
    ("06", 99.1, 100),
    ("14", 86, 100),
)
"""Reference figures of this method on these runs: fault, T2 and SPE in percent."""


@needs_data
def test_false_alarms_are_those_of_the_reference() -> None:
    trained = pca.train(read_training(DATA), 9, 0.99)
    t2, spe = pca.statistics(trained, np.loadtxt(DATA / "d00_te.dat"))
    assert 100 * np.mean(t2 > trained.t2_limit) == pytest.approx(2.1, abs=0.5)
    assert 100 * np.mean(spe > trained.spe_limit) == pytest.approx(5.2, abs=0.5)


@needs_data
@pytest.mark.parametrize(("fault", "expected_t2", "expected_spe"), DETECTED)
def test_faults_are_detected_as_in_the_reference(fault: str, expected_t2: float, expected_spe: float) -> None:
    trained = pca.train(read_training(DATA), 9, 0.99)
    t2, spe = pca.statistics(trained, np.loadtxt(DATA / f"d{fault}_te.dat")[ONSET:])
    assert 100 * np.mean(t2 > trained.t2_limit) == pytest.approx(expected_t2, abs=0.5)
    assert 100 * np.mean(spe > trained.spe_limit) == pytest.approx(expected_spe, abs=0.5)


@needs_data
def test_training_again_gives_the_file_of_the_app() -> None:
    assert onnx_bytes(pca.train(read_training(DATA), 9, 0.99)) == MODEL.read_bytes()
