"""Looking after headquarters: alerts, capacity, versions, bundles."""
