"""Every row of the table of the cluster."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tests.integration.faults.cluster.cluster import PROGRAMS, Cluster
from tests.integration.faults.cluster.members import Member, Postgres
from tests.integration.faults.cluster.restore import back_up, restored
from tests.integration.faults.cluster.row import Row
from tests.service import until

# Seconds until Patroni has promoted a standby: its `ttl` and some more.
_PROMOTES_WITHIN: Final = 60.0
# Seconds until a small database is restored on one node and copied to the others, and all programs are started.
_RESTORED_WITHIN: Final = 90.0
# Seconds in which the term of a primary that can't be renewed is over: its `ttl`, and as much again.
_LONGER_THAN_A_TERM: Final = 40.0
# For the pause between two restarts, and for a look at what is new.
_A_WHILE: Final = 12.0


async def _promoted(cluster: Cluster, old: Postgres) -> None:
    await _another_is_primary(cluster, old)
    # So that what follows is seen as well.
    await asyncio.sleep(_A_WHILE)


async def _another_is_primary(cluster: Cluster, old: Postgres) -> None:
    async def is_another() -> bool:
        return cluster.primary is not old

    await until(is_another, seconds=_PROMOTES_WITHIN, what="Patroni promotes a standby")


async def _primary_where_orders_are_queued(cluster: Cluster) -> None:
    """The worst case: with the machine of the primary dies the leader of the queue for orders."""
    node = await asyncio.to_thread(cluster.leader_of, "holdfast.intake")
    to = next(member for member in cluster.postgres if member.machine is node.machine)
    if to is cluster.primary:
        return

    async def is_primary() -> bool:
        return cluster.primary is to

    await asyncio.to_thread(cluster.switch_over, to)
    await until(is_primary, seconds=_PROMOTES_WITHIN, what="Patroni has switched over")
    await cluster.whole()


@asynccontextmanager
async def _primary_killed(cluster: Cluster) -> AsyncIterator[None]:
    old = cluster.primary
    await asyncio.to_thread(old.kill)
    await _promoted(cluster, old)
    yield
    await asyncio.to_thread(old.start)


@asynccontextmanager
async def _primary_frozen(cluster: Cluster) -> AsyncIterator[None]:
    old = cluster.primary
    await asyncio.to_thread(old.freeze)
    await _promoted(cluster, old)
    yield
    await asyncio.to_thread(old.thaw)


@asynccontextmanager
async def _primary_and_all_who_know_it_killed(cluster: Cluster) -> AsyncIterator[None]:
    """No program is left that could tell the new primary from a restored backup. Redis is."""
    old = cluster.primary
    for machine in cluster.service_machines:
        for program in PROGRAMS:
            await asyncio.to_thread(cluster.process(machine, program).kill)
    await asyncio.to_thread(old.kill)
    await _another_is_primary(cluster, old)
    for machine in cluster.service_machines:
        await asyncio.to_thread(cluster.start, machine, *PROGRAMS)
    for machine in cluster.service_machines:
        await cluster.ready(machine)
    yield
    await asyncio.to_thread(old.start)


@asynccontextmanager
async def _cable_pulled(cluster: Cluster) -> AsyncIterator[None]:
    old = cluster.primary
    await asyncio.to_thread(cluster.network.pull, old.machine)
    await _promoted(cluster, old)
    yield
    await asyncio.to_thread(cluster.network.heal)


@asynccontextmanager
async def _primary_apart(cluster: Cluster) -> AsyncIterator[None]:
    """The other servers don't reach the machine of the primary. The service still does."""
    old = cluster.primary
    others = [machine for machine in cluster.machines if machine is not old.machine]
    await asyncio.to_thread(cluster.network.keep_apart, [old.machine], others)
    await _promoted(cluster, old)
    yield
    await asyncio.to_thread(cluster.network.heal)


@asynccontextmanager
async def _switched_over(cluster: Cluster) -> AsyncIterator[None]:
    old = cluster.primary
    names = await cluster.synchronous()
    to = next(member for member in cluster.standbys if member.machine.name in names)
    await asyncio.to_thread(cluster.switch_over, to)
    await _promoted(cluster, old)
    yield


@asynccontextmanager
async def _standby_frozen(cluster: Cluster) -> AsyncIterator[None]:
    names = await cluster.synchronous()
    standby = next(member for member in cluster.standbys if member.machine.name in names)
    await asyncio.to_thread(standby.freeze)
    yield
    await asyncio.to_thread(standby.thaw)


async def _each_restarted(cluster: Cluster, members: list[Member]) -> None:
    for member in members:
        await asyncio.to_thread(member.restart)
        await cluster.whole()
        await asyncio.sleep(_A_WHILE / 4)


@asynccontextmanager
async def _postgres_restarted(cluster: Cluster) -> AsyncIterator[None]:
    """The standbys first, and then the primary."""
    await _each_restarted(cluster, [*cluster.standbys, cluster.primary])
    yield


@asynccontextmanager
async def _rabbitmq_restarted(cluster: Cluster) -> AsyncIterator[None]:
    await _each_restarted(cluster, [*cluster.rabbitmq])
    yield


@asynccontextmanager
async def _etcd_restarted(cluster: Cluster) -> AsyncIterator[None]:
    await _each_restarted(cluster, [*cluster.etcd])
    yield


@asynccontextmanager
async def _etcd_without_majority(cluster: Cluster) -> AsyncIterator[None]:
    """Nobody can be elected, and nobody can prove any more that it was."""
    async with _killed(cluster.etcd[1:]):
        yield


@asynccontextmanager
async def _etcd_gone(cluster: Cluster) -> AsyncIterator[None]:
    """As without a majority, and nobody is there to say so."""
    async with _killed(cluster.etcd):
        yield


