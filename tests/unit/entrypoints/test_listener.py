"""What `holdfast listen` does with its feed, its receiver and its place, over HTTP that is answered in this process."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import httpx
import pytest
from holdfast_client import verify_webhook

from entrypoints.cli.listen import listen
from entrypoints.cli.listener import ListenerError, Place, Receiver, RemoteFeed, forward
from entrypoints.shown import shown

BEGAN = datetime(2026, 11, 28, 12, tzinfo=UTC)
FIRST, COUNT = 11, 500
TARGET = "http://localhost:3000/webhooks"


def an_event(position: int) -> dict[str, object]:
    """One a minute, and four of each order."""
    at = BEGAN + timedelta(minutes=position)
    order, sequence = divmod(position, 4)
    return {
        "position": position,
        "order_id": f"order {order}",
        "sequence": sequence,
        "type": "order.paid" if position % 2 else "order.placed",
        "time": at.isoformat(),
        "data": {"note": "café"},
    }


def shop(request: httpx.Request) -> httpx.Response:
    """As `GET /events` of a shop that has forgotten its first events."""
    newest = FIRST + COUNT - 1
    after, limit = int(request.url.params.get("after", FIRST - 1)), int(request.url.params["limit"])
    if not FIRST - 1 <= after <= newest:
        return httpx.Response(410, json={"title": "Gone", "detail": f"go on after position {newest}"})
    found = [an_event(position) for position in range(after + 1, min(after + limit, newest) + 1)]
    if wanted := request.url.params.get("types"):
        found = [event for event in found if event["type"] in wanted.split(",")]
    following = min(after + limit, newest)
    return httpx.Response(200, json={"items": found, "next": following}, headers={"Holdfast-Position": str(newest)})


def a_feed(
    answer: Callable[[httpx.Request], httpx.Response] = shop, *, types: str | None = None
) -> tuple[RemoteFeed, list[str]]:
    said: list[str] = []
    client = httpx.Client(base_url="http://shop.example", transport=httpx.MockTransport(answer))
    return RemoteFeed(client, types, said.append, sleep=lambda _: None), said


def a_receiver(place: Place, answers: Iterator[int] | None = None) -> tuple[Receiver, list[httpx.Request]]:
    """One that answers 200, or what it is told to, and remembers what it was sent."""
    got: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        got.append(request)
        status = 200 if answers is None else next(answers, 200)
        if not status:
            raise httpx.ConnectError("refused")
        return httpx.Response(status)

    client = httpx.Client(transport=httpx.MockTransport(take))
    return Receiver(client, TARGET, place.secret, lambda _: None, sleep=lambda _: None), got


@pytest.mark.parametrize("minutes", [-5, 0, FIRST, FIRST + 1, 250, FIRST + COUNT - 1, FIRST + COUNT, 10_000])
def test_a_time_is_the_place_after_all_that_happened_before(minutes: int) -> None:
    feed, _ = a_feed()
    after = feed.begin_after(BEGAN + timedelta(minutes=minutes))
    earlier = [position for position in range(FIRST, FIRST + COUNT) if position < minutes]
    assert after == (earlier[-1] if earlier else FIRST - 1)


def test_every_event_is_signed_and_sent_until_it_is_taken_and_later_ones_wait(tmp_path: Path) -> None:
    place = Place.open(tmp_path, TARGET)
    receiver, got = a_receiver(place, iter([500, 0, 301, 204, 410]))
    taken = [json.loads(text) for text in islice(forward(a_feed()[0], receiver, place, after=FIRST - 1), COUNT)]
    assert taken == [an_event(position) for position in range(FIRST, FIRST + COUNT)]
    assert [request.headers["holdfast-attempt"] for request in got[:7]] == ["1", "2", "3", "4", "1", "2", "1"]
    assert [int(request.headers["holdfast-position"]) for request in got[3:]] == [
        *(FIRST, FIRST + 1),
        *range(FIRST + 1, FIRST + COUNT),
    ]
    for request in got:
        event = json.loads(request.content)
        id_ = verify_webhook(request.content, request.headers, place.secret.told())
        assert id_ == f"{event['order_id']}/{event['sequence']}"


def test_another_run_goes_on_with_the_first_event_that_was_not_taken(tmp_path: Path) -> None:
    place = Place.open(tmp_path, TARGET)
    receiver, _ = a_receiver(place)
    next(forward(a_feed()[0], receiver, place, after=FIRST + 4))

    again = Place.open(tmp_path, TARGET)
    assert (again.position, again.secret) == (FIRST + 5, place.secret)
    receiver, got = a_receiver(again)
    next(forward(a_feed()[0], receiver, again, after=again.position or 0))
    assert [request.headers["holdfast-position"] for request in got] == [str(FIRST + 6)]
    # Others have a place and a secret of their own, and nobody else on this machine can read them.
    other = Place.open(tmp_path, TARGET, "order.paid")
    assert (other.position, other.secret == place.secret) == (None, False)
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_the_place_goes_on_over_events_of_other_types(tmp_path: Path) -> None:
    place = Place.open(tmp_path, TARGET)
    receiver, got = a_receiver(place)
    feed, _ = a_feed(types="order.placed")
    only = forward(feed, receiver, place, after=FIRST)
    taken = [json.loads(next(only))["position"] for _ in range(200)]
    assert taken == [position for position in range(FIRST + 1, FIRST + COUNT) if not position % 2][:200]
    assert len(got) == 200
    # What the next page begins after.
    assert place.position is not None
    assert place.position >= taken[-1]


def test_a_shop_that_is_away_is_asked_again_and_a_refusal_is_told(tmp_path: Path) -> None:
    answers = iter([httpx.Response(503, json={"detail": "the database is away"}), httpx.ConnectError("refused")])

    def away_at_first(request: httpx.Request) -> httpx.Response:
        answer = next(answers, None)
        if isinstance(answer, Exception):
            raise answer
        return answer or shop(request)

    feed, said = a_feed(away_at_first)
    assert feed.newest() == FIRST + COUNT - 1
    assert [("the database is away" in said[0]), ("refused" in said[1])] == [True, True]

    forgotten, _ = a_feed()
    with pytest.raises(ListenerError, match=f"410: go on after position {FIRST + COUNT - 1}"):
        forgotten.expect(3)
    forgotten.expect(FIRST)
    strange, _ = a_feed(lambda _: httpx.Response(404, text="<html>"))
    with pytest.raises(ListenerError, match="404: this is no answer of a shop"):
        strange.newest()
    changed, _ = a_feed(lambda _: httpx.Response(200, text="<html>"))
    with pytest.raises(ListenerError, match="this is no answer of a shop"):
        changed.page(FIRST)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{", "can't be read"), (b'{"secret": "whsec_AA=="}', "24 to 64 bytes"), (None, "can't be read")],
)
def test_a_place_that_is_damaged_is_told(tmp_path: Path, content: bytes | None, told: str) -> None:
    Place.open(tmp_path, TARGET).move_to(3)
    [file] = tmp_path.iterdir()
    if content is None:
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(ListenerError, match=told):
        Place.open(tmp_path, TARGET)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"forward_to": "localhost:3000"}, "--forward-to"),
        ({"forward_to": "ftp://localhost/x"}, "--forward-to"),
        ({"forward_to": "http://user:secret@localhost/x"}, "--forward-to"),
        ({"forward_to": "http://[::1/x"}, "--forward-to"),
        ({"forward_to": TARGET, "shop": "shop.example"}, "--shop"),
        ({"forward_to": TARGET, "since": "yesterday"}, "--since"),
        ({"forward_to": TARGET, "since": "99999999999999d"}, "--since"),
        ({"forward_to": TARGET, "since": "-1"}, "--since"),
    ],
)
def test_wrong_options_are_told(
    options: dict[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match=told) as refused:
        listen(**options)
    assert "user:secret" not in shown(str(refused.value))
