"""Rule programs: Structured Text, checked, bounded, and run alike on three runtimes.

`docs/rules-reference.md` defines the language. The way of a source: `parse` (text to syntax
tree), `check` (names, types, units), `flatten` (one body without calls), `generate`
(portable Python), `running` (columns and state on the runtime at hand).
"""
