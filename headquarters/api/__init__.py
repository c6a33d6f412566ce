"""The API under `/api/v1`: everything that the portal and the command line do to data and fleet.

Rules:
1. Every route names its permission through `needs`, or is one of the few that are `PUBLIC`.
2. What a route gives is what a view or service gives; nothing is worked out here.
3. Errors are problem documents (RFC 9457). What is not seen is not found.
4. What changes something is audited, whether it was done, refused or failed.
"""
