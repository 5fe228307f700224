"""Mechanism without business rules: what every service needs and none of them owns."""
