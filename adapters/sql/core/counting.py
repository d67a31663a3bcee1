from typing import Any

from sqlalchemy import Select, func, literal_column, select


def count_of(found: Select[Any], most: int) -> Select[Any]:
    """Return the statement that counts what is found, up to a number, at which it stops reading.

    The number is written into the statement. Of a limit that is a parameter, PostgreSQL expects a tenth of the table.
    """
    return select(func.count()).select_from(found.limit(literal_column(str(most))).subquery("found"))
