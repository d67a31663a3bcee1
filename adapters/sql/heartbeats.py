"""Who is at work: each worker and relay writes every few seconds that it is there, by the clock of the database.

A worker also writes how its calls to the payment provider go.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Executable, Row, bindparam, delete, literal, or_, select, true
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.expressions import FromNow
from adapters.sql.core.transaction import TransactionBlock, one_transaction
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.shop import heartbeats
from application.payments.provider_calls import silence_of
from application.ports.payments import ProviderReport, ProviderSilence

# Seconds after which a process that writes no more is forgotten. Until then, a person can see what has died, and when.
_KEPT: Final = 86_400
# Seconds for which its report on the payment provider counts.
_COUNTS: Final = 20.0
_NOTHING_TO_REPORT: Final = ProviderReport()


@frozen
class Heartbeat:
    """The last that was heard of a process: its kind, its own name, and seconds since then.

    `age` is None if it was heard of in the future: the clock of the database was set back, and nothing is known of it.
    """

    kind: str
    instance: str
    age: float | None
    report: ProviderReport = _NOTHING_TO_REPORT


_ALL: Final = select(*heartbeats.c, FromNow(literal(0)).label("now")).order_by(heartbeats.c.kind, heartbeats.c.instance)
_FORGET: Final = delete(heartbeats).where(
    or_(heartbeats.c.seen_at < FromNow(literal(-_KEPT)), heartbeats.c.seen_at > FromNow(literal(0)))
)
_END: Final = delete(heartbeats).where(
    heartbeats.c.kind == bindparam("is_kind"), heartbeats.c.instance == bindparam("is_instance")
)


_SEEN: Final = select(heartbeats.c.seen_at).where(
    heartbeats.c.kind == bindparam("is_kind"), heartbeats.c.instance == bindparam("is_instance")
)


_TOLD: Final = ("seen_at", "provider_answered_at", "provider_silent_since", "provider_failed_calls")


@cache
def _forget(dialect: SqlDialect) -> Executable:
    # Nobody waits for the disk because of a heartbeat.
    return dialect.durability.need_not_last(_FORGET)


@cache
def _beat(dialect: SqlDialect) -> Executable:
    return dialect.inserts.upsert(
        heartbeats,
        {
            "kind": bindparam("is_kind"),
            "instance": bindparam("is_instance"),
            "seen_at": FromNow(literal(0)),
            "provider_answered_at": bindparam("answered_at"),
            "provider_silent_since": bindparam("silent_since"),
            "provider_failed_calls": bindparam("failed_calls"),
        },
        key=[heartbeats.c.kind, heartbeats.c.instance],
        changes=lambda new: {name: new[name] for name in _TOLD},
        where=lambda _: true(),
    )


@frozen
class SqlHeartbeats:
    """Raise `Trouble`: the database can't be reached, or can't be written."""

    engine: AsyncEngine

    async def beat(self, kind: str, instance: str, report: ProviderReport = _NOTHING_TO_REPORT) -> None:
        async with one_transaction(self.engine, writing=True) as block:
            await block.change(_forget(block.dialect))
            await block.change(
                _beat(block.dialect),
                {
                    "is_kind": kind,
                    "is_instance": instance,
                    "answered_at": report.answered_at,
                    "silent_since": report.silent_since,
                    "failed_calls": report.failed_calls,
                },
            )

    async def end(self, kind: str, instance: str) -> None:
        """Forget a process that stops in order: nobody is missing."""
        async with one_transaction(self.engine, writing=True) as block:
            await block.change(_END, {"is_kind": kind, "is_instance": instance})

    async def seen(self, block: TransactionBlock, kind: str, instance: str) -> datetime | None:
        """The last heartbeat of a process, by the clock of the database."""
        rows = await block.fetch(_SEEN, {"is_kind": kind, "is_instance": instance})
        return rows[0].seen_at if rows else None

    async def all(self) -> list[Heartbeat]:
        async with one_transaction(self.engine, writing=False) as block:
            rows = await block.fetch(_ALL)
        ages = [(row.now - row.seen_at).total_seconds() for row in rows]
        return [
            Heartbeat(row.kind, row.instance, age if age >= 0 else None, _report(row))
            for row, age in zip(rows, ages, strict=True)
        ]


def provider_silence(heard: Sequence[Heartbeat]) -> ProviderSilence | None:
    """As those report it that are at work."""
    return silence_of([each.report for each in heard if each.age is not None and each.age < _COUNTS])


def _report(row: Row[Any]) -> ProviderReport:
    return ProviderReport(
        answered_at=row.provider_answered_at,
        silent_since=row.provider_silent_since,
        failed_calls=row.provider_failed_calls or 0,
    )
