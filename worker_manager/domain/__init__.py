"""The worker manager's rules, without I/O."""
