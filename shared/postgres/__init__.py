"""PostgreSQL: pool, transactions, named queries, migrations, the leader's lock. Only this package imports `asyncpg`.

Other packages import from here; the modules inside are private.
"""

from shared.postgres.connection import Connection, Record
from shared.postgres.database import Database, Runner
from shared.postgres.errors import Broken
from shared.postgres.fields import FieldColumn, columns_of, from_row
from shared.postgres.leader import Leadership
from shared.postgres.migrations import migrate
from shared.postgres.named import (
    Column,
    Described,
    Rows,
    Selected,
    UnknownParameter,
    narrowed_by,
    with_rows,
    with_values,
)
from shared.postgres.pages import Page
from shared.postgres.queries import load_queries
from shared.postgres.statements import Call, joined, narrowed
from shared.postgres.transaction import Block, Transaction, retry_deadlock

__all__ = [
    "Block",
    "Broken",
    "Call",
    "Column",
    "Connection",
    "Database",
    "Described",
    "FieldColumn",
    "Leadership",
    "Page",
    "Record",
    "Rows",
    "Runner",
    "Selected",
    "Transaction",
    "UnknownParameter",
    "columns_of",
    "from_row",
    "joined",
    "load_queries",
    "migrate",
    "narrowed",
    "narrowed_by",
    "retry_deadlock",
    "with_rows",
    "with_values",
]
