"""The generated function at work: columns and state on CPython, columns under numba."""
