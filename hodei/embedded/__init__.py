"""The real servers that `hodei up` and the tests run by themselves: PostgreSQL and NATS, from Python wheels.

Nothing here knows about jobs. Each server is a child that cannot outlive us: see keeper.py.
"""
