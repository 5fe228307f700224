"""What the platform reaches, beside what the machine could: `make bench` prints one table."""
