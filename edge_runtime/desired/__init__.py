"""The gateway's side of desired state: compare, apply, report."""

ACCEPTED = "data/desired/accepted"
"""The document in force, within the home; see `accepted`."""
