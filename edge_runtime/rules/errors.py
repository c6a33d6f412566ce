"""What can be wrong with a rule source, said where it is wrong.

`RuleError` is an `InputError`: the author's fault. It is raised once with every `Fault`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edge_runtime.rules.syntax import Span
from protocols.errors import InputError


class Fault(NamedTuple):
    """One mistake.

    Args:
        span: Where.
        what: What is wrong: expected and found.
        hint: What to do; may be empty.
        line_text: The source line it stands in.
        file: The source's name, or empty.
    """

    span: Span
    what: str
    hint: str = ""
    line_text: str = ""
    file: str = ""

    def __str__(self) -> str:
        """The mistake with its source line and a mark under the place."""
        line, column = self.span.line, self.span.column
        place = f"{self.file}:{line}:{column}" if self.file else f"line {line}, column {column}"
        shown = self.line_text.replace("\t", " ")
        width = max(1, min(self.span.end, len(shown) + 1) - column)
        lines = [f"{place}: {self.what}", f"    {shown}", "    " + " " * (column - 1) + "^" * width]
        if self.hint:
            lines.append(f"    {self.hint}")
        return "\n".join(lines)


class RuleError(InputError):
    """A source has mistakes.

    Args:
        faults: All that were found, in the order of the source.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.span))
        super().__init__([])
        self.args = ("\n".join(str(fault) for fault in self.faults),)
