"""The orchestrator's rules: pure functions and one aggregate. They do no I/O; clocks and random numbers are passed
in."""
