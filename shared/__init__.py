"""Mechanism without business rules, which the services share."""
