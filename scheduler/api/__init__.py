"""The scheduler's REST resources, one module each: decode, call, encode."""
