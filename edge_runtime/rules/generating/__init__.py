"""Flat body to one portable Python function, and what it costs."""
