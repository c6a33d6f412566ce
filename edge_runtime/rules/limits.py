"""The bounds of rule programs, each with its reason."""

SOURCE_CHARS_MAX = 1 << 20
"""A source: some 30,000 lines, ten times the largest program that anybody should maintain."""

LINE_CHARS_MAX = 20_000
"""A line: a long list of labels. The longest line is what the reading of a text literal may cost."""

TOKENS_MAX = 250_000
"""Words and signs of a source: 30,000 lines of eight."""

NAME_CHARS_MAX = 100
"""A name: those of blocks within blocks are joined, and the whole is shown to people."""

FAULTS_MAX = 25
"""Mistakes in form that are shown at once: what follows is mostly their echo."""

MEANING_FAULTS_MAX = 100
"""Mistakes in names, types and units that are shown at once: nobody reads on."""

FAULT_CHARS_MAX = 300
"""What a fault says, and what it shows of a line: both may hold what the author wrote."""

NESTING_MAX = 40
"""Levels of parentheses and statements: Python's own parser takes 100, and inlining adds some. The
optimiser nests no deeper either where it puts a value in."""

STATEMENT_TOKENS_MAX = 4_000
"""Tokens without a `;`: a long list of labels; longer chains of operators would exhaust the stack."""

ARRAY_LENGTH_MAX = 10_000
"""Elements of an array: 80 kB an instance."""

ELEMENTS_MAX = 200_000
"""Elements of all arrays that a source declares: more than the state may hold."""

CALL_DEPTH_MAX = 12
"""Blocks within blocks and functions within functions."""

STATEMENTS_MAX = 20_000
"""Statements of a program after all its blocks and functions are put in: about 1 MB of generated code."""

AHEAD_MAX = 500
"""Statements over which the optimiser follows a value to its reader: its work grows with a program's
length, and not with the square of it."""

VARIABLES_MAX = 50_000
"""Variables of a program with those of all its blocks and functions: blocks in blocks multiply."""

LOOP_TURNS_MAX = 100_000
"""Turns of one loop."""

OPERATIONS_MAX = 200_000
"""Operations of one scan of one instance, when a package states no budget: some 10 ms on a gateway."""

BYTECODE_BYTES_MAX = 16_384
"""Byte code of a step function for a board: that is how far a jump back of MicroPython reaches."""

STATE_BYTES_MAX = 1 << 20
"""State of one instance, when a package states no budget."""

TEXT_CHARS_MAX = 500
"""A text literal: an alarm's message."""

TEXTS_MAX = 10_000
"""Different texts of a program; their index travels in 16 bits."""

EVENT_SITES_MAX = 10_000
"""Places of a program that can emit; their codes (two each) travel in 16 bits."""

assert TEXTS_MAX < 1 << 15
assert 2 * EVENT_SITES_MAX < 1 << 15
assert ARRAY_LENGTH_MAX <= LOOP_TURNS_MAX  # a loop over any array fits
