"""Typed tree to one flat body without calls: quality by dependence, less work, bounds of values."""
