"""`holdfast migrate` and `holdfast seed`: what a new database needs."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from entrypoints.cli.common import Data, command_settings, with_engine, with_use_cases
from entrypoints.cli.output import say, tell
from entrypoints.cli.progress import ShownProgress
from entrypoints.settings import InvalidSettings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from application.assembly.use_cases import UseCases
    from entrypoints.settings import Settings


def migrate(
    *,
    expand: Annotated[
        bool,
        Parameter(negative="", help="Before a rollout: only add, so that the release before goes on beside this one."),
    ] = False,
    contract: Annotated[
        bool, Parameter(negative="", help="After it: take away what only earlier releases need. None may be at work.")
    ] = False,
    data: Data = None,
) -> None:
    if expand and contract:
        raise InvalidSettings("--expand is for before a rollout, and --contract for after it; for both, name neither")
    settings = command_settings(data=data)
    from adapters.sql import migrate as migrating

    async def work(engine: "AsyncEngine") -> None:
        progress = ShownProgress()
        if contract:
            done = await migrating.contract(engine, progress=progress)
            tell(f"finished {', '.join(done)}" if done else "there is nothing to take away")
        else:
            applied = await (migrating.expand if expand else migrating.migrate)(engine, progress=progress)
            tell(f"applied {', '.join(applied)}" if applied else "the tables are up to date")
        if not settings.database_url:
            await _make_ledger(settings, engine)
        if settings.amqp_url:
            await _declare_queues(settings.amqp_url, settings.namespace, remove_former=not expand)

    with_engine(settings, work, new=not (expand or contract))


async def _make_ledger(settings: "Settings", engine: "AsyncEngine") -> None:
    """A shop in one folder has its ledger there, too. On servers, a worker makes it."""
    from adapters.sql.shop import shop_id
    from entrypoints.payment_providers import open_provider

    async with open_provider(settings, new=True) as provider:
        shop = await shop_id(engine)
        if shop is not None:
            await provider.file.claim(shop)


async def _declare_queues(url: str, namespace: str, *, remove_former: bool) -> None:
    from adapters.rabbitmq.declaring import declare_topology, remove_former_queues, remove_old_bindings
    from adapters.rabbitmq.topology import Topology
    from application.errors import Misconfigured, Trouble

    try:
        await declare_topology(url, Topology(namespace))
        left: list[str] = []
        if remove_former:
            await remove_old_bindings(url, Topology(namespace))
            left = await remove_former_queues(url, Topology(namespace))
    except Misconfigured:
        # No waiting mends that, so that the command fails.
        raise
    except Trouble as error:
        # The command succeeds all the same: worker and relay declare the queues as soon as the broker is there.
        say(f"the queues are not declared yet, worker and relay will declare them: {error}")
    else:
        tell("the queues are declared")
        if left:
            say(
                f"{len(left)} queues of an earlier release still have messages, which return to their work queue by"
                f" themselves: run `holdfast migrate` again in a minute, to remove {', '.join(left)}"
            )


def seed(*, data: Data = None) -> None:
    from application.access.principal import the_system
    from domain.catalogue.product import Product
    from entrypoints.demo import CATALOGUE

    async def work(use_cases: "UseCases") -> None:
        outcomes = await use_cases.add_products(the_system("holdfast seed"), CATALOGUE)
        added = [outcome for outcome in outcomes if isinstance(outcome, Product)]
        tell(f"added {len(added)} products, {len(outcomes) - len(added)} were there already")

    with_use_cases(command_settings(data=data), work)
