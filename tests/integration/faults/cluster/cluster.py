"""The service on a cluster: three machines of servers, one of Redis, and two of the service's own."""

import asyncio
import json
import shlex
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import quote
from urllib.request import Request, urlopen

import asyncpg
from attrs import define

from tests.integration.faults.cluster.members import (
    BROKER_USER,
    DATABASE,
    PASSWORD,
    Etcd,
    HaProxy,
    Member,
    Postgres,
    Rabbit,
    Redis,
)
from tests.integration.faults.cluster.network import Machine, Network, NetworkFailed, run
from tests.integration.faults.house import SETTINGS, Shop
from tests.servers.packages import find_rabbitmq
from tests.servers.process import Process
from tests.service import HOLDFAST, Service, until

PROGRAMS: Final = ("api", "worker", "relay")
_PORT: Final = 8000
_LOOK_EVERY: Final = 0.2
_QUEUES_OF_ORDERS: Final = r"^holdfast\.intake"
# The seconds in which a cluster is whole again, whatever was done to it.
_WHOLE_WITHIN: Final = 90.0
_LEADER: Final = 200
# By hosts that Holdfast races itself, or by HAProxy.
WAYS: Final = ("hosts", "HAProxy")


@define(eq=False)
class Watch:
    """Which node of PostgreSQL is the primary, as Patroni says it, and since when it was known here."""

    _members: Sequence[Postgres]
    primary: Postgres | None = None
    since: float = 0.0

    async def look(self) -> None:
        while True:
            said = await asyncio.gather(*(asyncio.to_thread(_is_primary, member) for member in self._members))
            leaders = [member for member, leads in zip(self._members, said, strict=True) if leads]
            # While two say so, the one that is new is the one that the others follow.
            new = [leader for leader in leaders if leader is not self.primary]
            if new:
                self.primary, self.since = new[0], monotonic()
            await asyncio.sleep(_LOOK_EVERY)


def _is_primary(member: Postgres) -> bool:
    return _says(member, "/primary") == _LEADER


def _says(member: Postgres, path: str, body: Mapping[str, str] | None = None) -> int:
    """The status of Patroni's answer, or 0."""
    url = f"http://{member.machine.address}:8008{path}"
    data = None if body is None else json.dumps(body).encode()
    with suppress(OSError):
        request = Request(url, data, {"Content-Type": "application/json"})
        with urlopen(request, timeout=1 if body is None else 30) as answer:  # noqa: S310
            return int(answer.status)
    return 0


