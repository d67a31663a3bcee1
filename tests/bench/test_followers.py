"""What the readers of the feed count."""

from datetime import UTC, datetime

from bench.followers import Reader

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)


def take(reader: Reader, *positions: int) -> None:
    for position in positions:
        data = b'{"position": %d, "order_id": "x", "time": "2026-11-29T12:00:00Z", "data": {}}' % position
        reader.take(data, AT.timestamp() + 0.25)


def test_a_reader_counts_events_and_how_late_they_are() -> None:
    reader = Reader()
    take(reader, 7, 8, 9)
    assert (reader.events, reader.gaps) == (3, 0)
    assert [round(each) for each in reader.milliseconds] == [250, 250, 250]


def test_an_event_that_does_not_follow_the_one_before_is_a_gap() -> None:
    reader = Reader()
    take(reader, 7, 9, 9, 10)
    assert (reader.events, reader.gaps) == (4, 2)
