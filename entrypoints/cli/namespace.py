"""`holdfast remove-namespace`: takes the queues and the exchange of a shop away."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from entrypoints.cli.common import CommandError, command_settings
from entrypoints.cli.output import tell

if TYPE_CHECKING:
    from adapters.rabbitmq.declaring import Found


def remove_namespace(
    *, yes: Annotated[bool, Parameter(negative="", help="Remove them, with all messages in them.")] = False
) -> None:
    settings = command_settings()
    if not settings.amqp_url:
        raise CommandError("AMQP_URL is not set: without RabbitMQ, the queues end with the process")
    import asyncio

    asyncio.run(_remove(settings.amqp_url, settings.namespace, yes=yes))


async def _remove(url: str, namespace: str, *, yes: bool) -> None:
    from adapters.rabbitmq.declaring import found_in, remove
    from adapters.rabbitmq.topology import Topology

    topology = Topology(namespace)
    found = await found_in(url, topology)
    if not found:
        tell(f"there is nothing of the namespace {namespace}")
        return
    if not yes:
        for each in found:
            tell(_line(each))
        raise CommandError("nothing was removed: add --yes to remove all of this, with the messages in it")
    busy = [each.name for each in found if each.consumers]
    if busy:
        raise CommandError(f"nothing was removed: stop the workers first, which consume {', '.join(busy)}")
    await remove(url, topology, found)
    tell(f"removed {len(found)} exchanges and queues of the namespace {namespace}")


def _line(found: "Found") -> str:
    if found.is_exchange:
        return f"exchange {found.name}"
    contents = f"NOT EMPTY: {found.messages} messages" if found.messages else "empty"
    return f"queue    {found.name}  {contents}" + (f", {found.consumers} consumers" if found.consumers else "")
