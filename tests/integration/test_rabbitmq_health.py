import re
from urllib.parse import urlsplit, urlunsplit

import pytest

from adapters.rabbitmq.declaring import declare_topology
from adapters.rabbitmq.health import server_version
from adapters.rabbitmq.topology import Topology
from application.errors import Unavailable
from tests.brokers import own_topology


async def test_a_server_tells_its_version(amqp_url: str) -> None:
    assert re.fullmatch(r"RabbitMQ \d+\.\d+\.\d+.*", await server_version(amqp_url))


async def test_a_wrong_password_is_said_and_not_repeated(amqp_url: str) -> None:
    parts = urlsplit(amqp_url)
    url = urlunsplit(parts._replace(netloc=f"guest:hunter2@{parts.hostname}:{parts.port or 5672}"))

    with pytest.raises(Unavailable, match="refuses the user or the password: check AMQP_URL") as refusal:
        await server_version(url)
    assert "hunter2" not in str(refusal.value)


async def test_an_unknown_virtual_host_is_said(amqp_url: str) -> None:
    with pytest.raises(Unavailable, match="no such virtual host"):
        await server_version(urlunsplit(urlsplit(amqp_url)._replace(path="/no-such-shop")))


async def test_a_closed_port_is_said() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 can't be reached .*is it running") as refusal:
        await server_version("amqp://guest:hunter2@127.0.0.1:1/")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rabbit",
        "http://guest:hunter2@127.0.0.1/",
        "amqp://",
        "amqp://:5672",
        "amqp://guest:hun/ter2@127.0.0.1/",
        "amqp://guest:hunter2@127.0.0.1:99999/",
        "amqp://guest:hunter2@127.0.0.1:-1/",
        "amqp://guest:hunter2@[::1/",
    ],
)
async def test_a_url_that_is_none_is_said_without_repeating_it(url: str) -> None:
    with pytest.raises(Unavailable, match="AMQP_URL can't be used") as refusal:
        await server_version(url)
    assert "hun" not in str(refusal.value)
    assert "ter2" not in str(refusal.value)


async def test_to_declare_twice_is_safe(amqp_url: str) -> None:
    async with own_topology(amqp_url) as topology:
        await declare_topology(amqp_url, topology)


async def test_a_name_that_can_not_be_written_is_no_fault_of_the_broker(amqp_url: str) -> None:
    with pytest.raises(ValueError, match="Max length exceeded"):
        await declare_topology(amqp_url, Topology("x" * 300))
