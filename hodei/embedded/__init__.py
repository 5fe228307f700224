"""The servers that `hodei up` and the tests start themselves: PostgreSQL and NATS, from Python wheels.

This package knows nothing about jobs. Each server is a child process that cannot outlive this one: see keeper.py.
"""
