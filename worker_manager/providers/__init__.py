"""Where workers come from: the port (`base`) and, one module each, what implements it."""
