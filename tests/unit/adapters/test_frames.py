"""What is put together here is what pamqp makes of it, byte for byte."""

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from adapters.rabbitmq.frames import Message, publishing

names = st.text(st.characters(codec="utf-8"), max_size=60)
tables = st.dictionaries(st.text("abc-", min_size=1, max_size=10), names | st.integers(0, 2**31 - 1), max_size=3)
messages = st.builds(
    Message,
    names,
    st.binary(max_size=64),
    st.none() | names,
    tables,
    exchange=st.text("holdfast.-", max_size=20),
    mandatory=st.booleans(),
)


@given(messages, names.filter(bool), st.integers(1, 2047), st.integers(1, 70))
def test_a_message_goes_out_as_pamqp_would_write_it(message: Message, id_: str, channel: int, max_size: int) -> None:
    properties = commands.Basic.Properties(
        content_type="application/json",
        delivery_mode=2,
        message_id=id_,
        message_type=message.type,
        headers=message.headers,
    )
    expected = [
        commands.Basic.Publish(exchange=message.exchange, routing_key=message.routing_key, mandatory=message.mandatory),
        ContentHeader(properties=properties, body_size=len(message.body)),
        *(ContentBody(message.body[start : start + max_size]) for start in range(0, len(message.body), max_size)),
    ]
    assert publishing(message, id_=id_, channel=channel, max_size=max_size) == b"".join(
        frame.marshal(each, channel) for each in expected
    )
