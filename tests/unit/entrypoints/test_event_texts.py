"""Server-sent events are encoded once for all who read them."""

import json

from application.ports.feed import FeedItem, Position
from domain.ids import UserId
from entrypoints.http.event_texts import EventTexts
from tests.unit.builders import a_line, placed


def an_item(position: int, *, number: int = 1) -> FeedItem:
    _, event = placed(a_line(), number=number)
    return FeedItem(Position(position), event, UserId(1))


def order_in(text: bytes) -> str:
    [data] = [line for line in text.decode().splitlines() if line.startswith("data: ")]
    return str(json.loads(data.removeprefix("data: "))["order_id"])


def test_an_item_is_encoded_once_for_all_readers() -> None:
    texts, item = EventTexts(), an_item(7)
    text = texts.of(item)
    assert text.startswith(b"id: 7\nevent: order.placed\ndata: {")
    assert text.endswith(b"}\n\n")
    assert texts.of(item) is text


def test_another_event_at_the_same_position_has_its_own_text() -> None:
    """As after a restore from a backup."""
    texts = EventTexts()
    first, second = (texts.of(an_item(7, number=number)) for number in (1, 2))
    assert order_in(first) != order_in(second)


def test_old_texts_are_forgotten() -> None:
    texts, item = EventTexts(), an_item(1)
    text = texts.of(item)
    for position in range(2, 1000):
        texts.of(an_item(position))
    assert texts.of(item) is not text
    assert texts.of(item) == text
