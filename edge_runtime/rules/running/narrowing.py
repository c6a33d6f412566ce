"""The generated function for the calls that a runtime really makes: the same steps with fewer sums.

The function as written serves any rows of any instances. Who always calls it for all instances,
for one row or for one instance says so in its loops, and nothing else of it changes:

    for r in range(r0, r1):            for r in range(r0, r1):
        b = r * ni                         b = r * ni
        for k in range(k0, k1):   ->       for k in range(k0, k1):     one row: cell j is instance k
            j = b + k                          o0[k] = i0[k]
            o0[j] = i0[j]

Bit for bit the results are those of the function as written: only the numbers of cells are worked
out in another way.
"""

from __future__ import annotations

ROWS = "    for r in range(r0, r1):\n"
BEGIN = "        b = r * ni\n"
INSTANCES = "        for k in range(k0, k1):\n"
CELL = "            j = b + k\n"


def one_row(code: str) -> str:
    """For one row, the first, of all instances: a tenth less for a short rule in CPython."""
    head, loop, body = code.partition(INSTANCES + CELL)
    assert loop, "every step function has this loop"
    return f"{head}{INSTANCES}{body.replace('[j]', '[k]')}"


def all_instances(code: str) -> str:
    """For all instances: numba then knows that no index counts from the end, a fifth less."""
    assert INSTANCES in code, "every step function has this loop"
    return code.replace(INSTANCES, "        for k in range(0, k1):\n")


def one_instance(code: str) -> str:
    """For rows from the first on, of a single instance: half of the time under numba."""
    assert all(line in code for line in (ROWS, BEGIN, INSTANCES)), "every step function has these loops"
    rows = code.replace(ROWS, "    for r in range(0, r1):\n").replace(BEGIN, "        b = r\n")
    return rows.replace(INSTANCES, "        for k in range(0, 1):\n")
