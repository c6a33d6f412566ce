"""Put the rows of a benchmark into docs/performance.md.

    python -m benchmarks.data_path --json | tail -1 | python -m benchmarks.report
    python -m benchmarks.rules --json | tail -1 | python -m benchmarks.report rules

The table between the two markers is replaced, and the machine named that this runs on.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"


def machine() -> str:
    """The machine in one sentence."""
    cpu = _after(Path("/proc/cpuinfo"), "model name")
    memory_gb = int(_after(Path("/proc/meminfo"), "MemTotal").split()[0]) / 2**20
    return (
        f"{cpu}, {os.cpu_count()} logical cores, {memory_gb:.0f} GB, Linux {platform.release()}, "
        f"Python {platform.python_version()}."
    )


def results(rows: list[dict[str, Any]]) -> str:
    """The table, a row a figure."""
    lines = ["| what | figure | against | ratio | goal | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        figure = f"{row['value']:,.4g} {row['unit']}"
        met = {True: "yes", False: "**no**", None: ""}[row["meets"]]
        goal = row["goal"] or ""
        lines.append(f"| {row['name']} | {figure} | {row['against']} | {row['ratio']:.3g} | {goal} | {met} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Rewrite the document from standard input."""
    text = DOCUMENT.read_text(encoding="utf-8")
    name = sys.argv[1] if len(sys.argv) > 1 else "results"
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if not found:
        sys.exit(f"expected a line {begin.strip()!r} in {DOCUMENT}")
    table = results(json.loads(sys.stdin.read()))
    DOCUMENT.write_text(f"{before}{begin}\n{machine()}\n\n{table}\n{end}{after}", encoding="utf-8")


def _after(path: Path, name: str) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"


if __name__ == "__main__":
    main()
