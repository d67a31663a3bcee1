"""What `holdfast doctor` asks each server, and what it makes of the answers."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.hosts_in_urls import hosts_in
from adapters.sql.health import (
    expect_writable,
    holding_back_vacuum,
    refused_announcements,
    standby_problem,
    unsafe_settings,
)
from adapters.sql.health import server_version as database_version
from adapters.sql.heartbeats import SqlHeartbeats, provider_silence
from adapters.sql.lineage import SqlLineage
from adapters.sql.schema import schema_problem
from application.errors import Trouble, Unavailable
from application.messaging.subscriptions import INTAKE
from application.ports.payments import ProviderSilence
from entrypoints.alive import WORKER
from entrypoints.health import ServerHealth
from entrypoints.heartbeat import KINDS, missing
from entrypoints.room import expect_room
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from adapters.rabbitmq.management import QuorumQueue

# Seconds in which a server has to answer.
_TIMEOUT: Final = 3.0
# A node of RabbitMQ has few files left when one more shop would need more of them, or less than a fifth is left.
_FILES_OF_A_QUEUE: Final = 3
_FEW: Final = 0.2
# A queue with this many copies survives the loss of a node.
_QUORUM: Final = 3


async def examine(settings: Settings, engine: AsyncEngine) -> Sequence[ServerHealth]:
    """Ask every server how it is, all at once. Never raise."""

    async def database() -> str:
        version = await database_version(engine)
        problem = await schema_problem(engine)
        if problem is not None:
            raise Unavailable(problem)
        await expect_writable(engine)
        await expect_room(settings, engine)
        return version

    async def cache() -> str:
        if not settings.redis_url:
            return "none" if settings.cache_disabled or settings.database_url else "in this process"
        from adapters.redis.health import server_version  # noqa: PLC0415 - imported only where Redis is

        return await server_version(settings.redis_url)

    async def broker() -> str:
        if not settings.amqp_url:
            return "in the worker's process" if settings.database_url else "in this process"
        from adapters.rabbitmq.health import server_version  # noqa: PLC0415 - imported only where RabbitMQ is
        from adapters.rabbitmq.probe import BrokerProbe  # noqa: PLC0415 - as above
        from adapters.rabbitmq.topology import Topology  # noqa: PLC0415 - as above

        version = await server_version(settings.amqp_url)
        probe = BrokerProbe(settings.amqp_url, Topology(settings.namespace))
        try:
            await probe.expect_taking()
        finally:
            await probe.close()
        return version

    return await asyncio.gather(_ask("database", database), _ask("cache", cache), _ask("broker", broker))


async def warnings(settings: Settings, engine: AsyncEngine) -> list[str]:
    """Problems for which `doctor` does not fail. Never raise."""
    hosts = len(hosts_in(settings.database_url).hosts) if settings.database_url else 1
    try:
        async with asyncio.timeout(_TIMEOUT):
            holders = await holding_back_vacuum(engine)
            unsafe = await unsafe_settings(engine)
            if await schema_problem(engine) is not None:
                return [*unsafe.values()]
            heard = await SqlHeartbeats(engine).all()
            refused = await refused_announcements(engine)
            set_back = await _set_back(settings, engine)
            standby = await standby_problem(engine, hosts=hosts)
    except (TimeoutError, Trouble):
        return []
    return [
        *([] if set_back is None else [set_back]),
        *(
            f"no {kind} is at work, so {KINDS[kind]} wait: start one with `{_starts(settings, kind)}`"
            for kind in missing(heard)
        ),
        *_of_provider(provider_silence(heard)),
        *([] if standby is None else [standby]),
        *unsafe.values(),
        *_of_announcements(refused, f"{settings.namespace}.events"),
        *(
            f"removed rows can't be cleaned up, which slows every query down: end the {holder}, or wait for its end"
            for holder in holders
        ),
    ]


async def _set_back(settings: Settings, engine: AsyncEngine) -> str | None:
    """Why no program may start on this database, found as each program does at its start. None if they may."""
    problem = await SqlLineage(engine).problem()
    if problem is None or not settings.redis_url:
        return problem
    from adapters.redis.client import BadAddress, open_redis  # noqa: PLC0415 - imported only where Redis is
    from adapters.redis.last_heartbeat import RedisLastHeartbeat  # noqa: PLC0415 - as above

    # `examine` tells of an address that is wrong.
    with suppress(BadAddress):
        timeout = settings.redis_timeout.total_seconds()
        async with open_redis(settings.redis_url, timeout=timeout, connect_timeout=_TIMEOUT / 3) as redis:
            problem = await SqlLineage(engine, RedisLastHeartbeat(redis, settings.namespace)).problem()
    return problem


def _of_provider(silence: ProviderSilence | None) -> list[str]:
    if silence is None:
        return []
    found = f"the payment provider has not answered since {silence.since:%Y-%m-%d %H:%M:%S} UTC"
    advice = "orders wait for it, and go on by themselves when it answers"
    return [f"{found} (failed calls: {silence.failed_calls}): {advice}"]


def _starts(settings: Settings, kind: str) -> str:
    if not settings.database_url:
        return "holdfast up"
    return f"holdfast {kind if settings.amqp_url else WORKER}"


async def queue_problems(settings: Settings) -> list[str]:
    """Problems that keep messages from their queues, though RabbitMQ works. Never raise."""
    if not settings.amqp_url:
        return []
    from adapters.rabbitmq.declaring import topology_problems  # noqa: PLC0415 - imported only where RabbitMQ is
    from adapters.rabbitmq.topology import Topology  # noqa: PLC0415 - as above

    try:
        async with asyncio.timeout(_TIMEOUT):
            return await topology_problems(settings.amqp_url, Topology(settings.namespace))
    except TimeoutError:
        return [f"RabbitMQ did not say within {_TIMEOUT:g} s which queues there are"]
    except Unavailable:
        # `examine` says so.
        return []


async def unconsumed_queues(settings: Settings) -> list[str]:
    """Warn of queues of ours without a consumer: a worker may send heartbeats and not consume. Never raise."""
    if not settings.amqp_url:
        return []
    from adapters.rabbitmq.declaring import unconsumed  # noqa: PLC0415 - imported only where RabbitMQ is
    from adapters.rabbitmq.topology import Topology  # noqa: PLC0415 - as above

    try:
        async with asyncio.timeout(_TIMEOUT):
            names = await unconsumed(settings.amqp_url, Topology(settings.namespace))
    except (TimeoutError, Unavailable):
        # `queue_problems` and `examine` say so.
        return []
    return [
        f"nobody consumes {name}, so what is in it waits: start a worker with `holdfast worker`, or look into the log"
        " of the one that runs"
        for name in names
    ]


async def cache_warnings(settings: Settings) -> list[str]:
    """What Redis may lose that is kept nowhere else. Never raise."""
    if not settings.redis_url:
        return []
    from adapters.redis.health import eviction_problem  # noqa: PLC0415 - imported only where Redis is

    try:
        problem = await eviction_problem(settings.redis_url)
    except Unavailable:
        # `examine` says so.
        return []
    return [] if problem is None else [problem]


async def broker_warnings(settings: Settings) -> list[str]:
    """What RabbitMQ will soon lack. Never raise."""
    if not settings.amqp_management_url:
        return []
    from adapters.rabbitmq import management  # noqa: PLC0415 - imported only where RabbitMQ is
    from adapters.rabbitmq.connection import virtual_host_of  # noqa: PLC0415 - as above
    from adapters.rabbitmq.topology import Topology  # noqa: PLC0415 - as above

    topology, host = Topology(settings.namespace), virtual_host_of(settings.amqp_url)
    try:
        nodes = await management.files_of_nodes(settings.amqp_management_url)
        lost = await management.partitions(settings.amqp_management_url)
        queues = await management.quorum_queues(settings.amqp_management_url, host, topology.all_queues)
        policies = await management.lossy_policies(settings.amqp_management_url, host, topology.all_queues)
    except Unavailable as error:
        return [str(error)]
    orders = (topology.queue(INTAKE.name), topology.later(INTAKE.name))
    of_a_shop = _FILES_OF_A_QUEUE * len(topology.all_queues)
    few = [node for node in nodes if node.left < max(of_a_shop, node.most * _FEW)]
    return [
        *_of_partitions(lost),
        *_of_policies(policies),
        *_of_queues(queues, nodes=len(nodes), orders=orders),
        *(
            f"{node.node} of RabbitMQ has {node.open} of {node.most} files open: at the limit it opens no connection"
            " and no queue, of any shop. Raise the limit of open files of its service, or take away shops that are"
            " gone, with `holdfast remove-namespace`"
            for node in few
        ),
    ]


def _of_partitions(lost: Mapping[str, Sequence[str]]) -> list[str]:
    """What `pause_minority` does not heal: a node that stood still for a while, as a virtual machine that is moved."""
    if not lost:
        return []
    # The one that most others have lost.
    alone = max(sorted(lost), key=lambda node: (sum(node in others for others in lost.values()), len(lost[node])))
    restart = " and ".join(f"`rabbitmqctl -n {alone} {command}`" for command in ("stop_app", "start_app"))
    others = ", ".join(lost[alone])
    return [f"{alone} of RabbitMQ has lost {others}, and does not join them again by itself. Restart it: {restart}"]


def _of_policies(policies: Mapping[str, Sequence[str]]) -> list[str]:
    if not policies:
        return []
    name, set_ = next(iter(policies.items()))
    found = f"a policy of RabbitMQ sets {', '.join(set_)} for {len(policies)} queues, such as {name}"
    harm = "it may remove messages that nobody has processed, accepted orders among them"
    return [f"{found}: {harm}. See `rabbitmqctl list_policies`, and let its pattern leave these queues out"]


def _of_queues(queues: Sequence["QuorumQueue"], *, nodes: int, orders: tuple[str, str]) -> list[str]:
    """What the loss of a node would stop. `orders` are the queue of orders, and the one that they take instead."""
    if nodes < _QUORUM:
        return []
    found = []
    if few := [queue.name for queue in queues if queue.members < _QUORUM]:
        found.append(
            f"of {len(few)} queues, such as {few[0]}, RabbitMQ has fewer than {_QUORUM} copies, and a node that dies"
            " stops them: `rabbitmq-queues grow NODE all`"
        )
    if away := [queue.name for queue in queues if queue.online < queue.members]:
        found.append(f"of {len(away)} queues, such as {away[0]}, a copy is not online: see to the nodes of RabbitMQ")
    leaders = {queue.name: queue.leader for queue in queues}
    if len(queues) > 1 and len(set(leaders.values())) == 1:
        found.append(
            f"all queues are led by {queues[0].leader}, which does all the work, and all wait when it dies:"
            " `rabbitmq-queues rebalance quorum`"
        )
    elif len({leaders.get(name, name) for name in orders}) == 1:
        both = "|".join(map(re.escape, orders))
        found.append(
            f"{' and '.join(orders)} are led by one node, {leaders[orders[0]]}: when it dies with the primary of the"
            " database, no order is accepted for some seconds. This parts them:"
            f" `rabbitmq-queues rebalance quorum --queue-pattern '^({both})$'`"
        )
    return found


def _of_announcements(refused: tuple[int, datetime] | None, exchange: str) -> list[str]:
    if refused is None:
        return []
    count, since = refused
    found = f"announcements have been refused by the broker since {since:%Y-%m-%d %H:%M:%S}, {count} wait"
    advice = "See which with `rabbitmqctl list_bindings` and `rabbitmqctl list_queues name messages arguments`"
    return [f"{found}: a queue that is bound to {exchange} rejects them. {advice}"]


async def _ask(name: str, version: Callable[[], Awaitable[str]]) -> ServerHealth:
    try:
        async with asyncio.timeout(_TIMEOUT):
            return ServerHealth(name=name, version=await version(), problem=None)
    except TimeoutError:
        problem = f"gave no answer within {_TIMEOUT:g} s; is it overloaded, or behind a firewall?"
    except Unavailable as error:
        problem = str(error)
    return ServerHealth(name=name, version=None, problem=problem)
