"""`holdfast why`: where an order stands, what it waits for, and how it came there."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from cyclopts import Parameter

from application.access.principal import SYSTEM
from application.durations import in_words
from application.orders.legs import IN_WORDS
from domain.ids import OrderId
from entrypoints.cli.common import Data, command_settings, say, tell, with_container

if TYPE_CHECKING:
    from application.orders.explain_order import Explained, Step
    from entrypoints.container import Container

_WIDEST = 200


def why(order_id: Annotated[UUID, Parameter(help="Id of the order.")], /, *, data: Data = None) -> None:
    async def work(container: "Container") -> None:
        from entrypoints.heartbeat import missing

        explained = await container.use_cases().explain_order(SYSTEM, OrderId(order_id))
        _print(explained)
        waits_for = explained.standing.waits_for
        if waits_for in missing(await container.heartbeats().all()):
            say(f"no {waits_for} is at work: start one with `holdfast {waits_for}`")

    with_container(command_settings(data=data), work)


def _print(explained: "Explained") -> None:
    order, standing = explained.order, explained.standing
    tell(f"{order.status.value}, version {order.version}, since {order.updated_at:%Y-%m-%d %H:%M:%S} UTC")
    tell(f"{standing.because}; {standing.next}")
    for each in explained.beside:
        tell(each)
    tell()
    tell(_LINE.format("UTC", "AFTER", "STEP"))
    for step, after in zip(explained.steps, _spans(explained.steps), strict=True):
        legs = ", ".join(f"{IN_WORDS[leg.name]} {in_words(leg.took)}" for leg in step.legs)
        what = step.what[:_WIDEST] + (f" ({legs})" if legs else "")
        tell(_LINE.format(f"{step.at:%Y-%m-%d %H:%M:%S}", after, what))


_LINE = "{:19}  {:>12}  {}"


def _spans(steps: "Sequence[Step]") -> list[str]:
    """The time from each step to the next; none before the first."""
    return ["", *(in_words(later.at - earlier.at) for earlier, later in pairwise(steps))]
