"""The tables as the code of this version expects them. Migrations bring a database here; a test compares the two."""

# Each adds its tables to `metadata`.
from adapters.sql.tables import (  # noqa: F401
    access,
    catalogue,
    dead_letters,
    events,
    feed,
    jobs,
    orders,
    shop,
    webhooks,
)
from adapters.sql.tables.base import metadata

__all__ = ["metadata"]
