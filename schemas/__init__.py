"""The contract: REST models, events, subjects, states and ids. Only pydantic and the standard library; no I/O."""
