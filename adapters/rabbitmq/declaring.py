"""Declares the exchange and the queues in RabbitMQ, and looks whether they are there. Other code expects them to exist.

RabbitMQ closes the channel of a call that it refuses. So each call is made by itself, and one that is refused keeps no
other queue from being declared.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import aiormq
from attrs import define, field, frozen

from adapters.rabbitmq.connection import BrokerConnection, Timeouts
from adapters.rabbitmq.errors import Missing
from adapters.rabbitmq.topology import Topology
from application.errors import Misconfigured
from application.messaging.subscriptions import WORK_QUEUES

T = TypeVar("T")

# Seconds for one declaration: a cluster elects a leader for each quorum queue.
_DECLARE_TIMEOUT: Final = 60.0


async def declare_topology(url: str, topology: Topology) -> None:
    """Declare the missing exchange and queues. Repeated and concurrent calls are safe.

    Raise `Unavailable`. Raise `Misconfigured` after everything else is declared: it names all that was refused.
    """
    refused = []
    async with _asking(url, topology) as ask:
        for declare in _declarations(topology).values():
            try:
                await ask(declare)
            except Misconfigured as error:
                refused.append(str(error))
    if refused:
        raise Misconfigured("\n".join(refused))


async def topology_problems(url: str, topology: Topology) -> list[str]:
    """Say what is missing and what is of another kind than ours. Nothing is declared. Raise `Unavailable`."""
    problems = []
    async with _asking(url, topology) as ask:
        for name, declare in _declarations(topology).items():
            is_exchange = name == topology.exchange
            try:
                await ask(_looking(name, is_exchange=is_exchange))
                # It exists, so that this compares it with ours and makes nothing.
                await ask(declare)
            except Missing:
                what = "exchange" if is_exchange else "queue"
                problems.append(f"{what} {name} is missing: run `holdfast migrate`, or start a worker")
            except Misconfigured as error:
                problems.append(str(error))
    return problems


async def unconsumed(url: str, topology: Topology) -> list[str]:
    """Return our queues of work that nobody consumes. One that is missing is left out. Raise `Unavailable`."""
    found = []
    async with _asking(url, topology) as ask:
        for name in (topology.queue(work.name) for work in WORK_QUEUES):
            with suppress(Missing):
                if not (await ask(_looking(name, is_exchange=False))).consumer_count:
                    found.append(name)
    return found


async def of_another_kind(connection: BrokerConnection, queues: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return which of these queues have other arguments than these, and why. One that is missing is not made."""

    async def look(name: str, arguments: dict[str, Any]) -> str | None:
        ask = _Asking(connection)
        try:
            await ask(_looking(name, is_exchange=False))
            await ask(_declaring(name, arguments))
        except Missing:
            return None
        except Misconfigured as error:
            # A user may have the right to write to a queue, and none to declare it.
            return None if isinstance(error.__cause__, aiormq.ChannelAccessRefused) else str(error)
        await ask.close()
        return None

    # At once, since a connection that is just being opened is waited for.
    found = await asyncio.gather(*(look(name, arguments) for name, arguments in queues.items()))
    return {name: problem for name, problem in zip(queues, found, strict=True) if problem is not None}


async def remove_old_bindings(url: str, topology: Topology) -> None:
    """Remove the bindings through which earlier releases sent work to our queues. The queues must exist.

    While there is a binding, the queue gets work twice: by its name, and as an announcement. That changes nothing, and
    costs time. Processes of an earlier release need the bindings and make them again. Raise `Unavailable`.
    """
    async with _asking(url, topology) as ask:
        for work in WORK_QUEUES:
            for event in work.events:
                await ask(_unbinding(topology.queue(work.name), topology.exchange, event.type))


