"""Queues of another kind, missing rights and missing queues are named, and everything else goes on."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiormq
import pytest

from adapters.rabbitmq.declaring import (
    declare_topology,
    empty_queues,
    found_in,
    remove_former_queues,
    topology_problems,
    unconsumed,
)
from adapters.rabbitmq.health import server_version
from adapters.rabbitmq.topology import Topology
from application.errors import Misconfigured, Unavailable
from application.messaging.subscriptions import RETRY_DELAYS
from tests.brokers import channel, own_topology, put, removed, take
from tests.cables import PATIENCE
from tests.servers import RabbitServer
from tests.service import Service


@pytest.fixture
async def ours(amqp_url: str) -> AsyncIterator[Topology]:
    """A namespace in which nothing is declared yet."""
    topology = Topology(f"test-{secrets.token_hex(6)}", delays=(0.05,))
    async with removed(amqp_url, topology):
        yield topology


async def exists(url: str, queue: str) -> bool:
    async with channel(url) as open_channel:
        try:
            await open_channel.queue_declare(queue, passive=True)
        except aiormq.ChannelNotFoundEntity:
            return False
    return True


async def consumers(url: str, queue: str) -> int:
    async with channel(url) as open_channel:
        return (await open_channel.queue_declare(queue, passive=True)).consumer_count or 0


async def test_all_is_well_where_all_is_declared(amqp_url: str) -> None:
    async with own_topology(amqp_url) as topology:
        assert await topology_problems(amqp_url, topology) == []


async def test_queues_of_work_that_nobody_consumes_are_told(amqp_url: str) -> None:
    async with own_topology(amqp_url) as topology, channel(amqp_url) as worker:
        await worker.basic_consume(topology.queue("intake"), _ignore)
        assert await unconsumed(amqp_url, topology) == [topology.queue("payments"), topology.queue("refunds")]
        await worker.queue_delete(topology.queue("payments"))
        assert await unconsumed(amqp_url, topology) == [topology.queue("refunds")]


async def test_queues_are_emptied_and_stay(amqp_url: str) -> None:
    # Nothing returns to a work queue while the test runs.
    async with own_topology(amqp_url, delays=(600.0,)) as topology:
        for name in topology.all_queues:
            await put(amqp_url, name, b"a message")
        await empty_queues(amqp_url, topology)
        found = {each.name: each.messages for each in await found_in(amqp_url, topology) if not each.is_exchange}
        assert found == dict.fromkeys(topology.all_queues, 0)


async def test_what_is_missing_is_named_and_not_made(amqp_url: str, ours: Topology) -> None:
    problems = await topology_problems(amqp_url, ours)

    assert len(problems) == 1 + len(ours.all_queues)
    assert f"queue {ours.queue('payments')} is missing: run `holdfast migrate`, or start a worker" in problems
    assert not await exists(amqp_url, ours.queue("payments"))


OTHERS: dict[str, dict[str, Any]] = {
    "a classic queue": {"durable": True},
    "a queue that ends with the server": {},
    "a stream": {"durable": True, "arguments": {"x-queue-type": "stream"}},
    "other arguments": {"durable": True, "arguments": {"x-queue-type": "quorum", "x-max-length": 5}},
}


@pytest.mark.parametrize("kind", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("which", ["queue", "dead"])
async def test_a_queue_of_another_kind_is_named_and_the_others_are_declared(
    amqp_url: str, ours: Topology, which: str, kind: dict[str, Any]
) -> None:
    name = getattr(ours, which)("payments")
    async with channel(amqp_url) as open_channel:
        await open_channel.queue_declare(name, **kind)

    with pytest.raises(Misconfigured) as refusal:
        await declare_topology(amqp_url, ours)

    said = str(refusal.value)
    assert f"has a queue {name} of another kind" in said
    assert "a durable quorum queue" in said
    assert f"`rabbitmqctl delete_queue -p / {name}`" in said
    assert said.count("rabbitmqctl delete_queue") == 1
    for queue in ours.all_queues:
        assert await exists(amqp_url, queue)
    assert await topology_problems(amqp_url, ours) == [said]


async def test_a_queue_that_another_program_holds_for_itself_is_named(amqp_url: str, ours: Topology) -> None:
    async with channel(amqp_url) as holder:
        await holder.queue_declare(ours.queue("payments"), exclusive=True)
        with pytest.raises(Misconfigured, match="another program holds"):
            await declare_topology(amqp_url, ours)
    for queue in ours.all_queues.keys() - {ours.queue("payments")}:
        assert await exists(amqp_url, queue)


async def test_an_exchange_of_another_type_is_named_and_the_queues_are_declared(amqp_url: str, ours: Topology) -> None:
    async with channel(amqp_url) as open_channel:
        await open_channel.exchange_declare(ours.exchange, exchange_type="fanout", durable=True)

    with pytest.raises(Misconfigured, match=rf"has an exchange {ours.exchange} of another kind.*rabbitmqadmin"):
        await declare_topology(amqp_url, ours)

    for queue in ours.all_queues:
        assert await exists(amqp_url, queue)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user": "guest:wrong"}, "refuses the user or the password"),
        ({"user": "nobody:wrong"}, "refuses the user or the password"),
        ({"path": "/no-such-shop"}, "no such virtual host"),
        ({"path": f"/{'x' * 300}"}, "AMQP_URL can't be used"),
    ],
    ids=["password", "user", "virtual host", "its name"],
)
async def test_what_no_waiting_mends_is_told_from_a_server_that_is_away(
    amqp_url: str, changes: dict[str, str], words: str
) -> None:
    parts = urlsplit(amqp_url)
    user = changes.get("user", "guest:guest")
    url = urlunsplit(parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}", path=changes.get("path", "/")))

    with pytest.raises(Misconfigured, match=words):
        await server_version(url)

    with pytest.raises(Unavailable) as refusal:
        await server_version("amqp://guest:guest@127.0.0.1:1/")
    assert not isinstance(refusal.value, Misconfigured)


async def test_a_right_that_the_user_lacks_is_named(own_rabbitmq: RabbitServer) -> None:
    for arguments in (
        ("add_user", "shop", "secret"),
        ("set_permissions", "-p", "/", "shop", "^holdfast[.](intake|events).*", ".*", ".*"),
    ):
        await asyncio.to_thread(own_rabbitmq.ctl, *arguments)
    url = own_rabbitmq.url.replace("guest:guest", "shop:secret")
    topology = Topology()

    with pytest.raises(Misconfigured) as refusal:
        await declare_topology(url, topology)

    assert f"access to queue '{topology.queue('payments')}'" in str(refusal.value)
    assert "rabbitmqctl set_permissions" in str(refusal.value)
    assert "secret" not in str(refusal.value)
    assert await exists(url, topology.queue("intake"))


async def test_a_namespace_takes_nine_queues(amqp_url: str) -> None:
    async with own_topology(amqp_url, delays=RETRY_DELAYS) as topology:
        found = await found_in(amqp_url, topology)
    assert len([each for each in found if not each.is_exchange]) == 9


async def test_the_empty_queues_of_an_earlier_release_are_removed(amqp_url: str) -> None:
    async with own_topology(amqp_url, delays=RETRY_DELAYS) as topology:
        work = topology.queue("payments")
        waiting, *empty = [name for name in topology.former_queues if name.startswith(f"{work}.")]
        async with channel(amqp_url) as open_channel:
            for name in (waiting, *empty):
                arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": 1500}
                await open_channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum", **arguments})
        await put(amqp_url, waiting, b"it waits for its next attempt")

        assert await remove_former_queues(amqp_url, topology) == [waiting]
        assert not await exists(amqp_url, empty[0])
        assert (await take(amqp_url, work)).body == b"it waits for its next attempt"
        async with asyncio.timeout(PATIENCE):
            while await remove_former_queues(amqp_url, topology):  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.1)
        assert not await exists(amqp_url, waiting)
        assert await exists(amqp_url, topology.later("payments"))


async def test_a_namespace_is_removed_once_that_is_confirmed_and_nobody_works_in_it(on_servers: Service) -> None:
    url, topology = on_servers.settings["AMQP_URL"], Topology(on_servers.settings["HOLDFAST_NAMESPACE"])
    await put(url, topology.dead("payments"), b"a dead letter")

    status, said = await asyncio.to_thread(on_servers.try_to_run, "remove-namespace")
    assert status == 1
    for name in (topology.exchange, *topology.all_queues):
        assert name in said
    assert f"{topology.dead('payments')}  NOT EMPTY: 1 messages" in said
    assert "add --yes" in said

    async with channel(url) as worker:
        await worker.basic_consume(topology.queue("payments"), _ignore)
        status, said = await asyncio.to_thread(on_servers.try_to_run, "remove-namespace", "--yes")
    assert status == 1
    assert "stop the workers first" in said
    assert await exists(url, topology.queue("payments"))

    assert "removed 10 exchanges and queues" in await asyncio.to_thread(on_servers.run, "remove-namespace", "--yes")
    assert await found_in(url, topology) == []
    assert "there is nothing" in await asyncio.to_thread(on_servers.run, "remove-namespace", "--yes")


async def _ignore(_: aiormq.abc.DeliveredMessage) -> None:
    """A consumer that takes what there is, and does nothing."""


async def test_a_queue_of_another_kind_stops_no_other_and_is_named_by_every_program(on_servers: Service) -> None:
    """As its users see it: somebody has made a classic queue with the name of one of ours."""
    url, topology = on_servers.settings["AMQP_URL"], Topology(on_servers.settings["HOLDFAST_NAMESPACE"])
    payments, refunds = topology.queue("payments"), topology.queue("refunds")
    async with channel(url) as open_channel:
        for queue in (payments, refunds):
            await open_channel.queue_delete(queue)
        await open_channel.queue_declare(payments, durable=True)

    for command in ("migrate", "doctor"):
        status, said = await asyncio.to_thread(on_servers.try_to_run, command)
        assert status == 1
        assert f"a queue {payments} of another kind" in said
        assert "rabbitmqctl delete_queue" in said
    assert f"nobody consumes {payments}, so what is in it waits" in said
    worker = on_servers.start("worker")
    await asyncio.to_thread(
        worker.wait_for, lambda: "no waiting mends it" in worker.output(), seconds=30, what="the worker names it"
    )
    async with asyncio.timeout(PATIENCE):
        while not (await exists(url, refunds) and await consumers(url, refunds)):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.1)
