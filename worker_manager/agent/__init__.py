"""The agent: one process that runs executions for one worker and needs nothing but an outbound NATS connection."""
