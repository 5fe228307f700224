"""Exports NATS's own metrics to Prometheus, from the JSON of its monitoring endpoint."""