@asynccontextmanager
async def _killed(members: Sequence[Member]) -> AsyncIterator[None]:
    for member in members:
        await asyncio.to_thread(member.kill)
    yield
    for member in members:
        await asyncio.to_thread(member.start)


@asynccontextmanager
async def _queue_leader_killed(cluster: Cluster) -> AsyncIterator[None]:
    node = await asyncio.to_thread(cluster.leader_of, "holdfast.payments")
    await asyncio.to_thread(node.kill)
    yield
    await asyncio.to_thread(node.start)


@asynccontextmanager
async def _queue_leader_frozen(cluster: Cluster) -> AsyncIterator[None]:
    node = await asyncio.to_thread(cluster.leader_of, "holdfast.payments")
    await asyncio.to_thread(node.freeze)
    yield
    await asyncio.to_thread(node.thaw)
    await cluster.rejoined(node)


@asynccontextmanager
async def _queue_leader_apart(cluster: Cluster) -> AsyncIterator[None]:
    """Only its RabbitMQ suffers: etcd and PostgreSQL of the machine are stopped before, if they lead."""
    node = await asyncio.to_thread(cluster.leader_of, "holdfast.payments")
    others = [machine for machine in cluster.machines if machine is not node.machine]
    if cluster.primary.machine is node.machine:
        to = next(iter(cluster.standbys))
        await asyncio.to_thread(cluster.switch_over, to)
    await asyncio.to_thread(cluster.network.keep_apart, [node.machine], others)
    yield
    await asyncio.to_thread(cluster.network.heal)


@asynccontextmanager
async def _redis_gone(cluster: Cluster) -> AsyncIterator[None]:
    await asyncio.to_thread(cluster.network.pull, cluster.redis.machine)
    yield
    await asyncio.to_thread(cluster.network.heal)


@asynccontextmanager
async def _cut_off_in_turn(cluster: Cluster) -> AsyncIterator[None]:
    machine = cluster.service_machines[0]
    for server in [*cluster.machines, cluster.redis.machine]:
        await asyncio.to_thread(cluster.network.keep_apart, [machine], [server])
        await asyncio.sleep(_A_WHILE)
        await asyncio.to_thread(cluster.network.heal)
        await asyncio.sleep(_A_WHILE / 4)
    yield


@asynccontextmanager
async def _workers_and_relays_killed(cluster: Cluster) -> AsyncIterator[None]:
    machine = cluster.service_machines[0]
    for program in ("worker", "relay"):
        await asyncio.to_thread(cluster.process(machine, program).kill)
    yield
    await asyncio.to_thread(cluster.start, machine, "worker", "relay")


# The seconds for which the first requests may wait on connections that tell nothing.
_SILENT: Final = 2.0

ROWS: Final[tuple[Row, ...]] = (
    Row(name="The primary and its Patroni are killed", breaking=_primary_killed),
    Row(name="The primary and its Patroni are killed", breaking=_primary_killed, way="HAProxy"),
    Row(
        name="The cable of the primary's machine is pulled, a RabbitMQ node with it",
        before=_primary_where_orders_are_queued,
        breaking=_cable_pulled,
        post_fails_within=_SILENT,
    ),
    Row(
        name="The cable of the primary's machine is pulled, a RabbitMQ node with it",
        before=_primary_where_orders_are_queued,
        breaking=_cable_pulled,
        post_fails_within=_SILENT,
        way="HAProxy",
    ),
    Row(
        name="The primary's machine is kept apart from the other servers, and heals",
        before=_primary_where_orders_are_queued,
        breaking=_primary_apart,
    ),
    Row(name="The primary and its Patroni are frozen, and thaw", breaking=_primary_frozen, post_fails_within=_SILENT),
    Row(
        name="The primary is killed, and all programs are started anew",
        breaking=_primary_and_all_who_know_it_killed,
        api_is_there=False,
        post_fails_within=_PROMOTES_WITHIN,
    ),
    Row(name="A switchover", breaking=_switched_over),
    Row(name="A synchronous standby is frozen", breaking=_standby_frozen),
    Row(name="Every node of PostgreSQL is restarted, one after the other", breaking=_postgres_restarted),
    Row(name="Every node of etcd is restarted, one after the other", breaking=_etcd_restarted),
    Row(name="Two of three nodes of etcd are killed", breaking=_etcd_without_majority, hold=_LONGER_THAN_A_TERM),
    Row(name="All nodes of etcd are killed", breaking=_etcd_gone, hold=_LONGER_THAN_A_TERM),
    Row(name="Every node of RabbitMQ is restarted, one after the other", breaking=_rabbitmq_restarted),
    Row(name="The RabbitMQ node that leads the payments queue is killed", breaking=_queue_leader_killed),
    Row(name="The RabbitMQ node that leads the payments queue is frozen", breaking=_queue_leader_frozen, hold=15),
    Row(name="A RabbitMQ node is kept apart from the others, and heals", breaking=_queue_leader_apart, hold=25),
    Row(name="The cable of Redis is pulled", breaking=_redis_gone),
    Row(name="An API's machine is cut off from each server in turn", breaking=_cut_off_in_turn),
    Row(name="The worker and the relay of one of two machines are killed", breaking=_workers_and_relays_killed),
    Row(
        name="Every node of PostgreSQL loses its data, and the backup is restored",
        before=back_up,
        breaking=restored,
        api_is_there=False,
        post_fails_within=_RESTORED_WITHIN,
        # The programs are started when the standbys have copied the new primary.
        records_again=_PROMOTES_WITHIN,
    ),
)