@define(kw_only=True, eq=False)
class Cluster(Shop):
    network: Network
    machines: list[Machine]
    """Of the servers: each has a node of etcd, of PostgreSQL and of RabbitMQ."""
    etcd: list[Etcd]
    postgres: list[Postgres]
    rabbitmq: list[Rabbit]
    redis: Redis
    proxies: list[HaProxy]
    houses: dict[Machine, Service]
    """The machines of the service, each with an API, a worker and a relay."""
    watch: Watch
    way: str = WAYS[0]

    def __attrs_post_init__(self) -> None:
        self.api_urls = [service.url for service in self.houses.values()]
        self.client_urls = list(self.api_urls)

    @property
    def postgres_url(self) -> str:
        return self.primary.shop_url

    @property
    def rabbitmq_url(self) -> str:
        return self.rabbitmq[0].url

    @property
    def primary(self) -> Postgres:
        assert self.watch.primary is not None, "no node of PostgreSQL has become the primary yet"
        return self.watch.primary

    @property
    def standbys(self) -> list[Postgres]:
        return [member for member in self.postgres if member is not self.primary]

    @property
    def service_machines(self) -> list[Machine]:
        return list(self.houses)

    def rabbit_on(self, machine: Machine) -> Rabbit:
        return next(node for node in self.rabbitmq if node.machine is machine)

    def members(self) -> list[Member]:
        return [*self.etcd, *self.postgres, *self.rabbitmq, self.redis, *self.proxies]

    def switch_over(self, to: Postgres) -> None:
        """As `patronictl switchover`. Return when it is done."""
        leader = self.primary
        said = _says(leader, "/switchover", {"leader": leader.machine.name, "candidate": to.machine.name})
        assert said == _LEADER, f"Patroni answered the switchover with {said}"

    async def synchronous(self) -> set[str]:
        """The names of the standbys that the primary waits for, or may wait for."""
        connection = await asyncpg.connect(self.postgres_url, timeout=10)
        try:
            rows = await connection.fetch(
                "SELECT application_name FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
            )
        finally:
            await connection.close(timeout=2)
        return {row["application_name"] for row in rows}

    def leader_of(self, queue: str) -> Rabbit:
        """The node that leads this quorum queue, by a node that knows."""
        listed = self.ctl("list_queues", "name", "leader", "--silent", "--no-table-headers")
        names = dict(line.split("\t", 1) for line in listed.splitlines())
        return next(node for node in self.rabbitmq if node.node == names[queue])

    def ctl(self, *arguments: str, node: Rabbit | None = None, seconds: float = 60) -> str:
        """What `rabbitmqctl` prints."""
        node = node or self.rabbitmq[0]
        env = [f"{name}={value}" for name, value in node.env.items()]
        ctl = str(find_rabbitmq() / "rabbitmqctl")
        return run(*node.machine.command("env", "-i", *env, ctl, *arguments), seconds=seconds)

    def balance(self) -> None:
        """Spread the leaders of the quorum queues over the nodes, as docs/operations.md says for when one was away.

        To spread them all does not part the two queues that an order may take. The second command does.
        """
        node = self.rabbitmq[0]
        env = [f"{name}={value}" for name, value in node.env.items()]
        queues = str(find_rabbitmq() / "rabbitmq-queues")
        for which in ([], ["--queue-pattern", _QUEUES_OF_ORDERS]):
            run(*node.machine.command("env", "-i", *env, queues, "rebalance", "quorum", *which), seconds=120)

    async def set_up(self) -> None:
        """Start all servers. The first node of RabbitMQ makes the cluster, and the others join it."""
        for member in (*self.etcd, self.redis, *self.rabbitmq[:1], *self.proxies):
            await asyncio.to_thread(member.start)
        for member in (*self.postgres, *self.rabbitmq[1:]):
            await asyncio.to_thread(member.start)
        await self.whole()
        connection = await asyncpg.connect(self.primary.url, timeout=10)
        try:
            for statement in DATABASE:
                await connection.execute(statement)
        finally:
            await connection.close(timeout=2)
        for command in BROKER_USER:
            await asyncio.to_thread(self.ctl, *shlex.split(command)[1:])

    async def whole(self) -> None:
        """Wait until every server serves, and every node has what the others have."""
        await until(self._postgres_is_whole, seconds=_WHOLE_WITHIN, what="three nodes of PostgreSQL are one cluster")
        try:
            await until(self._rabbitmq_is_whole, seconds=_WHOLE_WITHIN, what="three nodes of RabbitMQ are one cluster")
        except AssertionError as error:
            said = await asyncio.gather(*(asyncio.to_thread(self._cluster_by, node) for node in self.rabbitmq))
            raise AssertionError("\n".join([str(error), *said])) from None

    async def _postgres_is_whole(self) -> bool:
        if self.watch.primary is None:
            return False
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(self.primary.url, timeout=5)
            try:
                found = await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
                    " AND NOT pg_is_in_recovery() AND sync_state IN ('sync', 'quorum')"
                )
            finally:
                await connection.close(timeout=2)
            return bool(found == len(self.postgres) - 1)
        return False

    async def _rabbitmq_is_whole(self) -> bool:
        # Not `cluster_status`: on a busy machine it did not answer within a minute, though the nodes were one cluster.
        all_run = f"length(rabbit_nodes:all_running()) == {len(self.rabbitmq)}"
        is_whole = f"{all_run} andalso rabbit_node_monitor:partitions() == []."
        with suppress(NetworkFailed, subprocess.SubprocessError):
            said = await asyncio.to_thread(self.ctl, "eval", is_whole, seconds=_WHOLE_WITHIN)
            return said.strip() == "true"
        return False

    async def rejoined(self, node: Rabbit) -> None:
        """Restart a node that stood still, as docs/operations.md says, if the nodes have taken that for a partition.

        It heard of the others' death when it went on, and before it looked it was connected with them again. So
        `pause_minority` found a majority, and did nothing.
        """
        if not await self._is_apart(node):
            return
        await asyncio.to_thread(self.ctl, "stop_app", node=node)
        await asyncio.to_thread(self.ctl, "start_app", node=node)

    async def _is_apart(self, node: Rabbit) -> bool:
        """Whether it is, once all three run."""
        apart = False

        async def is_known() -> bool:
            nonlocal apart
            with suppress(NetworkFailed, subprocess.SubprocessError):
                apart = "true" in await asyncio.to_thread(
                    self.ctl, "eval", "rabbit_node_monitor:partitions() /= [].", node=node, seconds=_WHOLE_WITHIN
                )
            return apart or await self._rabbitmq_is_whole()

        await until(is_known, seconds=_WHOLE_WITHIN, what=f"{node.node} knows whether it is apart")
        return apart

    def _cluster_by(self, node: Rabbit) -> str:
        """Which cluster this node of RabbitMQ is in, as it says itself, and what it has logged last."""
        try:
            said = self.ctl("eval", "{rabbit_nodes:all_running(), rabbit_node_monitor:partitions()}.", node=node)
        except (NetworkFailed, subprocess.SubprocessError) as error:
            said = f"does not say: {error}"
        return f"{node.node}: {said}\n{node.log()}"

    def start(self, machine: Machine, *programs: str) -> None:
        """Those of the service, which find the servers by the way of the cluster."""
        service = self.houses[machine]
        for program in programs:
            name = f"{program}-{machine.name}"
            if name not in service.processes or not service.processes[name].running:
                service.start(program, name=name)

    def process(self, machine: Machine, program: str) -> Process:
        return self.houses[machine].processes[f"{program}-{machine.name}"]

    async def in_order(self, way: str) -> None:
        """The service runs on both machines, by this way."""
        if way != self.way:
            self.way = way
            for service in self.houses.values():
                await asyncio.to_thread(service.kill)
                # They would be started again with the settings of the former way.
                service.processes.clear()
        for machine, service in self.houses.items():
            service.settings.update(self.urls(way))
            self.start(machine, *PROGRAMS)
        for machine in self.houses:
            await self.ready(machine)

    async def ready(self, machine: Machine) -> None:
        service = self.houses[machine]
        api = self.process(machine, "api")
        await asyncio.to_thread(api.wait_for, service.is_ready, seconds=30, what=f"holdfast is ready on {machine.name}")

    def urls(self, way: str) -> dict[str, str]:
        """The settings that name the servers."""
        hosts = ",".join(f"{machine.address}:5432" for machine in self.machines)
        nodes = ",".join(f"{machine.address}:5672" for machine in self.machines)
        if way == "HAProxy":
            proxy = self.proxies[0]
            hosts, nodes = f"127.0.0.1:{proxy.postgres_port}", f"127.0.0.1:{proxy.rabbitmq_port}"
        return {
            "DATABASE_URL": f"postgresql://holdfast:{PASSWORD}@{hosts}/holdfast",
            "AMQP_URL": f"amqp://holdfast:{PASSWORD}@{nodes}/",
            "HOLDFAST_AMQP_MANAGEMENT_URL": f"http://holdfast:{PASSWORD}@{self.machines[0].address}:15672",
            "REDIS_URL": self.redis.url,
        }

    async def differences(self) -> list[str]:
        """What the nodes of PostgreSQL have not in common, when nothing is written any more."""
        await self.whole()
        contents = {}
        connection = await asyncpg.connect(self.postgres_url, timeout=10)
        try:
            end = await connection.fetchval("SELECT pg_current_wal_lsn()")
        finally:
            await connection.close(timeout=2)
        for member in self.postgres:
            await until(partial(_has, member, end), seconds=30, what=f"{member.machine.name} has {end}")
            contents[member.machine.name] = await _content(member)
        names = sorted({name for content in contents.values() for name in content})
        return [
            f"table {name} differs between nodes: { {node: content.get(name) for node, content in contents.items()} }"
            for name in names
            if len({content.get(name) for content in contents.values()}) > 1
        ]


