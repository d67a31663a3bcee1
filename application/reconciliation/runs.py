"""A run of the consistency check, as it is asked for and kept: a job, and a file with what it has found."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self
from uuid import UUID

from attrs import asdict, evolve, frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.jobs.files import whole_file
from application.jobs.kinds import RECONCILE
from application.ports.audit import Caller
from application.ports.files import StoredFile
from application.ports.persistence import Transaction
from application.reconciliation.discrepancies import Discrepancy
from domain.errors import DomainError
from domain.ids import JobId
from domain.jobs.job import Job

# The file with a line for each discrepancy, written when the run is done, and what a repair has found before it began.
DISCREPANCIES: Final = "discrepancies"
FOUND: Final = "found"
# What a repair does, in part or in whole.
REPAIR_NEEDS: Final = (Scope.RECONCILE, Scope.ORDERS_WRITE, Scope.PAYMENTS_WRITE, Scope.REFUNDS_WRITE)


class UnknownReconciliation(DomainError):
    """There is no such run, or what it has found was removed some time after its end."""

    code = "unknown_reconciliation"


class NothingToRepair(DomainError):
    """The run has found nothing whose repair is safe, or has not ended yet."""

    code = "nothing_to_repair"


@frozen(kw_only=True)
class Finding:
    """A discrepancy as it is kept. `outcome` is what a repair has done about it; without one, it is left."""

    about: str
    order_id: str | None
    what: str
    remedy: str | None
    outcome: str | None = None

    @classmethod
    def of(cls, discrepancy: Discrepancy) -> Self:
        order_id = None if discrepancy.order_id is None else str(discrepancy.order_id)
        remedy = None if discrepancy.remedy is None else discrepancy.remedy.value
        return cls(about=discrepancy.about, order_id=order_id, what=discrepancy.what, remedy=remedy)

    @property
    def as_found(self) -> "Finding":
        """Without what was done about it: so two of them are compared."""
        return evolve(self, outcome=None)


@frozen(kw_only=True)
class RunRequest:
    """A run. With `repairs`, what is safe to repair is repaired: of those that the run `of` has found, or all."""

    by: Caller
    repairs: bool = False
    of: JobId | None = None

    @classmethod
    def in_job(cls, arguments: Mapping[str, Any]) -> "RunRequest":
        of = None if arguments["of"] is None else JobId(UUID(arguments["of"]))
        return cls(by=Caller(**arguments["by"]), repairs=arguments["repairs"], of=of)

    def arguments(self) -> dict[str, Any]:
        return {"by": asdict(self.by), "repairs": self.repairs, "of": None if self.of is None else str(self.of)}


@frozen(kw_only=True)
class Result:
    """What came of a run: how many discrepancies of each kind there are, and are left. `whole`: it saw everything."""

    found: Mapping[str, int]
    left: Mapping[str, int]
    # How many of those that are left can be repaired, and how many were repaired.
    repairable: int
    repaired: int
    whole: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self, value_serializer=lambda _, __, value: dict(value) if isinstance(value, Mapping) else value)


def lines_of(findings: Sequence[Finding]) -> bytes:
    return "".join(f"{json.dumps(asdict(each), ensure_ascii=False)}\n" for each in findings).encode()


async def findings_in(tx: Transaction, file: StoredFile) -> list[Finding]:
    content = await whole_file(tx, file.job_id, file.name)
    return [Finding(**json.loads(line)) for line in content.splitlines()]


def existing(job: Job | None, id_: JobId) -> Job:
    """Raise `UnknownReconciliation`."""
    if job is None or job.kind != RECONCILE:
        raise UnknownReconciliation(f"there is no run {id_} of the consistency check: it never was, or it was removed")
    return job


def expect_may_repair(by: Principal) -> None:
    """Raise `Forbidden`."""
    for scope in REPAIR_NEEDS:
        by.expect(scope)
