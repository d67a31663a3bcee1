from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Delete,
    Executable,
    FromClause,
    Insert,
    Select,
    String,
    Table,
    Text,
    bindparam,
    column,
    func,
    insert,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from adapters.sql.dialects.base import SqlDialect
from adapters.sql.dialects.on_conflict import InsertsOnConflict
from adapters.sql.dialects.postgresql.connections import PostgresConnections
from adapters.sql.dialects.postgresql.driver import Asyncpg
from adapters.sql.dialects.postgresql.errors import PostgresErrors
from adapters.sql.dialects.postgresql.mark import LINEAGE, MARK
from adapters.sql.dialects.postgresql.signal import PostgresOutboxSignal


@frozen
class ArrayRows:
    """Each column is sent as an array, so that one prepared statement serves every size of a batch."""

    def list_type(self, item: TypeEngine[Any]) -> TypeEngine[Any]:
        # A cast to VARCHAR(16)[] would truncate a too long value. As text, such a value is refused by the column.
        return ARRAY(Text() if isinstance(item, String) else item)

    def new(self, columns: Sequence[Column[Any]]) -> FromClause:
        values = [bindparam(_parameter(each.name), type_=self.list_type(each.type)) for each in columns]
        named = [column(each.name, each.type) for each in columns]
        return func.unnest(*values).table_valued(*named, name="new").render_derived()

    def parameters(self, names: Sequence[str], columns: Sequence[list[Any]]) -> dict[str, Any]:
        return {_parameter(name): values for name, values in zip(names, columns, strict=True)}

    def look_up(self, new: FromClause, matching: Select[Any]) -> Select[Any]:
        # The limit keeps the server from scanning the whole table for the join. A connection that planned the statement
        # while the table was new would keep such a plan.
        one = matching.correlate(new).limit(1).lateral("one")
        return select(*one.c).select_from(new.join(one, true()))


def _parameter(name: str) -> str:
    # SQLAlchemy reserves the name of the column itself for the parameters of an INSERT or UPDATE.
    return f"new_{name}"


@frozen
class PostgresInserts(InsertsOnConflict):
    def into_all(
        self, new: FromClause, first: Table, others: Mapping[Table, Sequence[str]], *, also: Sequence[Insert] = ()
    ) -> Sequence[Executable]:
        # All tables are written in one round trip, and the shared columns are sent once.
        inserting = insert(first).from_select(list(new.c.keys()), select(new))
        names = dict.fromkeys(name for shared in others.values() for name in shared)
        kept = inserting.returning(*(first.c[name] for name in names)).cte("kept")
        *more, last = (
            insert(other).from_select(list(shared), select(*(kept.c[name] for name in shared)))
            for other, shared in others.items()
        )
        # Its result is the number of rows, which the others have, too.
        return [last.add_cte(*(each.cte(f"also_{number}") for number, each in enumerate([*also, *more])))]


# Milliseconds.
_VACUUM_GIVES_WAY_WITHIN: Final = 5000


@frozen
class AdvisoryLocks:
    try_each = text(
        "SELECT id FROM (SELECT id, pg_try_advisory_xact_lock(id) AS taken FROM unnest(CAST(:ids AS bigint[])) AS id)"
        " AS tried WHERE taken"
    ).bindparams(bindparam("ids", type_=ARRAY(BigInteger())))
    # Its function returns nothing that a driver could read.
    wait_for = text("SELECT 1 FROM pg_advisory_xact_lock(:id)").bindparams(bindparam("id", type_=BigInteger()))
    # A writer locks the table before it takes a position, and releases it after its commit can be seen. A
    # transaction that has only read, or has written elsewhere, is not among them, however long it has been open.
    writers = (
        text(
            "SELECT coalesce(string_agg(virtualtransaction, ' '), '') AS writers,"
            # An identity column is written without a right to its sequence.
            " (SELECT CASE WHEN has_sequence_privilege(id, 'USAGE, SELECT') THEN pg_sequence_last_value(id) END FROM"
            " CAST(pg_get_serial_sequence(CAST(:table AS text), CAST(:column AS text)) AS regclass) AS id) AS last"
            " FROM pg_locks"
            " WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted"
            " AND relation = CAST(CAST(:table AS text) AS regclass)"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND pid IS DISTINCT FROM pg_backend_pid()"
        )
        .bindparams(bindparam("table", type_=Text()), bindparam("column", type_=Text()))
        .columns(column("writers", Text()), column("last", BigInteger()))
    )
    # Any number that no other application uses; this is "holdfast" in ASCII.
    migrating = text(f"SELECT pg_try_advisory_lock({int.from_bytes(b'holdfast', 'big')})")

    def without_vacuum(self, tables: Sequence[str]) -> Sequence[str]:
        if not tables:
            return []
        # Nobody who reads or writes rows waits for this lock, and an automatic vacuum gives way to it after
        # `deadlock_timeout`, which is a second by default. The lock that a change of a table needs keeps out everybody.
        return [
            f"SET LOCAL lock_timeout = {_VACUUM_GIVES_WAY_WITHIN}",
            f"LOCK TABLE {', '.join(tables)} IN SHARE UPDATE EXCLUSIVE MODE",
            "SET LOCAL lock_timeout TO DEFAULT",
        ]


