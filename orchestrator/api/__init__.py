"""The orchestrator's routes, one module per resource: decode, call, encode."""
