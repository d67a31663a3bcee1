"""Jobs, and what they write: messages and files."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from adapters.sql.core.types import Id, UtcDateTime
from adapters.sql.tables.base import metadata, one_of
from application.jobs.kinds import CHANGE_ORDER
from domain.jobs.job import FINISHED, JobStatus
from domain.jobs.job import WAITING as WAITING_JOBS

JOB_WAITING: Final = text(one_of("status", WAITING_JOBS - {JobStatus.SCHEDULED}))
JOB_SCHEDULED: Final = text(one_of("status", {JobStatus.SCHEDULED}))
# Those that are EXECUTING, and no others. For a status, PostgreSQL may take `jobs_by_status`, where a look walks over
# all that were done while vacuum is held back.
JOB_LEASED: Final = text("leased_until IS NOT NULL")
JOB_FINISHED: Final = text("finished_at IS NOT NULL")

# Changes of orders that wait for their turn.
JOB_CHANGES: Final = text(f"kind = '{CHANGE_ORDER}' AND finished_at IS NULL")

# Work for later. What has ended is removed after some time. A worker looks at the three stretches of `jobs_due`,
# `jobs_scheduled` and `jobs_leased` whose time has come, and walks past nothing that was done.
jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", Id, nullable=False),
    Column("kind", String(64), nullable=False),
    # JSON.
    Column("arguments", Text, nullable=False),
    Column("order_id", Id),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("error", Text),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    # JSON.
    Column("result", Text),
    Column("available_at", UtcDateTime, nullable=False),
    Column("leased_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    PrimaryKeyConstraint("id", name="jobs_pk"),
    CheckConstraint(one_of("status", JobStatus), name="jobs_status_is_known"),
    CheckConstraint(f"({one_of('status', FINISHED)}) = (finished_at IS NOT NULL)", name="jobs_end_once"),
    Index("jobs_due", "available_at", "id", postgresql_where=JOB_WAITING, sqlite_where=JOB_WAITING),
    Index("jobs_scheduled", "available_at", "id", postgresql_where=JOB_SCHEDULED, sqlite_where=JOB_SCHEDULED),
    Index("jobs_leased", "leased_until", "id", postgresql_where=JOB_LEASED, sqlite_where=JOB_LEASED),
    Index("jobs_finished", "finished_at", postgresql_where=JOB_FINISHED, sqlite_where=JOB_FINISHED),
    Index("jobs_changes", "order_id", postgresql_where=JOB_CHANGES, sqlite_where=JOB_CHANGES),
    # A page of a list is a stretch of one of these, read backwards.
    Index("jobs_by_time", "created_at", "id"),
    Index("jobs_by_status", "status", "created_at", "id"),
    Index("jobs_by_kind", "kind", "created_at", "id"),
    Index("jobs_by_kind_and_status", "kind", "status", "created_at", "id"),
)

messages: Final = Table(
    "messages",
    metadata,
    Column("id", Id, nullable=False),
    Column("order_id", Id),
    Column("content", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("id", name="messages_pk"),
    Index("messages_by_time", "created_at", "id"),
    Index("messages_by_order", "order_id", "created_at", "id"),
)

# What exports have written and imports were given, for all processes: they share no disk. A file is its parts, each
# compressed; `start` and `length` are in bytes of the file itself.
files: Final = Table(
    "files",
    metadata,
    Column("job_id", Id, nullable=False),
    Column("name", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    # JSON.
    Column("state", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("job_id", "name", name="files_pk"),
    Index("files_by_time", "changed_at"),
)

file_parts: Final = Table(
    "file_parts",
    metadata,
    Column("job_id", Id, nullable=False),
    Column("name", String(16), nullable=False),
    Column("start", BigInteger, nullable=False, autoincrement=False),
    Column("length", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("job_id", "name", "start", name="file_parts_pk"),
)
