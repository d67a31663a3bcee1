"""A broker of several nodes: any that answers will do."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pytest
from attrs import evolve

from adapters.rabbitmq.connection import BrokerConnection
from application.errors import Misconfigured, Unavailable
from tests.brokers import QUICK
from tests.cables import PATIENCE, Cable, cable

# Each connection begins with any node: with as many, some begin with the one that is gone.
CONNECTIONS = 6


@pytest.fixture
async def gone(amqp_url: str) -> AsyncIterator[Cable]:
    async with cable(amqp_url) as wire:
        yield wire


def both(gone: Cable, amqp_url: str) -> str:
    place = urlsplit(gone.url).netloc.rpartition("@")[2]
    parts = urlsplit(amqp_url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc},{place}"))


@pytest.mark.parametrize("is_silent", [True, False], ids=["silent", "refusing"])
async def test_a_node_that_is_gone_costs_no_connection(gone: Cable, amqp_url: str, *, is_silent: bool) -> None:
    gone.silent_from_now, gone.plugged = is_silent, is_silent
    for _ in range(CONNECTIONS):
        async with asyncio.timeout(PATIENCE):
            # Longer than this test waits.
            timeouts = evolve(QUICK, connect=9 * PATIENCE)
            connection = await BrokerConnection.open(both(gone, amqp_url), name="test", timeouts=timeouts)
        try:
            assert connection.where == f"{urlsplit(amqp_url).hostname}:{urlsplit(amqp_url).port or 5672}"
        finally:
            await connection.close()
    gone.restore()


async def test_when_no_node_answers_each_is_named(gone: Cable) -> None:
    gone.plugged = False
    with pytest.raises(Unavailable) as refusal:
        await BrokerConnection.open(both(gone, "amqp://127.0.0.1:1/"), name="test", timeouts=QUICK)
    assert "127.0.0.1:1 " in str(refusal.value)
    assert f"127.0.0.1:{urlsplit(gone.url).port} " in str(refusal.value)


async def test_a_wrong_password_is_told_although_another_node_is_gone(gone: Cable, amqp_url: str) -> None:
    gone.plugged = False
    parts = urlsplit(both(gone, amqp_url))
    wrong = urlunsplit(parts._replace(netloc=f"nobody:wrong@{parts.netloc.rpartition('@')[2]}"))
    with pytest.raises(Misconfigured, match="refuses the user or the password"):
        await BrokerConnection.open(wrong, name="test", timeouts=QUICK)
