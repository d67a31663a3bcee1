"""Run by Alembic, in the transaction of the connection that `adapters.sql.migrate` hands over."""

from alembic import context

from adapters.sql.dialects.registry import dialect_of
from adapters.sql.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # Alembic itself believes that SQLite can't.
    transactional_ddl=dialect_of(connection.dialect).transactional_ddl,
)
context.run_migrations()
