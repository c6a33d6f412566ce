"""Portable wire formats: the same files run on CPython and on MicroPython."""
