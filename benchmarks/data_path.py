"""The data path against its peers and limits.

    python -m benchmarks.data_path            # a table
    python -m benchmarks.data_path --json     # one JSON array of rows as the last line

To add a measurement: a function from `Setting` to rows in a module of its own, and a line
in `MEASUREMENTS`. What each does is in docs/performance.md.
"""

from __future__ import annotations

from benchmarks import (
    chain,
    codec,
    edge_commits,
    gateway_load,
    gateway_start,
    hq_rows,
    hub_batches,
    lake_growth,
    latency,
)
from benchmarks.frame import Measurement, command

MEASUREMENTS = (
    Measurement("codec-bytes", codec.measure_bytes),
    Measurement("codec-encode", codec.measure_encode),
    Measurement("codec-decode", codec.measure_decode),
    Measurement("edge-commits", edge_commits.measure),
    Measurement("hub-batches", hub_batches.measure),
    Measurement("hq-rows", hq_rows.measure),
    Measurement("chain", chain.measure),
    Measurement("latency", latency.measure),
    Measurement("gateway-start", gateway_start.measure),
    Measurement("gateway-load", gateway_load.measure),
    Measurement("lake-growth", lake_growth.measure),
)

main = command("Measure the data path, each row against its peer in the same run.", MEASUREMENTS)

if __name__ == "__main__":
    main()
