"""`holdfast migrate` and `holdfast seed`: what a new database needs."""

from typing import TYPE_CHECKING

from entrypoints.cli.common import Data, command_settings, say, with_container, with_tables

if TYPE_CHECKING:
    from entrypoints.container import Container


def migrate(*, data: Data = None) -> None:
    settings = command_settings(data=data)
    from adapters.sql.migrate import migrate as migrate_tables

    async def work(container: "Container") -> None:
        applied = await migrate_tables(container.engine())
        print(f"applied {', '.join(applied)}" if applied else "the tables are up to date")
        if settings.amqp_url:
            await _declare_queues(settings.amqp_url, settings.namespace)

    with_container(settings, work)


async def _declare_queues(url: str, namespace: str) -> None:
    from adapters.rabbitmq.topology import Topology, declare_topology
    from application.errors import Unavailable

    try:
        await declare_topology(url, Topology(namespace))
    except Unavailable as error:
        # The command succeeds all the same: worker and relay declare the queues as soon as the broker is there.
        say(f"the queues are not declared yet, worker and relay will declare them: {error}")
    else:
        print("the queues are declared")


def seed(*, data: Data = None) -> None:
    from domain.catalogue.product import Product
    from entrypoints.demo import CATALOGUE

    async def work(container: "Container") -> None:
        outcomes = await container.add_products()(CATALOGUE, made_by="holdfast seed")
        added = [outcome for outcome in outcomes if isinstance(outcome, Product)]
        print(f"added {len(added)} products, {len(outcomes) - len(added)} were there already")

    with_tables(command_settings(data=data), work)
