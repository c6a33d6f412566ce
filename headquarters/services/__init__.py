"""Services over the lake, each with its own door: queries."""
