"""`holdfast why`: where an order stands, what it waits for, and how it came there."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from cyclopts import Parameter

from application.access.principal import SYSTEM
from application.durations import in_words
from application.orders.legs import IN_WORDS
from domain.errors import UnknownOrder
from domain.ids import OrderId
from entrypoints.cli.common import CommandError, Data, command_settings, with_container
from entrypoints.cli.output import say, tell

if TYPE_CHECKING:
    from application.orders.explain_order import Explained, Step
    from entrypoints.container import Container
    from entrypoints.settings import Settings

_WIDEST = 200


def why(order_id: Annotated[UUID, Parameter(help="Id of the order.")], /, *, data: Data = None) -> None:
    async def work(container: "Container") -> None:
        from entrypoints.heartbeat import missing

        try:
            explained = await container.use_cases().explain_order(SYSTEM, OrderId(order_id))
        except UnknownOrder as error:
            raise CommandError(f"{error}{await _unless_it_waits(settings)}") from None
        _print(explained)
        waits_for = explained.standing.waits_for
        if waits_for in missing(await container.heartbeats().all()):
            say(f"no {waits_for} is at work: start one with `holdfast {waits_for}`")

    settings = command_settings(data=data)
    with_container(settings, work)


async def _unless_it_waits(settings: "Settings") -> str:
    """What to say of an order that is not found: nobody can look into the intake queue."""
    from application.errors import Unavailable
    from application.messaging.subscriptions import INTAKE
    from entrypoints.cli.status import queue_states

    try:
        intake = next((each for each in await queue_states(settings) if each.name == INTAKE.name), None)
    except Unavailable as error:
        return f" among those that are recorded. It may wait in the intake queue, which can't be asked now: {error}"
    if intake is None or not (intake.problem or intake.ready + intake.later):
        return ""
    waiting = intake.problem or f"{intake.ready + intake.later} wait there"
    return (
        f" among those that are recorded. It may be an accepted order in the intake queue ({waiting}), into which"
        " nobody can look: a worker records them all"
    )


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
