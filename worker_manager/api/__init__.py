"""The worker manager's routes, one module per resource: decode, call, encode."""
