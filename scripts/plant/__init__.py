"""A plant to collect from: a simulated coal unit, or a table replayed, behind real servers.

The servers are foreign to the product: nothing here is imported by it. They keep their own
log of what they served when, and `scripts.judge` holds the lake against that log.
"""
