"""The REST contract: the models that requests are validated with and responses are described by."""
