"""Syntax tree to typed tree: names, types, units, constants and the turns of loops."""
