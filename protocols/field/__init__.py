"""Field drivers: how values come from devices."""
