"""The real servers that `hodei up` and the tests run by themselves: PostgreSQL and NATS, from Python wheels.

Nothing here knows about jobs. Each server is a child process that cannot outlive this one: see keeper.py.
"""
