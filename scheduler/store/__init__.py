"""The scheduler's tables: arguments in, rows out. SQL stands in sql/*.sql, rules in domain/."""
