"""Pure rules of placement, queue, leases and explanations: no I/O, no clock of their own, schemas only."""
