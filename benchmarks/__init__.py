"""Measurements, each against its peer or limit in the same run."""
