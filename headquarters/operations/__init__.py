"""Looking after a running headquarters: metrics, alerts, capacity, versions, bundles for support."""
