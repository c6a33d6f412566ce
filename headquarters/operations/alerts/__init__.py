"""Alerts: rules over metrics, a pure evaluator, their store, and delivery by mail and webhook."""
