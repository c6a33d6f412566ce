"""What the state of a running app belongs to: the same at the gateway and at headquarters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgpack

from edge_runtime.rules.checking.typed import Value
from edge_runtime.rules.program import GENERATOR

KEY_BYTES = 16


def run_key(
    files: Mapping[str, bytes],
    instances: Sequence[str],
    bindings: Mapping[str, Sequence[str]],
    parameters: Mapping[str, Sequence[Value]],
) -> bytes:
    """A hash of all that decides what an app does with the same samples.

    Args:
        files: Of the package.
        instances: Their names.
        bindings: For each input the point of each instance.
        parameters: For each parameter the value of each instance.
    """
    whole = [
        GENERATOR,
        [[name, hashlib.sha256(files[name]).digest()] for name in sorted(files)],
        list(instances),
        [[name, list(points)] for name, points in bindings.items()],
        [[name, list(values)] for name, values in parameters.items()],
    ]
    return hashlib.sha256(msgpack.packb(whole)).digest()[:KEY_BYTES]
