"""What a kind of job is: a name, a handler, and the scopes that starting it needs. `assembly/jobs.py` has them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from attrs import define

from application.access.scopes import Scope
from application.errors import NotDone
from application.ports.persistence import Transaction
from domain.jobs.job import Job

MESSAGE: Final = "message"
SEED_ORDERS: Final = "seed_orders"
EXPORT: Final = "export"
IMPORT: Final = "import"
BULK: Final = "bulk"
RECONCILE: Final = "reconcile"
RECOVER_WEBHOOKS: Final = "recover_webhooks"
# The job of an order that was answered with 202. It has no row: the order itself says how far it is.
PLACE_ORDER: Final = "place_order"
# A change of an order that was not recorded yet when it was asked for.
CHANGE_ORDER: Final = "change_order"

# Each is done in a moment, and somebody waits for it.
SHORT_KINDS: Final = frozenset({MESSAGE, CHANGE_ORDER})

# The scopes that starting a job with these arguments needs.
JobNeeds = Callable[[Mapping[str, Any]], Sequence[Scope]]


def scopes_of(job: Job, needs: Mapping[str, JobNeeds]) -> Sequence[Scope]:
    """Return the scopes that starting this job needs. One of a kind that this release does not know needs `admin`."""
    return needs[job.kind](job.arguments) if job.kind in needs else [Scope.ADMIN]


@define
class Progress:
    """How far a job is. The worker reads it every few seconds."""

    done: int = 0
    total: int | None = None


class AttemptEnded(NotDone):
    """The job was cancelled, or another worker has it."""


async def hold(tx: Transaction, job: Job) -> None:
    """Keep the job as it is to the end of the transaction. Raise `AttemptEnded` if this attempt does not go on.

    A handler whose acts must end with the job holds it in the transaction of each. Without that, it learns of its end
    some seconds later.
    """
    found = (await tx.jobs.get_many({job.id}, lock=True)).get(job.id)
    if found is None or not found.is_in_hand(job):
        raise AttemptEnded(f"job {job.id} was cancelled, or another worker has it")


class JobHandler(Protocol):
    """Does the work of one kind of job.

    It may be called again for a job that it has done, after a crash, and while another worker that lost its lease is
    still at it. So its effects must be the same as those of one call: it uses the id of the job as the key of what it
    writes. It is cancelled when the worker stops, or when the job is cancelled.
    """

    async def __call__(self, job: Job, progress: Progress, /) -> Mapping[str, Any] | None:
        """Return what came of it, as JSON. Raise `DomainError` if another attempt would end in the same way."""
