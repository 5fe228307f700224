"""NATS's own numbers for Prometheus: its monitoring endpoint speaks JSON, Prometheus does not."""
