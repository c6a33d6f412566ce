"""Rule programs on the gateway, at headquarters and on a board, against loops by hand and promises.

    python -m benchmarks.rules            # a table
    python -m benchmarks.rules --json     # one JSON array of rows as the last line

What each measurement does is in docs/performance.md.
"""

from __future__ import annotations

from benchmarks import rule_board, rule_columns, rule_crowd, rule_scans
from benchmarks.frame import Measurement, command

MEASUREMENTS = (
    Measurement("scans", rule_scans.measure),
    Measurement("crowd", rule_crowd.measure),
    Measurement("columns", rule_columns.measure),
    Measurement("board", rule_board.measure),
)

main = command("Measure rule programs on their three runtimes.", MEASUREMENTS)

if __name__ == "__main__":
    main()
