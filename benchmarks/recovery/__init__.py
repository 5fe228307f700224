"""Measures how soon the platform recovers from each kind of fault, and the damage: `make bench-recovery`."""
