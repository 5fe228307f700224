"""The worker manager: how work is run. It starts workers, hands executions to them, and records how each ended."""
