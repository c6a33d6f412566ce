"""What can be wrong with a rule source, said where it is wrong.

`RuleError` is an `InputError`: the author's fault. It is raised once with every `Fault`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edge_runtime.rules import limits
from edge_runtime.rules.reading.syntax import Span
from protocols.errors import InputError, Problem


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

    @classmethod
    def clipped(cls, span: Span, what: str, hint: str, line_text: str, file: str) -> Fault:
        """A mistake that is shown in bounded space, whatever the author wrote."""
        most = limits.FAULT_CHARS_MAX
        return cls(span, _clipped(what, most), _clipped(hint, most), line_text[: span.column + most], file)

    def __str__(self) -> str:
        """The mistake with its source line and a mark under the place."""
        line, column = self.span.line, self.span.column
        place = f"{self.file}:{line}:{column}" if self.file else f"line {line}, column {column}"
        left_out = max(0, column - limits.FAULT_CHARS_MAX)
        shown = self.line_text.replace("\t", " ")[left_out:]
        width = max(1, min(self.span.end - left_out, len(shown) + 1) - (column - left_out))
        mark = " " * (column - left_out - 1) + "^" * width
        lines = [f"{place}: {self.what}", f"    {shown}", f"    {mark}"]
        if self.hint:
            lines.append(f"    {self.hint}")
        return "\n".join(lines)


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


@dataclass(frozen=True, slots=True)
class SourceProblem(Problem):
    """A mistake among other problems; printed with its source line.

    Args:
        fault: The mistake.
    """

    fault: Fault

    def __str__(self) -> str:
        return str(self.fault)


def as_problem(fault: Fault) -> SourceProblem:
    """A mistake in the form of all problems.

    >>> as_problem(Fault(Span(2, 5, 6), "expected BOOL, got INT", "", "x := 1;", "a.st")).place
    'line 2, column 5'
    """
    place = f"line {fault.span.line}, column {fault.span.column}"
    expected = f"{fault.what}; {fault.hint}" if fault.hint else fault.what
    line = fault.line_text.strip()
    return SourceProblem(fault.file, place, line, expected.removeprefix("expected "), fault)


class RuleError(InputError):
    """A source has mistakes.

    Args:
        faults: All that were found, in the order of the source.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.span))
        super().__init__([as_problem(fault) for fault in self.faults])
