"""The JSON of runs of the consistency check."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from application.reconciliation.start import Reconciliation
from domain.jobs.job import JobStatus
from entrypoints.http.bodies.common import LookedThrough
from entrypoints.http.bodies.jobs import BrokenJobBody


class StartReconciliationBody(LookedThrough, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check has nothing to choose."""


class ReconciliationBody(Struct, frozen=True, kw_only=True):
    """A run, and what came of it: how many discrepancies of each kind were found, and are left. None until it is done.

    With `whole`, it saw everything. A repair of what another run has found names that run as `of`.
    """

    job_id: UUID
    by: str
    repairs: bool
    of: UUID | None
    status: JobStatus
    error: str | None
    found: dict[str, int] | None
    left: dict[str, int] | None
    repairable: int | None
    repaired: int | None
    whole: bool | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of_run(cls, run: Reconciliation) -> Self:
        job, result = run.job, run.result
        told: Mapping[str, Any] = {} if result is None else result
        return cls(
            job_id=job.id,
            by=run.request.by.key_id,
            repairs=run.request.repairs,
            of=run.request.of,
            status=job.status,
            error=job.error,
            **{name: told.get(name) for name in ("found", "left", "repairable", "repaired", "whole")},
            created_at=job.created_at,
            finished_at=job.finished_at,
        )


class ReconciliationsBody(Struct, frozen=True):
    items: list[ReconciliationBody]
    next: str | None
    # Those that belong to this page and can't be shown, if there are any.
    broken: list[BrokenJobBody] | UnsetType = UNSET
