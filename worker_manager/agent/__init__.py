"""The agent: one process that runs the executions of one worker. It needs only an outbound NATS connection."""
