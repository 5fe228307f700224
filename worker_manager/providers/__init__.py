"""Where workers come from: the port (`base`), and a module for each provider that implements it."""
