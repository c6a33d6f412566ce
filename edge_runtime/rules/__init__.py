"""Rule programs: Structured Text, checked, bounded, and run alike on three runtimes.

`docs/rules-reference.md` defines the language. The way of a source: `parse` (text to syntax
tree), `check` (names, types, units), `flatten` (one body without calls), `quality` and
`optimise`, `generate` (portable Python), `running` (columns and state on CPython).
"""

from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.lowering.flat import EventSite
from edge_runtime.rules.program import BOARD, SMALL_BOARD, Budget, Column, Program, compile_program
from edge_runtime.rules.reading.errors import Fault, RuleError
from edge_runtime.rules.running.runner import Event, Runner

__all__ = [
    "BOARD",
    "SMALL_BOARD",
    "Budget",
    "Column",
    "Event",
    "EventSite",
    "Fault",
    "Program",
    "RuleError",
    "Runner",
    "Type",
    "compile_program",
]
