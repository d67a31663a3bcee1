"""What adapters/rabbitmq/underlay.py and received.py know of aiormq's inside, and connection.py of aio-pika's.

A new version of theirs that fails here is not to be used before those files have been looked at again.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import aio_pika
import aiormq
import aiormq.connection
import pamqp.frame
import pytest
from aiormq.abc import ChannelFrame
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from adapters.rabbitmq.received import ClearReader
from adapters.rabbitmq.underlay import Confirms, write
from tests.cables import PATIENCE


@pytest.fixture
async def channel() -> AsyncIterator[aiormq.Channel]:
    """A channel that publishes with confirms, on a connection that leads nowhere."""
    connection = aiormq.Connection("amqp://guest:guest@127.0.0.1:1/")
    connection.server_properties = {"capabilities": {"publisher_confirms": True}}
    connection.connection_tune = commands.Connection.Tune(frame_max=131_072)
    channel = aiormq.Channel(connection, 1, publisher_confirms=True)
    yield channel
    await channel.close(aiormq.ChannelClosed(200, "the test is over"))
    connection._closing.cancel()  # noqa: SLF001 - it was never opened, and can't be closed


async def hear(channel: aiormq.Channel, *frames: Any) -> None:
    """As if the broker had sent them."""
    for frame in frames:
        channel.frames.put_nowait((0, frame))
    async with asyncio.timeout(PATIENCE):
        await channel.frames.join()
        for _ in range(5):
            await asyncio.sleep(0)


def returned(id_: str) -> tuple[Any, ...]:
    properties = commands.Basic.Properties(message_id=id_)
    answer = commands.Basic.Return(reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key="nowhere")
    return answer, ContentHeader(properties=properties, body_size=1), ContentBody(b"x")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("delivery_tag", int),
        ("confirmations", dict),
        ("message_id_delivery_tag", dict),
        ("write_queue", asyncio.Queue),
        ("max_content_size", int),
        ("number", int),
        ("on_return_raises", bool),
        ("on_consumer_cancel_callbacks", set),
        ("closing", asyncio.Future),
    ],
)
async def test_a_channel_has(channel: aiormq.Channel, name: str, kind: type) -> None:
    assert isinstance(getattr(channel, name), kind)


async def test_a_channel_raises_what_is_returned_unless_told_otherwise(channel: aiormq.Channel) -> None:
    assert channel.on_return_raises


async def test_a_channel_counts_and_files_its_own_messages_as_we_do(channel: aiormq.Channel) -> None:
    properties = commands.Basic.Properties(message_id="theirs")
    publishing = asyncio.create_task(
        channel.basic_publish(b"x", routing_key="q", properties=properties, mandatory=True, wait=False)
    )
    async with asyncio.timeout(PATIENCE):
        await channel.write_queue.get()
    ours = Confirms(channel, ["ours"])

    assert channel.delivery_tag == 2
    assert list(channel.confirmations) == [1, 2]
    assert channel.message_id_delivery_tag == {"theirs": 1, "ours": 2}
    await hear(channel, commands.Basic.Ack(delivery_tag=2), commands.Basic.Ack(delivery_tag=1))
    assert await ours.wait(PATIENCE) == [None]
    assert isinstance(await publishing, commands.Basic.Ack)
    assert channel.message_id_delivery_tag == {}


async def test_what_is_written_goes_out_as_it_is(channel: aiormq.Channel) -> None:
    await write(channel, b"frames")

    assert channel.write_queue is channel.connection.write_queue
    frame = channel.write_queue.get_nowait()
    assert isinstance(frame, ChannelFrame)
    assert (frame.payload, frame.should_close, frame.should_drain) == (b"frames", False, False)


async def test_one_ack_may_confirm_many(channel: aiormq.Channel) -> None:
    confirms = Confirms(channel, ["a", "b", "c"])

    await hear(channel, commands.Basic.Ack(delivery_tag=2, multiple=True), commands.Basic.Ack(delivery_tag=3))

    assert await confirms.wait(PATIENCE) == [None, None, None]
    assert not channel.confirmations
    assert not channel.message_id_delivery_tag


async def test_a_nack_refuses(channel: aiormq.Channel) -> None:
    confirms = Confirms(channel, ["a", "b"])

    await hear(channel, commands.Basic.Nack(delivery_tag=1), commands.Basic.Ack(delivery_tag=2))

    refused, confirmed = await confirms.wait(PATIENCE)
    assert isinstance(refused, aiormq.DeliveryError)
    assert confirmed is None


@pytest.mark.parametrize("raises", [True, False])
async def test_what_is_returned_is_refused_though_it_is_acked(channel: aiormq.Channel, raises: bool) -> None:  # noqa: FBT001 - an example
    channel.on_return_raises = raises
    confirms = Confirms(channel, ["a", "b"])

    await hear(channel, *returned("b"), commands.Basic.Ack(delivery_tag=2, multiple=True))

    confirmed, refused = await confirms.wait(PATIENCE)
    assert confirmed is None
    assert isinstance(refused, aiormq.DeliveryError)
    assert "NO_ROUTE" in str(refused)


async def test_what_the_broker_says_twice_counts_once(channel: aiormq.Channel) -> None:
    confirms = Confirms(channel, ["a", "b"])

    await hear(channel, commands.Basic.Ack(delivery_tag=1), commands.Basic.Nack(delivery_tag=1))

    assert not confirms.is_settled(1)
    assert [type(error) for error in await confirms.wait(0)] == [type(None), TimeoutError]


async def test_a_channel_that_is_closed_breaks_what_waits(channel: aiormq.Channel) -> None:
    confirms = Confirms(channel, ["a", "b"])
    await hear(channel, commands.Basic.Ack(delivery_tag=1))

    await hear(channel, commands.Channel.Close(reply_code=404, reply_text="NOT_FOUND - no exchange"))

    confirmed, lost = await confirms.wait(PATIENCE)
    assert confirmed is None
    assert isinstance(lost, aiormq.ChannelNotFoundEntity)


async def test_aio_pika_hands_a_transport_factory_on() -> None:
    class Factory(aiormq.TransportFactory):
        async def create(self, url: Any, **kwargs: Any) -> Any:
            raise ConnectionRefusedError("by the factory")

    connection = aio_pika.Connection(aio_pika.connection.make_url("amqp://guest:guest@127.0.0.1:1/"))
    connection.kwargs["transport_factory"] = Factory()

    with pytest.raises(ConnectionRefusedError, match="by the factory"):
        await connection.connect()
    await connection.close()
    assert connection.is_closed


async def test_aiormq_reads_a_transport_only_as_ours_can_be_read() -> None:
    source = asyncio.StreamReader()
    source.feed_data(pamqp.frame.marshal(commands.Channel.OpenOk(), 3))
    source.feed_eof()
    receiver = aiormq.connection.FrameReceiver(cast(asyncio.StreamReader, ClearReader(source)))

    assert [type(frame) async for _, _, frame in receiver] == [commands.Channel.OpenOk]
