"""Rule programs: Structured Text, checked, bounded, and run alike on three runtimes.

`docs/rules-reference.md` defines the language. The way of a source, a folder a stage:
`reading` (text to syntax tree), `checking` (names, types, units), `lowering` (one body without
calls), `generating` (portable Python); `program` goes it. `running` has columns and state,
`models` ONNX graphs, `thresholds` tables, `apps` whole apps; `library` is Structured Text.
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
