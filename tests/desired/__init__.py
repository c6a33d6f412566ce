"""Desired and reported state, and roll-outs."""
