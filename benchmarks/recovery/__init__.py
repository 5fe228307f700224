"""How soon the platform is back after each kind of fault, and what the fault cost: `make bench-recovery`."""
