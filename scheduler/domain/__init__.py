"""Pure rules of placement, queue, leases and explanations: no I/O, no clock, no imports but schemas."""
