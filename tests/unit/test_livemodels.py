"""Models on the gateway: the time budget, and what happens when it is not kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edge_runtime.rules.models.livemodels import OVERRUNS_MAX, LiveModel, ThreadWorker
from edge_runtime.rules.models.model import Cells, Model
from protocols.package.modelspec import ModelInput, ModelOutput, ModelSpec
from tests.onnx_parts import weighted_sum


class ScriptedWorker:
    """Answers, is late or fails, as it was told."""

    def __init__(self, run: Callable[[Cells], Cells], answers: Sequence[bool | Exception]) -> None:
        self.run = run
        self.answers = list(answers)
        self.asked = 0
        self.closed = False

    def ask(self, features: Cells, timeout_s: float) -> Cells | None:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return self.run(features) if answer else None

    def close(self) -> None:
        self.closed = True


def live(
    *answers: bool | Exception, fallback: float | None = None, window: int = 1
) -> tuple[LiveModel, ScriptedWorker]:
    spec = ModelSpec(
        "m", "models/m.onnx", (ModelInput("a", window=window),), (ModelOutput("y", fallback=fallback),)
    )
    model = Model.load(spec, weighted_sum([1.0] * window))
    worker = ScriptedWorker(model.graph.run, answers)
    return LiveModel(model, 1, worker), worker


def scan(model: LiveModel, value: float, quality: int = 0) -> tuple[float, int]:
    values, qualities = model.evaluate(np.array([[value]]), np.array([[quality]], np.int8))
    return float(values[0, 0]), int(qualities[0, 0])


def test_an_answer_in_time_is_used() -> None:
    model, _ = live(True)
    assert scan(model, 3.0) == (3.0, 0)
    assert model.overruns == 0


def test_a_late_answer_is_not_used_and_the_last_value_is_held_as_bad() -> None:
    model, _ = live(True, False, True)
    assert [scan(model, value) for value in (1.0, 2.0, 3.0)] == [(1.0, 0), (1.0, 2), (3.0, 0)]
    assert model.overruns == 1


def test_at_an_overrun_a_declared_fallback_is_used_and_the_last_value_is_not_forgotten() -> None:
    model, _ = live(True, False, fallback=-1.0)
    assert [scan(model, 1.0), scan(model, 2.0), scan(model, 3.0, 2)] == [(1.0, 0), (-1.0, 2), (1.0, 2)]


def test_the_window_goes_on_through_an_overrun() -> None:
    model, _ = live(True, False, True, window=2)
    assert [scan(model, value)[0] for value in (1.0, 2.0, 3.0, 4.0)] == [0.0, 3.0, 3.0, 7.0]


def test_after_many_scans_in_a_row_without_an_answer_it_is_suspended_and_a_notice_says_so() -> None:
    model, worker = live(*[False] * OVERRUNS_MAX)
    for number in range(OVERRUNS_MAX + 3):
        assert scan(model, float(number)) == (0.0, 2)
    assert model.suspended and worker.closed
    assert worker.asked == OVERRUNS_MAX
    assert [notice.kind for notice in model.notices()] == ["model-suspended"]
    assert model.notices() == []


def test_an_answer_in_between_begins_the_count_anew() -> None:
    model, _ = live(*([False] * (OVERRUNS_MAX - 1) + [True]) * 2)
    for _ in range(2 * OVERRUNS_MAX):
        scan(model, 1.0)
    assert not model.suspended
    assert model.overruns == 2 * (OVERRUNS_MAX - 1)


def test_a_failing_graph_does_not_stop_the_scan() -> None:
    model, _ = live(RuntimeError("out of memory"), True)
    assert [scan(model, 1.0), scan(model, 2.0)] == [(0.0, 2), (2.0, 0)]
    assert (model.failures, model.overruns) == (1, 0)
    assert [notice.kind for notice in model.notices()] == ["model-failed"]


def test_a_bad_input_asks_nobody() -> None:
    model, worker = live()
    assert scan(model, 1.0, 2) == (0.0, 2)
    assert worker.asked == 0


# -- the thread ----------------------------------------------------------------------------------


def test_a_call_that_hangs_does_not_hold_up_who_asks_and_no_other_is_begun() -> None:
    release = threading.Event()
    calls = []

    def hang(features: Cells) -> Cells:
        calls.append(len(features))
        release.wait()
        return features

    worker = ThreadWorker(hang, "hangs")
    assert worker.ask(np.zeros((1, 1)), 0.001) is None
    assert worker.ask(np.zeros((2, 1)), 60.0) is None
    release.set()
    worker.close()
    assert calls in ([], [1])


def test_an_answer_comes_from_another_thread() -> None:
    worker = ThreadWorker(lambda features: features + threading.get_ident(), "m")
    answer = worker.ask(np.zeros((1, 1)), 60.0)
    assert answer is not None and answer[0, 0] != threading.get_ident()
    worker.close()


def test_a_failure_in_the_thread_is_raised_where_it_was_asked() -> None:
    def fail(features: Cells) -> Cells:
        raise RuntimeError("no")

    worker = ThreadWorker(fail, "m")
    with pytest.raises(RuntimeError, match="no"):
        worker.ask(np.zeros((1, 1)), 60.0)
    worker.close()
