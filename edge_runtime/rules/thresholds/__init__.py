"""Threshold tables, for those who do not program: lowered to Structured Text."""
