"""The worker manager's tables: arguments in, rows out. SQL is in sql/*.sql, rules are in domain/."""
