"""One ONNX graph under onnxruntime, so that a row gives the same bits live and in a replay.

Rules:
1. One thread, operators one after the other, no optimisation that depends on the processor,
   a bound on memory.
2. Which kernel computes a row depends on the tensor's shape: at one row some differ from
   those for many in the last bit (measured: a softmax in float64, 1 row in 1,000). So every
   call has the same shape, `BLOCK` rows; what is missing is filled with the last row. `BLOCK`
   is a multiple of every vector width, so that no row falls into the remainder of a loop.
3. That a row's result depends neither on its place nor on its neighbours is tried out when
   the graph is loaded. Where it does (a mean over rows), or where the graph takes one row
   only, every row is a call of its own, live as in a replay.

onnxruntime is in the extra `onnx`, and imported only when there is a model.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.models.onnxfile import RefusedError, inspect
from protocols.errors import InputError, Problem

BLOCK = 16
"""Rows of a call. 370,000 rows/s of a PCA of 52 inputs; a single row costs as much as with one."""

ARENA_BYTES_MAX = 256 << 20
"""Memory of all models of a process together, beside their weights."""

TRIAL_BLOCKS = 8
"""Blocks of drawn rows by which the independence of rows is tried out."""

TRIAL_S = 30.0
"""For these at the most: a model that needs 100 ms for a row is beyond any scan."""

Cells = npt.NDArray[Any]

_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
_REALS = ("tensor(float)", "tensor(double)")


class Graph:
    """A loaded graph with one input tensor.

    Args:
        data: The ONNX file.
        features: Numbers in a row.
        outputs: Names of the outputs, in the order in which they are wanted.

    Raises:
        RefusedError: It is not acceptable, or not as declared.
        InputError: onnxruntime is not installed.
    """

    def __init__(self, data: bytes, features: int, outputs: Sequence[str]) -> None:
        inspect(data)
        self._session = _open(data)
        self._input, self._dtype, single = _input_of(self._session, features)
        self._features = features
        self._columns = _columns_of(self._session, outputs)
        self._names = list(dict.fromkeys(name for name, _ in self._columns))
        self._options = _run_options()
        with self._bounded():
            self.batched = not single and self._rows_are_independent()
            """Whether several rows may share a call."""
            if not self.batched:
                self._try_alone()

    def run(self, rows: Cells) -> Cells:
        """Outputs (n, outputs) of rows (n, features), float64.

        Raises:
            Exception: Whatever onnxruntime raises; the model cannot say anything then.
        """
        block = BLOCK if self.batched else 1
        found = [self._call(rows[at : at + block], block) for at in range(0, len(rows), block)]
        return np.concatenate(found) if found else np.zeros((0, len(self._columns)))

    def _call(self, rows: Cells, block: int) -> Cells:
        """One call: a whole block, whose last row fills it up."""
        with np.errstate(over="ignore"):
            tensor = rows.astype(self._dtype)
        if len(rows) < block:
            tensor = np.concatenate([tensor, np.repeat(tensor[-1:], block - len(rows), axis=0)])
        results = self._session.run(self._names, {self._input: tensor}, self._options)
        given = dict(zip(self._names, results, strict=True))
        return np.column_stack([_column(given[name], at, block) for name, at in self._columns])[: len(rows)]

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Break calls off after `TRIAL_S`: what a package brings must not hold a gateway at its start."""
        timer = threading.Timer(TRIAL_S, setattr, (self._options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            yield
        except RefusedError as error:
            if self._options.terminate:
                rows = 2 * TRIAL_BLOCKS * BLOCK
                raise RefusedError(f"expected a model that evaluates {rows} rows in {TRIAL_S:g} s") from error
            raise
        finally:
            timer.cancel()
            timer.join()  # so that it breaks nothing off that is asked later
            self._options.terminate = False

    def _rows_are_independent(self) -> bool:
        """Whether a row gives the same bits alone, in the company of others, and at any place."""
        drawn = np.random.default_rng(20060).normal(size=(TRIAL_BLOCKS * BLOCK, self._features))
        drawn[BLOCK:] *= np.linspace(0.1, 10.0, len(drawn) - BLOCK)[:, None]
        try:
            together = [self._call(drawn[at : at + BLOCK], BLOCK) for at in range(0, len(drawn), BLOCK)]
            alone = [self._call(row[None, :], BLOCK) for row in drawn]
        except Exception:  # a graph whose inner shapes hold one row only
            return False
        return np.concatenate(together).tobytes() == np.concatenate(alone).tobytes()

    def _try_alone(self) -> None:
        try:
            self._call(np.zeros((1, self._features)), 1)
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise RefusedError(f"expected a model that can be run: {_first_line(error)}") from error


def _open(data: bytes) -> Any:
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise RefusedError(f"expected a model that onnxruntime loads: {_first_line(error)}") from error


def _run_options() -> Any:
    """Through which a call can be broken off, between two operators."""
    import onnxruntime

    return onnxruntime.RunOptions()


def _onnxruntime() -> Any:
    """The library, with its memory bounded once for the process."""
    try:
        import onnxruntime
    except ImportError as error:
        problem = Problem(
            "models",
            "",
            "no onnxruntime",
            "it installed: pip install --require-hashes -r requirements/onnx.txt",
        )
        raise InputError([problem]) from error
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    bound = onnxruntime.OrtArenaCfg({"max_mem": ARENA_BYTES_MAX, "arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(memory, bound)
    return onnxruntime


def _input_of(session: Any, features: int) -> tuple[str, Any, bool]:
    """Name and type of the input tensor, and whether it takes one row only."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise RefusedError(f"expected one input tensor [rows, {features}], got {len(inputs)}: {names}")
    only = inputs[0]
    if only.type not in _REALS:
        raise RefusedError(f"expected an input of {' or '.join(_REALS)}, got {only.type}")
    if len(only.shape) != 2 or only.shape[1] != features or only.shape[0] not in (1, *_free(only.shape[0])):
        raise RefusedError(
            f"expected an input [rows, {features}], as many as app.toml declares, got {only.shape}"
        )
    return only.name, _DTYPES[only.type], only.shape[0] == 1


def _free(length: Any) -> tuple[Any, ...]:
    """The length itself when the graph leaves it open (a name, or nothing)."""
    return () if isinstance(length, int) else (length,)


def _columns_of(session: Any, outputs: Sequence[str]) -> list[tuple[str, int]]:
    """For each declared output the graph's output and the column in it."""
    given = session.get_outputs()
    for each in given:
        if each.type not in _DTYPES:
            raise RefusedError(f"expected outputs of {', '.join(_DTYPES)}, got {each.name!r} of {each.type}")
    if sorted(each.name for each in given) == sorted(outputs):
        for each in given:
            if len(each.shape) not in (1, 2) or (len(each.shape) == 2 and each.shape[1] != 1):
                raise RefusedError(
                    f"expected output {each.name!r} of shape [rows] or [rows, 1], got {each.shape}"
                )
        return [(name, 0) for name in outputs]
    if len(given) == 1 and len(given[0].shape) == 2 and given[0].shape[1] == len(outputs):
        return [(given[0].name, at) for at in range(len(outputs))]
    names = ", ".join(f"{each.name} {each.shape}" for each in given)
    declared = ", ".join(outputs)
    raise RefusedError(f"expected the outputs that app.toml declares ({declared}), got {names}")


def _column(given: Cells, at: int, rows: int) -> Cells:
    """One column of what onnxruntime gave."""
    cells = np.asarray(given, np.float64)
    if cells.ndim == 2:
        cells = cells[:, at]
    if cells.shape != (rows,):
        raise ValueError(f"expected {rows} rows of an output, got {cells.shape}")
    return cells


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:300]
