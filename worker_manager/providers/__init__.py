"""Where workers come from: the provider interface (`base`), and one module for each implementation."""