async def remove_former_queues(url: str, topology: Topology) -> list[str]:
    """Remove the empty queues of earlier releases. Return those that still have messages, which return by themselves.

    No worker of an earlier release may run: it declares them again, and a message that it puts there at this moment
    would be lost, and republished much later. Raise `Unavailable`.
    """
    left = []
    async with _asking(url, topology) as ask:
        for name in topology.former_queues:
            try:
                state = await ask(_looking(name, is_exchange=False))
            except Missing:
                continue
            if state.message_count:
                left.append(name)
            else:
                await ask(_removing(name, is_exchange=False))
    return left


@frozen
class Found:
    """An exchange or a queue of a namespace, and what would be lost or stopped with it."""

    name: str
    is_exchange: bool
    messages: int = 0
    consumers: int = 0


async def found_in(url: str, topology: Topology) -> list[Found]:
    """Return what there is of this namespace, also of earlier releases. Raise `Unavailable`."""
    found = []
    async with _asking(url, topology) as ask:
        for name in (topology.exchange, *topology.all_queues, *topology.former_queues):
            is_exchange = name == topology.exchange
            try:
                state = await ask(_looking(name, is_exchange=is_exchange))
            except Missing:
                continue
            counts = {} if is_exchange else {"messages": state.message_count, "consumers": state.consumer_count}
            found.append(Found(name, is_exchange, **counts))
    return found


async def remove(url: str, topology: Topology, found: Sequence[Found]) -> None:
    """Remove exchanges and queues with all that is in them. Raise `Unavailable`."""
    async with _asking(url, topology) as ask:
        for each in found:
            await ask(_removing(each.name, is_exchange=each.is_exchange))


async def empty_queues(url: str, topology: Topology) -> None:
    """Remove the messages that wait in our queues. What a consumer has already got goes on. Raise `Unavailable`."""
    async with _asking(url, topology) as ask:
        # First those whose messages return to a work queue by themselves.
        for name in (*topology.former_queues, *reversed(topology.all_queues)):
            with suppress(Missing):
                await ask(_emptying(name))


Call = Callable[[aiormq.Channel], Awaitable[T]]


def _declarations(topology: Topology) -> dict[str, Call[Any]]:
    def exchange(channel: aiormq.Channel) -> Awaitable[Any]:
        return channel.exchange_declare(topology.exchange, exchange_type="topic", durable=True)

    queues = topology.all_queues.items()
    return {topology.exchange: exchange, **{name: _declaring(name, arguments) for name, arguments in queues}}


def _declaring(name: str, arguments: dict[str, Any]) -> Call[Any]:
    return lambda channel: channel.queue_declare(name, durable=True, arguments=arguments)


def _unbinding(queue: str, exchange: str, key: str) -> Call[Any]:
    return lambda channel: channel.queue_unbind(queue, exchange, key)


def _looking(name: str, *, is_exchange: bool) -> Call[Any]:
    if is_exchange:
        return lambda channel: channel.exchange_declare(name, passive=True)
    return lambda channel: channel.queue_declare(name, passive=True)


def _emptying(queue: str) -> Call[Any]:
    return lambda channel: channel.queue_purge(queue)


def _removing(name: str, *, is_exchange: bool) -> Call[Any]:
    if is_exchange:
        return lambda channel: channel.exchange_delete(name)
    return lambda channel: channel.queue_delete(name)


@define(eq=False)
class _Asking:
    """Makes calls one after the other, on another channel once RabbitMQ has closed one."""

    _connection: BrokerConnection
    _channel: aiormq.Channel | None = field(default=None, init=False)

    async def __call__(self, call: Call[T]) -> T:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.underlay_channel()
        async with self._connection.talking(_DECLARE_TIMEOUT):
            return await call(self._channel)

    async def close(self) -> None:
        if self._channel is not None and not self._channel.is_closed:
            async with self._connection.talking(self._connection.timeouts.answer):
                await self._channel.close()


@asynccontextmanager
async def _asking(url: str, topology: Topology) -> AsyncGenerator[_Asking, None]:
    connection = await BrokerConnection.open(url, name=f"{topology.namespace} topology", timeouts=Timeouts())
    try:
        yield _Asking(connection)
    finally:
        await connection.close()
