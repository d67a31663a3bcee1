"""No property of a message, readable or not, reaches the library that reads the connection."""

import asyncio
import struct
from typing import Any

import pamqp.frame
import pytest
from aiormq.abc import DeliveredMessage
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from adapters.rabbitmq.received import Clearing, ClearReader, Received


def frame(kind: int, payload: bytes, *, on: int = 1) -> bytes:
    return struct.pack(">BHI", kind, on, len(payload)) + payload + b"\xce"


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def delivered(properties: bytes, *, key: bytes = b"k", body: bytes = b"x", on: int = 1) -> bytes:
    method = b"\x00\x3c\x00\x3c" + short(b"ctag") + struct.pack(">Q", 7) + b"\x01" + short(b"\xfe") + short(key)
    return frame(1, method, on=on) + content(properties, body, on=on)


def fetched(properties: bytes, *, key: bytes = b"k", body: bytes = b"x", on: int = 1) -> bytes:
    method = b"\x00\x3c\x00\x47" + struct.pack(">Q", 7) + b"\x01" + short(b"\xfe") + short(key) + struct.pack(">I", 5)
    return frame(1, method, on=on) + content(properties, body, on=on)


def content(properties: bytes, body: bytes, *, on: int) -> bytes:
    header = b"\x00\x3c\x00\x00" + struct.pack(">Q", len(body)) + properties
    return frame(2, header, on=on) + (frame(3, body, on=on) if body else b"")


def frames(data: bytes) -> list[Any]:
    found = []
    while data:
        size, _, decoded = pamqp.frame.unmarshal(data)
        found.append(decoded)
        data = data[size:]
    return found


def received(data: bytes) -> Received:
    delivery, header, *bodies = frames(Clearing()(data))
    body = b"".join(part.value for part in bodies)
    return Received.of(DeliveredMessage(delivery=delivery, header=header, body=body, channel=None))  # type: ignore[arg-type]


@given(properties=st.binary(min_size=2, max_size=300), key=st.binary(max_size=255), body=st.binary(max_size=20))
def test_nothing_in_a_message_breaks_the_reader(properties: bytes, key: bytes, body: bytes) -> None:
    for message in (delivered(properties, key=key, body=body), fetched(properties, key=key, body=body)):
        delivery, header, *_ = frames(Clearing()(message))

        assert (delivery.delivery_tag, delivery.redelivered, delivery.routing_key) == (7, True, "")
        assert header.body_size == len(body)
        assert received(message).body == body


@given(data=st.data())
def test_a_frame_may_come_in_any_pieces(data: st.DataObject) -> None:
    stream = b"".join(
        [
            frame(8, b"", on=0),
            delivered(b"\x00\x08\x01\xff", on=1),
            fetched(b"\x00\x00", body=b"", on=2),
            pamqp.frame.marshal(commands.Channel.OpenOk(), 3),
        ]
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    clearing = Clearing()
    pieces = [clearing(stream[start:end]) for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert b"".join(pieces) == Clearing()(stream)
    assert [type(each) for each in frames(b"".join(pieces))] == [
        Heartbeat,
        commands.Basic.Deliver,
        ContentHeader,
        ContentBody,
        commands.Basic.GetOk,
        ContentHeader,
        commands.Channel.OpenOk,
    ]


@pytest.mark.parametrize("mode", [0, 3, 255])
def test_a_delivery_mode_of_any_number_is_read(mode: int) -> None:
    message = received(delivered(b"\x10\x00" + bytes([mode])))

    assert (message.body, message.problem) == (b"x", None)


def test_properties_are_decoded_as_they_were_sent() -> None:
    sent = commands.Basic.Properties(message_type="order.paid", headers={"attempt": 3, "event-id": "e"})
    header = ContentHeader(body_size=1, properties=sent).marshal()[12:]

    assert received(delivered(header)) == Received(b"x", "order.paid", {"attempt": 3, "event-id": "e"})


def test_what_comes_back_to_its_sender_is_as_it_was_sent() -> None:
    returned = commands.Basic.Return(reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key="nowhere")
    header = ContentHeader(body_size=0, properties=commands.Basic.Properties(message_id="ours"))
    stream = delivered(b"\x00\x00", body=b"")[:-1] + b"\xce"

    *_, found = frames(Clearing()(stream + pamqp.frame.marshal(returned, 1) + pamqp.frame.marshal(header, 1)))

    assert found.properties.message_id == "ours"


def test_what_is_no_frame_is_passed_on() -> None:
    assert Clearing()(b"HTTP/1.1 400 Bad Request\r\n") == b"HTTP/1.1 400 Bad Request\r\n"


async def test_a_connection_that_ends_within_a_frame_says_so() -> None:
    source = asyncio.StreamReader()
    source.feed_data(frame(8, b"", on=0) + delivered(b"\x00\x00")[:20])
    source.feed_eof()
    reader = ClearReader(source)

    assert await reader.readexactly(8) == frame(8, b"", on=0)
    with pytest.raises(asyncio.IncompleteReadError):
        await reader.readexactly(1)
    assert reader.at_eof()
