"""The data path against its peers and limits.

    python -m benchmarks.data_path            # a table
    python -m benchmarks.data_path --json     # one JSON array of rows as the last line

To add a measurement: a function from `Setting` to rows in a module of its own, and a line
in `MEASUREMENTS`.
"""

from __future__ import annotations

from benchmarks import codec, edge_commits, hq_rows
from benchmarks.frame import Measurement, command

MEASUREMENTS = (
    Measurement("codec-bytes", codec.measure_bytes),
    Measurement("codec-encode", codec.measure_encode),
    Measurement("codec-decode", codec.measure_decode),
    Measurement("edge-commits", edge_commits.measure),
    Measurement("hq-rows", hq_rows.measure),
)

main = command("Measure the data path, each row against its peer in the same run.", MEASUREMENTS)

if __name__ == "__main__":
    main()
