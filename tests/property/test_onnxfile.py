"""Whatever bytes come as a model: the reader before onnxruntime refuses or accepts, and nothing else."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.rules.models.onnxfile import RefusedError, inspect
from tests.onnx_parts import network, pca

FILES = (pca(4, 2), network(3, 5, 2))


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with contextlib.suppress(RefusedError):
        inspect(data)


@given(st.sampled_from(FILES), st.data())
def test_a_file_with_some_bytes_replaced_is_refused_or_accepted(file: bytes, drawn: st.DataObject) -> None:
    at = drawn.draw(st.integers(0, len(file)))
    with contextlib.suppress(RefusedError):
        inspect(file[:at] + drawn.draw(st.binary(max_size=20)) + file[at + drawn.draw(st.integers(0, 20)) :])
