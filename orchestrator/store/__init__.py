"""The orchestrator's tables: arguments in, rows out. The SQL is in sql/*.sql, the rules in domain/."""
