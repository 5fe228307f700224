"""The orchestrator's routes, one module for each resource: decode, call, encode."""