@frozen
class SynchronousCommit:
    _OFF = select(func.set_config("synchronous_commit", "off", true())).scalar_subquery() == "off"
    must_last = text(
        "SELECT set_config(name, reset_val, true) FROM pg_settings"
        " WHERE name = 'synchronous_commit' AND setting = 'off'"
    )

    def need_not_last(self, delete: Delete) -> Delete:
        # The setting is part of the statement, which saves a round trip.
        return delete.where(self._OFF)


@frozen
class PostgresExpressions:
    def among(self, value: str, values: str) -> str:
        return f"{value} = ANY ({values})"

    def json_rows(self, columns: str) -> str:
        return f"CAST(json_agg(json_build_array({columns})) AS text)"

    def from_now(self, seconds: str) -> str:
        # Not now(), which is the time when the transaction began: it may have waited for locks since then.
        return f"clock_timestamp() + make_interval(secs => {seconds})"


_UNSAFE_SETTINGS: Final = """
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
   OR name = 'server_encoding' AND setting <> 'UTF8'
ORDER BY name
"""
# Without the text of the query, which may contain data. Of other users' sessions the server tells neither the state nor
# since when: they count when thousands of transactions were begun after them.
_HOLDING_BACK_VACUUM: Final = """
WITH sessions AS (
    SELECT *, greatest(age(backend_xmin), age(backend_xid)) AS age FROM pg_stat_activity
    WHERE (datname = current_database() OR datname IS NULL) AND backend_type IS DISTINCT FROM 'autovacuum worker'
)
SELECT format(
        'session %s of user %s, application_name %L, %s',
        pid, usename, application_name, coalesce(state, 'in a transaction')
    ) AS holder, xact_start AS since
FROM sessions
WHERE age IS NOT NULL AND pid <> pg_backend_pid()
    AND (xact_start < clock_timestamp() - interval '1 min' OR (xact_start IS NULL AND age > 10000))
UNION ALL
SELECT format('prepared transaction %L of user %s', gid, owner), prepared FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - interval '1 min'
UNION ALL
SELECT format('replication slot %s, which nobody reads', slot_name), NULL FROM pg_replication_slots
WHERE NOT active AND xmin IS NOT NULL
ORDER BY since NULLS LAST LIMIT 5
"""


# Every user sees the names of all sessions. Up to revision 0028, the name was without a revision.
_SESSIONS: Final = """
SELECT coalesce(substring(application_name FROM '/([0-9]{4})$'), '') AS revision, application_name AS name,
    coalesce(host(client_addr), '') AS place
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND (application_name ~ '/[0-9]{4}$' OR application_name = 'holdfast')
ORDER BY 1, 2, 3
"""


_REPLICATION: Final = """
SELECT current_setting('synchronous_standby_names') AS names,
       count(*) AS standbys,
       count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS synchronous,
       count(*) FILTER (WHERE sync_state IS NULL) AS hidden
FROM pg_stat_replication
WHERE state IS NULL OR state IN ('streaming', 'catchup')
"""

POSTGRESQL: Final = SqlDialect(
    name="PostgreSQL",
    version="SHOW server_version",
    may="coalesce(has_table_privilege(CAST(to_regclass(need.name) AS oid), need.privilege), false)",
    holding_back_vacuum=_HOLDING_BACK_VACUUM,
    unsafe_settings=_UNSAFE_SETTINGS,
    sessions=_SESSIONS,
    replication=_REPLICATION,
    transactional_ddl=True,
    suspend_foreign_keys=None,
    # All in one statement, which locks them all.
    empty=lambda tables: [f"TRUNCATE {', '.join(tables)}"],
    # A row that is rolled back would fit into a page that is there already. By default, every user may make temporary
    # tables, and two sessions don't wait for each other because of their names.
    take_page=text("CREATE TEMPORARY TABLE holdfast_room AS SELECT 1 AS one"),
    moment=DateTime(timezone=True),
    connections=PostgresConnections(),
    driver=Asyncpg(),
    errors=PostgresErrors(),
    rows=ArrayRows(),
    inserts=PostgresInserts(postgresql.insert),
    locks=AdvisoryLocks(),
    durability=SynchronousCommit(),
    expressions=PostgresExpressions(),
    mark=MARK,
    lineage=LINEAGE,
    signal=PostgresOutboxSignal,
)
