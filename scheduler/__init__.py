"""The scheduler: when and where. It holds what waits, knows the workers, and decides which of them runs what."""
