"""Benchmarks of the platform beside the machine's own limits: `make bench` prints one table."""
