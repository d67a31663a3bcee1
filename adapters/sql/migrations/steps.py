"""What a migration does outside of its own transaction, so that a large table can be used meanwhile.

A migration names such steps in `before_upgrade` or `before_contract`. They are done one after the other before its
function of that name, and may be done again from the beginning: each finds what is done already.
"""

# ruff: noqa: S608 - all names and conditions are our own

import asyncio
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any, Final, Protocol

from attrs import frozen
from sqlalchemy import Connection, text

from adapters.sql.migrator import Migrator

# Rows that are changed in one transaction. Who needs one of them waits for the others.
_BATCH: Final = 1000
# Seconds until rows that others have locked are looked at again.
_LOCKED_PAUSE: Final = 0.1


class Step(Protocol):
    async def __call__(self, migrator: Migrator, /) -> None:
        """Raise `Aborted` after a long time in which others' locks were in the way."""


@frozen(kw_only=True)
class BuildIndex:
    """An index of a table that is written to meanwhile, as CREATE INDEX CONCURRENTLY has it."""

    name: str
    table: str
    columns: Sequence[str]
    unique: bool = False
    where: str | None = None

    async def __call__(self, migrator: Migrator, /) -> None:
        migrator.progress(f"index {self.name}", 0, 1)
        if migrator.is_alone:
            await migrator.in_transaction(lambda connection: connection.exec_driver_sql(self._create("IF NOT EXISTS")))
        else:
            await migrator.patiently(lambda: self._build(migrator))
        migrator.progress(f"index {self.name}", 1, 1)

    async def _build(self, migrator: Migrator) -> None:
        is_whole = await migrator.once(self._is_whole)
        if is_whole:
            return
        # It waits for every transaction that was open before. That may take longer than any timeout for locks, and
        # nobody waits behind it.
        statements = ["SET lock_timeout = 0"]
        if is_whole is not None:
            # Left over from an attempt that failed; it would never be used.
            statements.append(f"DROP INDEX CONCURRENTLY {self.name}")
        await migrator.outside_of_transactions([*statements, self._create("CONCURRENTLY")])

    def _is_whole(self, connection: Connection) -> bool | None:
        """None: there is none."""
        found = connection.execute(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": self.name}
        )
        is_whole: bool | None = found.scalar()
        return is_whole

    def _create(self, how: str) -> str:
        where = f" WHERE {self.where}" if self.where else ""
        unique = "UNIQUE " if self.unique else ""
        return f"CREATE {unique}INDEX {how} {self.name} ON {self.table} ({', '.join(self.columns)}){where}"


@frozen(kw_only=True)
class FillRows:
    """`UPDATE table SET values WHERE condition`, in batches along the key, with a pause after each as long as it took.

    Rows that others have locked are left for later, so nobody waits for more than one batch. Rows that are added
    meanwhile may be missed: what an earlier release still adds is filled by the same step in `before_contract`.
    """

    table: str
    values: str
    condition: str
    key: str = "id"
    batch: int = _BATCH

    async def __call__(self, migrator: Migrator, /) -> None:
        what = f"rows of {self.table}"
        total = await migrator.in_transaction(self._count)
        done, begin = 0, await migrator.in_transaction(self._first)
        while begin is not None:
            began = monotonic()
            end = await migrator.in_transaction(partial(self._end, begin))
            fill = partial(self._fill, migrator.is_alone, begin, end)
            while not await migrator.in_transaction(fill):  # noqa: ASYNC110 - others' locks end without an event
                await asyncio.sleep(_LOCKED_PAUSE)
            done, begin = done + self.batch, end
            migrator.progress(what, total if end is None else min(done, total), total)
            if not migrator.is_alone:
                await asyncio.sleep(monotonic() - began)

    def _count(self, connection: Connection) -> int:
        return int(connection.execute(text(f"SELECT count(*) FROM {self.table}")).scalar_one())

    def _first(self, connection: Connection) -> Any:
        """The first key; None if there is no row."""
        # Not min(): PostgreSQL has none of a UUID.
        return connection.execute(text(f"SELECT {self.key} FROM {self.table} ORDER BY {self.key} LIMIT 1")).scalar()

    def _end(self, begin: Any, connection: Connection) -> Any:
        """The first key after the batch; None if it is the last one."""
        following = f"SELECT {self.key} FROM {self.table} WHERE {self.key} >= :begin ORDER BY {self.key}"
        return connection.execute(text(f"{following} LIMIT 1 OFFSET {self.batch}"), {"begin": begin}).scalar()

    def _fill(self, is_alone: bool, begin: Any, end: Any, connection: Connection) -> bool:  # noqa: FBT001 - see `partial`
        """Fill the batch. Return whether nothing of it is left."""
        until, keys = (
            ("", {"begin": begin}) if end is None else (f" AND {self.key} < :end", {"begin": begin, "end": end})
        )
        due = f"SELECT {self.key} FROM {self.table} WHERE {self.key} >= :begin{until} AND ({self.condition})"
        # As an update locks them, so that nobody waits who only refers to a row.
        free = due if is_alone else f"{due} ORDER BY {self.key} FOR NO KEY UPDATE SKIP LOCKED"
        connection.execute(text(f"UPDATE {self.table} SET {self.values} WHERE {self.key} IN ({free})"), keys)
        return connection.execute(text(f"{due} LIMIT 1"), keys).first() is None


@frozen(kw_only=True)
class ValidateCheck:
    """Look whether the rows that are there meet a check that an earlier migration has added with `change_check`."""

    table: str
    name: str

    async def __call__(self, migrator: Migrator, /) -> None:
        if migrator.is_alone:
            # It was looked at when the table was made anew.
            return
        migrator.progress(f"check {self.name}", 0, 1)
        await migrator.in_transaction(
            lambda connection: connection.exec_driver_sql(f"ALTER TABLE {self.table} VALIDATE CONSTRAINT {self.name}")
        )
        migrator.progress(f"check {self.name}", 1, 1)
