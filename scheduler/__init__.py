"""The scheduler decides when and where tasks run. It holds the queue, knows the workers, and places tasks on them."""