async def _has(member: Postgres, end: object) -> bool:
    connection = await asyncpg.connect(member.url, timeout=10)
    try:
        return bool(
            await connection.fetchval("SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= $1::pg_lsn", end)
        )
    finally:
        await connection.close(timeout=2)


# What changes without any request, such as heartbeats.
_BY_THEMSELVES: Final = frozenset({"heartbeats", "leases", "open_periods", "feed_queue_mark", "outbox_mark"})


async def _content(member: Postgres) -> dict[str, str]:
    """The number of rows of each table, and a sum over all of them."""
    connection = await asyncpg.connect(member.shop_url, timeout=10)
    try:
        names = [
            row["tablename"]
            for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            if row["tablename"] not in _BY_THEMSELVES
        ]
        return {
            name: await connection.fetchval(
                f"SELECT count(*) || ' rows, ' || coalesce(sum(hashtext(t::text)::bigint), 0) FROM {quote(name)} AS t"  # noqa: S608
            )
            for name in names
        }
    finally:
        await connection.close(timeout=2)


@asynccontextmanager
async def open_cluster(folder: Path, patroni: Path) -> AsyncIterator[Cluster]:
    network = Network()
    network.open(folder)
    servers = [network.machine(f"db{number}", 10 + number) for number in (1, 2, 3)]
    cache = network.machine("cache", 20)
    apps = [network.machine(f"app{number}", 30 + number) for number in (1, 2)]
    postgres = [Postgres(m, folder / f"{m.name}-postgres", all=servers, patroni=patroni) for m in servers]
    data = folder / "provider"
    data.mkdir()
    houses = {}
    for machine in apps:
        houses[machine] = Service(
            folder=data,
            host=machine.address,
            port=_PORT,
            program=machine.command(str(HOLDFAST)),
            kind=Process,
            settings={**SETTINGS, "HOLDFAST_HOST": machine.address, "HOLDFAST_INTAKE": "auto"},
        )
    cluster = Cluster(
        network=network,
        machines=servers,
        etcd=[Etcd(m, folder / f"{m.name}-etcd", all=servers) for m in servers],
        postgres=postgres,
        rabbitmq=[Rabbit(m, folder / f"{m.name}-rabbitmq", all=servers) for m in servers],
        redis=Redis(cache, folder / "redis"),
        proxies=[HaProxy(m, folder / f"{m.name}-haproxy", all=servers) for m in apps],
        houses=houses,
        service=Service(folder=data, host=apps[0].address, port=_PORT, kind=Process, settings=dict(SETTINGS)),
        watch=Watch(postgres),
    )
    looking = asyncio.create_task(cluster.watch.look())
    try:
        await cluster.set_up()
        cluster.service.settings.update(cluster.urls(WAYS[0]))
        await cluster.fill()
        await cluster.in_order(cluster.way)
        yield cluster
    finally:
        await asyncio.to_thread(network.close)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
