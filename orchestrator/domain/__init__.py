"""The orchestrator's rules: pure functions and one aggregate, without I/O, clocks or chance of their own."""
