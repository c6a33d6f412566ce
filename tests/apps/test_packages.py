"""The packages in `apps/`: what they say of themselves holds, and their recorded tests pass."""

from __future__ import annotations

import csv
import io

import pytest

from edge_runtime.rules.apps.apptest import run_test
from edge_runtime.rules.apps.recording import read_recording
from edge_runtime.rules.models.model import load_models
from tests.apps import recordings
from tests.apps.__main__ import RECORDINGS
from tests.apps.parts import APPS, built

TESTS = [(app, name) for app, tests in RECORDINGS.items() for name in tests]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("app", RECORDINGS)
def test_an_app_asks_for_little_more_than_it_needs(app: str) -> None:
    one = built(app)
    granted = one.package.manifest.resources
    assert 0.9 * granted.operations_max <= one.app.operations <= granted.operations_max
    assert 0.75 * granted.state_bytes_max <= one.app.state_bytes <= granted.state_bytes_max


@pytest.mark.parametrize("app", RECORDINGS)
def test_an_app_reads_what_it_is_bound_to_and_nothing_else(app: str) -> None:
    one = built(app)
    assert set(one.package.manifest.permissions.read) == set(one.app.inputs)


@pytest.mark.parametrize("app", RECORDINGS)
def test_all_that_people_see_has_a_title_in_both_languages(app: str) -> None:
    manifest, one = built(app).package.manifest, built(app)
    assert set(manifest.inputs) == set(one.app.inputs)
    assert set(manifest.outputs) == set(one.outputs)
    titles = [
        manifest.title,
        manifest.summary,
        *manifest.inputs.values(),
        *manifest.outputs.values(),
        *(parameter.title for parameter in manifest.parameters.values()),
    ]
    assert all(set(texts) == {"en", "zh"} for texts in titles)


@pytest.mark.parametrize("app", RECORDINGS)
def test_numbers_and_times_that_can_be_set_have_bounds(app: str) -> None:
    for parameter in built(app).package.manifest.parameters.values():
        if not isinstance(parameter.default, bool):
            assert parameter.low is not None, parameter.name
            assert parameter.high is not None, parameter.name


@pytest.mark.parametrize("app", RECORDINGS)
def test_the_readme_tells_of_every_input_output_parameter_and_alarm(app: str) -> None:
    one, text = built(app), (APPS / app / "README.md").read_text(encoding="utf-8")
    named = [*one.app.inputs, *one.outputs, *one.parameters]
    assert [name for name in named if f"`{name}`" not in text] == []
    told = [site.text for wired in one.app.programs for site in wired.program.events]
    assert [each for each in told if each not in text] == []


@pytest.mark.parametrize(("app", "name"), TESTS)
def test_a_recorded_test_passes(app: str, name: str) -> None:
    one = built(app)
    outcome = run_test(one, read_recording(one, name), load_models(one.package))
    assert outcome.differences == ()
    assert outcome.compared > 0


@pytest.mark.parametrize(("app", "name"), TESTS)
def test_what_a_recorded_test_expects_is_what_was_worked_out_by_hand(app: str, name: str) -> None:
    recording = read_recording(built(app), name, with_expectations=False)
    for file, text in recordings.outputs(RECORDINGS[app][name], recording).items():
        given, worked_out = rows(built(app).package.text(f"tests/{name}/{file}")), rows(text)
        assert len(given) == len(worked_out)
        for one, other in zip(given, worked_out, strict=True):
            assert one.keys() == other.keys()
            for column, cell in one.items():
                assert _same(cell, other[column]), (file, one["time"], column, cell, other[column])


def test_the_recorded_tests_are_those_that_are_worked_out() -> None:
    for app, tests in RECORDINGS.items():
        assert set(built(app).package.tests()) == set(tests)


def _same(cell: str, other: str) -> bool:
    try:
        return float(cell) == pytest.approx(float(other), rel=1e-9, abs=1e-9)
    except ValueError:
        return cell == other
