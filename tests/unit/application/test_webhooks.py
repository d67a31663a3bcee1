"""What becomes of events on their way to the receivers of webhooks, whatever these answer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from adapters.codecs.standard_webhooks import SigningKey
from adapters.memory.repositories.webhooks import MemoryWebhookEndpoints
from adapters.memory.webhooks import Answer
from application.access.principal import SYSTEM
from application.errors import Aborted, BrokenRow, OutcomeUnknown
from application.execution.idempotency import Keyed, KeyReused
from application.jobs.kinds import Progress
from application.ports.feed import FED_TYPES
from application.ports.idempotency import IdempotencyKey
from application.ports.webhooks import AttemptFailure, WebhookRequest
from application.webhooks.deliveries import RecoverDeliveries, RecoverRequest
from application.webhooks.endpoints import MOST_ENDPOINTS
from domain.errors import IllegalTransition
from domain.ids import EndpointId
from domain.jobs.job import JobStatus
from domain.webhooks.delivery import DeliveryId, DeliveryStatus, UnknownDelivery
from domain.webhooks.endpoint import (
    MOST_SECRETS,
    Disabled,
    Endpoint,
    InvalidEndpoint,
    Ordering,
    Signature,
    TooManyEndpoints,
    UnknownEndpoint,
)
from domain.webhooks.progress import LEASE
from domain.webhooks.schedule import FAILING_FOR, FAILURES_TO_DISABLE, MAX_TRIES
from tests.unit.builders import NOW
from tests.unit.unsteady import Trouble
from tests.unit.webhooks import BROKEN, OK, URL, Webhooks, statuses

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
OTHER = "https://other.example/"


@pytest.fixture
async def webhooks() -> AsyncIterator[Webhooks]:
    """Afterwards, every event of the feed is accounted for, for every endpoint."""
    webhooks = Webhooks()
    yield webhooks
    assert await webhooks.findings() == []


def failing(types: str, answer: Answer = BROKEN) -> Callable[[WebhookRequest], Answer]:
    """Answers so to the events of a type, and takes all others."""
    return lambda request: answer if f'"type":"{types}"'.encode() in request.body else OK


async def test_every_event_after_its_beginning_reaches_an_endpoint_once_and_in_order(webhooks: Webhooks) -> None:
    await webhooks.orders()
    id_ = await webhooks.add()
    orders = await webhooks.orders(3)
    await webhooks.send()
    assert webhooks.sequences() == {str(order.id): [1, 2, 3, 4] for order in orders}
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 12
    [first, *_] = webhooks.received()
    assert first.headers["holdfast-position"] == "5"
    assert first.headers["holdfast-attempt"] == "1"
    assert "holdfast-gap" not in first.headers


async def test_an_endpoint_gets_what_it_wants(webhooks: Webhooks) -> None:
    id_ = await webhooks.add(events=("order.paid", "order.placed"))
    await webhooks.orders(2)
    await webhooks.send()
    assert sorted(each.type for each in await webhooks.deliveries(id_)) == ["order.paid"] * 2 + ["order.placed"] * 2
    assert webhooks.progress(id_).filtered == 4


async def test_an_event_is_tried_again_by_the_schedule_until_it_is_given_up(webhooks: Webhooks) -> None:
    id_ = await webhooks.add(events=("order.placed",))
    webhooks.answers[URL] = lambda _: BROKEN
    await webhooks.orders()
    await webhooks.send()
    [delivery] = await webhooks.deliveries(id_)
    assert (delivery.status, delivery.tries) == ("RETRYING", 1)
    await webhooks.pass_time(80 * HOUR, step=10 * MINUTE)
    [delivery] = await webhooks.deliveries(id_)
    assert (delivery.status, delivery.reason, delivery.tries) == ("EXHAUSTED", "exhausted", MAX_TRIES)
    attempts = (await webhooks.shop.use_cases.get_delivery(SYSTEM, delivery.id)).attempts
    assert [each.status for each in attempts] == [500] * MAX_TRIES
    assert {request.headers["webhook-id"] for request in webhooks.received()} == {f"{delivery.order_id}/1"}
    assert [request.headers["holdfast-attempt"] for request in webhooks.received()] == [
        str(number) for number in range(1, MAX_TRIES + 1)
    ]


async def test_a_connection_that_is_refused_at_once_is_tried_again_at_once(webhooks: Webhooks) -> None:
    answers = [Answer(failure=AttemptFailure.CONNECT), OK]
    webhooks.answers[URL] = lambda _: answers.pop(0)
    id_ = await webhooks.add(events=("order.placed",))
    await webhooks.orders()
    await webhooks.send()
    [delivery] = await webhooks.deliveries(id_)
    assert (delivery.status, delivery.tries, delivery.attempts) == ("DELIVERED", 1, 2)


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("7200", 2 * HOUR),
        ("999999999999", 24 * HOUR),
        ("0", 0 * HOUR),
        ((NOW + 3 * HOUR).strftime("%a, %d %b %Y %H:%M:%S GMT"), 3 * HOUR),
        ("soon", 0 * HOUR),
        ("-5", 0 * HOUR),
        # Numbers that no date has room for.
        ("1 Jan 99999999999 10:00", 0 * HOUR),
        ("99999999999999999999 Jan 2026 10:00", 0 * HOUR),
    ],
)
async def test_a_receiver_may_ask_for_more_time(webhooks: Webhooks, asked: str, pause: timedelta) -> None:
    webhooks.answers[URL] = lambda _: Answer(status=503, headers={"Retry-After": asked})
    id_ = await webhooks.add(events=("order.placed",))
    await webhooks.orders()
    await webhooks.send()
    [delivery] = await webhooks.deliveries(id_)
    assert delivery.next_at is not None
    assert pause <= delivery.next_at - NOW <= max(pause, 6 * SECOND)


async def test_later_events_of_an_order_wait_for_an_earlier_one_and_other_orders_go_on(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    first = True

    def once(request: WebhookRequest) -> Answer:
        nonlocal first
        if first and request.headers["holdfast-sequence"] == "2":
            first = False
            return BROKEN
        return OK

    webhooks.answers[URL] = once
    held, free = await webhooks.orders(2)
    await webhooks.send()
    assert webhooks.sequences() == {str(held.id): [1, 2], str(free.id): [1, 2, 3, 4]}
    assert statuses(await webhooks.deliveries(id_))[:4] == [
        "DELIVERED",
        "RETRYING",
        "PENDING held_behind",
        "PENDING held_behind",
    ]
    await webhooks.pass_time(6 * SECOND, step=SECOND)
    assert webhooks.sequences()[str(held.id)] == [1, 2, 2, 3, 4]
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 8


async def test_what_happens_later_to_an_order_waits_as_well(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = failing("order.paid")
    [order] = await webhooks.orders()
    await webhooks.send()
    await webhooks.shop.complete_order([order.id])
    await webhooks.feed()
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_))[3:] == ["RETRYING", "PENDING held_behind"]
    del webhooks.answers[URL]
    await webhooks.pass_time(6 * SECOND, step=SECOND)
    assert webhooks.sequences()[str(order.id)][-2:] == [4, 5]


async def test_after_an_hour_the_later_events_are_sent_and_say_that_one_is_missing(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = failing("order.payment_requested")
    [order] = await webhooks.orders()
    await webhooks.send()
    await webhooks.pass_time(59 * MINUTE)
    assert 3 not in webhooks.sequences()[str(order.id)]
    await webhooks.pass_time(2 * MINUTE)
    gaps = {
        request.headers["holdfast-sequence"]: request.headers.get("holdfast-gap") for request in webhooks.received()
    }
    assert gaps == {"1": None, "2": None, "3": "true", "4": "true"}
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED", "RETRYING", "DELIVERED", "DELIVERED"]
    del webhooks.answers[URL]
    await webhooks.pass_time(3 * HOUR, step=10 * MINUTE)
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 4


async def test_what_happens_later_waits_too_for_what_failed_after_the_clock_was_read(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = failing("order.paid")
    [order] = await webhooks.orders()
    await webhooks.send()
    await webhooks.shop.complete_order([order.id])
    await webhooks.feed()
    # A round that has read the clock just before the failure was recorded.
    webhooks.shop.clock.forward(-SECOND)
    await webhooks.send()
    assert webhooks.sequences()[str(order.id)][-1] == 4
    assert statuses(await webhooks.deliveries(id_))[3:] == ["RETRYING", "PENDING held_behind"]


async def test_without_an_order_nothing_waits(webhooks: Webhooks) -> None:
    id_ = await webhooks.add(ordering=Ordering.BEST_EFFORT)
    webhooks.answers[URL] = failing("order.placed")
    await webhooks.orders()
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_)) == ["RETRYING", "DELIVERED", "DELIVERED", "DELIVERED"]


async def test_a_receiver_that_is_gone_is_disabled_and_what_waits_is_kept(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = lambda _: Answer(status=410)
    await webhooks.orders(3)
    ended = await webhooks.send()
    assert [each.disabled for each in ended] == [Disabled.GONE]
    assert (await webhooks.endpoint(id_)).disabled is Disabled.GONE
    sent = len(webhooks.received())
    assert sent <= 4
    await webhooks.pass_time(2 * HOUR)
    assert len(webhooks.received()) == sent
    del webhooks.answers[URL]
    await webhooks.shop.use_cases.enable_endpoint(SYSTEM, id_, resume_from="where_it_stopped")
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 12
    assert [entry.action for entry in webhooks.shop.store.audit][-2:] == [
        "webhook_endpoint.disabled",
        "webhook_endpoint.enabled",
    ]


@pytest.mark.parametrize(
    ("answer", "failures"),
    [(Answer(status=410), 0), (BROKEN, FAILURES_TO_DISABLE)],
    ids=["gone", "failing for days"],
)
async def test_an_address_that_was_replaced_in_a_round_does_not_disable_its_endpoint(
    webhooks: Webhooks, answer: Answer, failures: int
) -> None:
    id_ = await webhooks.add()
    goes_on = asyncio.Event()

    async def answered(request: WebhookRequest) -> Answer:
        await goes_on.wait()
        return answer if request.url == URL else OK

    webhooks.shop.receivers.answer = answered
    await webhooks.orders()
    if failures:
        progress = webhooks.progress(id_)
        progress.failures, progress.failing_since = failures, webhooks.shop.clock() - FAILING_FOR
    await webhooks.sender()
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"url": OTHER})
    goes_on.set()
    await webhooks.send()
    assert (await webhooks.endpoint(id_)).is_served
    assert webhooks.progress(id_).failures == failures
    await webhooks.pass_time(MINUTE, step=6 * SECOND)
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 4


async def test_an_endpoint_that_would_not_be_taken_any_more_can_be_changed_and_disabled(webhooks: Webhooks) -> None:
    """The setting may be another one than on the day when it was made."""
    id_ = await webhooks.add()
    async with webhooks.shop.unit_of_work() as tx:
        endpoint = (await tx.webhook_endpoints.get_many({id_}, lock=True))[id_]
        endpoint.url, endpoint.signature = "http://10.0.0.1/", Signature.V1A
        await tx.webhook_endpoints.save_many([endpoint])
    change = webhooks.shop.use_cases.change_endpoint
    whole = {"description": "till", "url": "http://10.0.0.1/", "signature": Signature.V1A, "enabled": False}
    changed = (await change(SYSTEM, id_, whole)).endpoint
    assert (changed.description, changed.is_served) == ("till", False)
    for wrong in ({"url": "http://10.0.0.2/"}, {"url": "http://10.0.0.1/x", "description": "other"}):
        with pytest.raises(InvalidEndpoint, match="http is only taken"):
            await change(SYSTEM, id_, wrong)
    assert (await change(SYSTEM, id_, {"url": OTHER, "signature": Signature.V1})).endpoint.url == OTHER


async def test_what_was_missed_is_listed_if_an_endpoint_goes_on_with_what_is_new(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = failing("order.placed")
    await webhooks.orders()
    await webhooks.send()
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"enabled": False})
    await webhooks.orders()
    del webhooks.answers[URL]
    await webhooks.shop.use_cases.enable_endpoint(SYSTEM, id_, resume_from="now")
    [order] = await webhooks.orders()
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_)) == ["SKIPPED endpoint_disabled"] * 8 + ["DELIVERED"] * 4
    assert webhooks.sequences()[str(order.id)] == [1, 2, 3, 4]


async def test_an_endpoint_goes_on_where_it_stopped_whatever_was_chosen_before(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    enable, change = webhooks.shop.use_cases.enable_endpoint, webhooks.shop.use_cases.change_endpoint
    await change(SYSTEM, id_, {"enabled": False})
    await webhooks.orders()
    await enable(SYSTEM, id_, resume_from="now")
    # The sender has not come by yet.
    await change(SYSTEM, id_, {"enabled": False})
    await enable(SYSTEM, id_, resume_from="where_it_stopped")
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 4


async def test_an_endpoint_may_go_on_after_a_position(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    enable = webhooks.shop.use_cases.enable_endpoint
    await webhooks.orders()
    await webhooks.send()
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"enabled": False})
    await webhooks.orders()
    for beyond in (3, 9):
        with pytest.raises(InvalidEndpoint, match="between"):
            await enable(SYSTEM, id_, resume_from=beyond)
    await enable(SYSTEM, id_, resume_from=6)
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_))[4:] == ["SKIPPED endpoint_disabled"] * 2 + ["DELIVERED"] * 2
    with pytest.raises(IllegalTransition):
        await enable(SYSTEM, id_, resume_from="now")


async def test_nothing_but_failures_for_days_disables_an_endpoint(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = lambda _: BROKEN
    await webhooks.orders(5)
    await webhooks.send()
    await webhooks.pass_time(119 * HOUR, step=10 * MINUTE)
    assert (await webhooks.endpoint(id_)).disabled is None
    # As long as it fails, there is something to try it with.
    await webhooks.orders(3)
    await webhooks.pass_time(3 * HOUR, step=10 * MINUTE)
    assert (await webhooks.endpoint(id_)).disabled is Disabled.FAILING


async def test_a_receiver_that_fails_is_given_a_rest_and_then_tried_with_one_delivery(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = lambda _: BROKEN
    await webhooks.orders(30)
    await webhooks.send()
    sent = len(webhooks.received())
    assert 10 <= sent < 10 + 4
    await webhooks.pass_time(100 * SECOND, step=10 * SECOND)
    assert len(webhooks.received()) == sent
    await webhooks.pass_time(40 * SECOND, step=10 * SECOND)
    assert len(webhooks.received()) == sent + 1
    assert webhooks.progress(id_).rests == 2
    await webhooks.pass_time(3 * HOUR)
    # The longest rest is half an hour.
    assert sent + 5 <= len(webhooks.received()) <= sent + 12
    del webhooks.answers[URL]
    await webhooks.pass_time(8 * HOUR, step=5 * MINUTE)
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 120


async def test_a_receiver_that_gets_another_url_or_other_headers_is_tried_at_once(webhooks: Webhooks) -> None:
    """Its rest is that of what answered before."""
    shop, change = webhooks.shop, webhooks.shop.use_cases.change_endpoint
    for number, changes in enumerate(({"url": OTHER}, {"headers": {"authorization": "the right one"}})):
        url = f"https://moved.example/{number}"
        id_ = await webhooks.add(url)
        webhooks.answers[url] = lambda request: OK if "authorization" in request.headers else BROKEN
        await webhooks.orders(30)
        await webhooks.send()
        # Whoever answers is the same.
        await change(SYSTEM, id_, {"url": url, "headers": {}, "description": "to be moved"})
        assert webhooks.progress(id_).rests_at(shop.clock())
        await change(SYSTEM, id_, changes)
        await webhooks.pass_time(6 * SECOND, step=SECOND)
        assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 120, changes


async def test_a_mended_receiver_is_tried_at_once_when_a_person_asks_for_it(webhooks: Webhooks) -> None:
    use, shop = webhooks.shop.use_cases, webhooks.shop
    for number, ask in enumerate(
        (
            lambda id_: use.test_endpoint(SYSTEM, id_),
            lambda id_: use.start_recovery(SYSTEM, RecoverRequest(endpoint_id=id_, since=NOW)),
            lambda id_: use.resend_delivery(SYSTEM, DeliveryId(id_, webhooks.progress(id_).position)),
        )
    ):
        url = f"https://mended.example/{number}"
        id_ = await webhooks.add(url)
        webhooks.answers[url] = lambda _: BROKEN
        await webhooks.orders(30)
        await webhooks.send()
        assert webhooks.progress(id_).rests_at(shop.clock())

        # It fails still: one attempt more, and it is left alone again, for longer.
        if number > 0:
            sent = len(webhooks.received(url))
            await ask(id_)
            await webhooks.send()
            assert len(webhooks.received(url)) == sent + 1
            assert webhooks.progress(id_).rests == 2
        else:
            assert (await ask(id_)).status == 500
            assert webhooks.progress(id_).rests_at(shop.clock())

        del webhooks.answers[url]
        await ask(id_)
        await webhooks.pass_time(6 * SECOND, step=SECOND)
        assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 120, number
        assert webhooks.progress(id_).failing_since is None
        await use.delete_endpoint(SYSTEM, id_)


async def test_a_recovery_tells_what_it_sends_again_and_what_waits_in_its_turn(webhooks: Webhooks) -> None:
    id_ = await webhooks.add(events=("order.placed", "order.paid"))
    webhooks.answers[URL] = failing("order.placed")
    await webhooks.orders(30)
    await webhooks.send()
    tried = [each for each in await webhooks.deliveries(id_) if each.status is DeliveryStatus.RETRYING]
    # Until the second attempt, five minutes pass, and more until the third.
    await webhooks.pass_time(HOUR / 2)
    await webhooks.shop.use_cases.start_recovery(SYSTEM, RecoverRequest(endpoint_id=id_, since=NOW))
    [ended] = await run_jobs(webhooks)
    assert len(tried) >= 10
    assert ended.job.result["sent_again"] >= len(tried)
    assert sum(ended.job.result.values()) == 60
    del webhooks.answers[URL]
    # None waits for the time of its next attempt.
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 60


@pytest.mark.parametrize("seen_to", ["another address", "other headers", "a ping"])
async def test_a_receiver_that_a_person_has_seen_to_is_not_disabled_for_what_was_before(
    webhooks: Webhooks, seen_to: str
) -> None:
    """A single failure afterwards, as of a receiver that is still being set up, says nothing of the days before."""
    id_, shop = await webhooks.add(), webhooks.shop
    await _fail_for_days(webhooks, id_)
    use = shop.use_cases
    if seen_to == "another address":
        await use.change_endpoint(SYSTEM, id_, {"url": OTHER})
    elif seen_to == "other headers":
        await use.change_endpoint(SYSTEM, id_, {"headers": {"authorization": "the right one"}})
    else:
        del webhooks.answers[URL]
        assert (await use.test_endpoint(SYSTEM, id_)).failure is None
    webhooks.answers[URL] = webhooks.answers[OTHER] = lambda _: BROKEN
    sent = len(webhooks.received()) + len(webhooks.received(OTHER))
    await webhooks.orders()
    await webhooks.send()
    assert len(webhooks.received()) + len(webhooks.received(OTHER)) > sent
    assert (await webhooks.endpoint(id_)).is_served
    assert webhooks.progress(id_).failing_since == shop.clock()
    # It is disabled still if nothing but failures follows.
    await webhooks.orders(3)
    await webhooks.pass_time(FAILING_FOR + HOUR, step=HOUR / 2)
    assert (await webhooks.endpoint(id_)).disabled is Disabled.FAILING


async def test_the_time_in_which_the_shop_was_closed_is_no_time_of_failures(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    await _fail_for_days(webhooks, id_, timedelta(hours=30))
    webhooks.shop.clock.forward(FAILING_FOR)
    await webhooks.orders()
    await webhooks.send()
    assert (await webhooks.endpoint(id_)).is_served


async def _fail_for_days(webhooks: Webhooks, id_: EndpointId, span: timedelta = FAILING_FOR - HOUR) -> None:
    webhooks.answers[URL] = lambda _: BROKEN
    await webhooks.orders(10)
    await webhooks.send()
    await webhooks.pass_time(span, step=HOUR / 2)
    webhooks.shop.clock.forward(HOUR)
    assert webhooks.progress(id_).failures >= FAILURES_TO_DISABLE
    assert (await webhooks.endpoint(id_)).is_served


async def test_what_came_to_be_due_earlier_than_a_clock_allows_is_sent_within_two_minutes(webhooks: Webhooks) -> None:
    """A sender begins its looks where the last one left nothing."""
    shop, id_ = webhooks.shop, await webhooks.add()
    webhooks.answers[URL] = lambda _: BROKEN
    await webhooks.orders()
    await webhooks.send()
    del webhooks.answers[URL]
    await webhooks.pass_time(MINUTE, step=6 * SECOND)
    assert set(statuses(await webhooks.deliveries(id_))) == {"DELIVERED"}
    position = webhooks.progress(id_).position
    # By another process, while the clock is behind.
    shop.clock.forward(-HOUR)
    await shop.use_cases.resend_delivery(SYSTEM, DeliveryId(id_, position))
    shop.clock.forward(HOUR)
    sent = len(webhooks.received())
    await webhooks.pass_time(2 * MINUTE + SECOND, step=SECOND)
    assert len(webhooks.received()) == sent + 1
    assert set(statuses(await webhooks.deliveries(id_))) == {"DELIVERED"}


async def test_an_endpoint_is_sent_no_more_than_its_rate(webhooks: Webhooks) -> None:
    await webhooks.add(rate_per_s=3)
    await webhooks.orders(5)
    counts = []
    for _ in range(4):
        await webhooks.send()
        counts.append(len(webhooks.received()))
        webhooks.shop.clock.forward(SECOND)
    assert counts == [3, 6, 9, 12]


async def test_one_that_does_not_answer_holds_up_nobody_else(webhooks: Webhooks) -> None:
    await webhooks.add()
    await webhooks.add(OTHER)
    never = asyncio.Event()

    async def answer(request: WebhookRequest) -> Answer:
        if request.url == URL:
            await never.wait()
        return OK

    webhooks.shop.receivers.answer = answer
    await webhooks.orders(3)
    async with asyncio.timeout(30):
        while len(webhooks.received(OTHER)) < 12:
            await webhooks.sender()
            await webhooks.sender.wait()
    never.set()
    await webhooks.send()
    assert len(webhooks.received(URL)) == 12


async def test_a_sender_that_ends_in_the_middle_loses_nothing(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    [order] = await webhooks.orders()
    hangs = asyncio.Event()

    async def hang(request: WebhookRequest) -> Answer:
        if request.headers["holdfast-sequence"] == "3" and not hangs.is_set():
            hangs.set()
            await asyncio.Event().wait()
        return OK

    webhooks.shop.receivers.answer = hang
    gone = webhooks.another_sender()
    await gone()
    async with asyncio.timeout(30):
        await hangs.wait()
    for task in gone._running.values():  # noqa: SLF001 - as if its process had ended
        task.cancel()
    # Until its lease ends, nobody else begins the same round.
    await webhooks.send()
    assert webhooks.sequences()[str(order.id)] == [1, 2, 3]
    webhooks.shop.clock.forward(61 * SECOND)
    await webhooks.send()
    assert webhooks.sequences()[str(order.id)] == [1, 2, 3, 1, 2, 3, 4]
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 4


async def test_a_sender_of_the_same_name_goes_on_at_once(webhooks: Webhooks) -> None:
    await webhooks.add()
    await webhooks.orders()
    webhooks.shop.receivers.answer = _never
    gone = webhooks.another_sender("relay")
    await gone()
    await asyncio.sleep(0)
    for task in gone._running.values():  # noqa: SLF001 - as above
        task.cancel()
    webhooks.shop.receivers.answer = webhooks._answer  # noqa: SLF001 - as it was
    await webhooks.send()
    assert len(webhooks.received()) >= 4


async def _never(_: WebhookRequest) -> Answer:
    await asyncio.Event().wait()
    return OK


async def test_a_sender_that_was_frozen_past_its_lease_records_nothing(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    goes_on = asyncio.Event()

    async def late(_: WebhookRequest) -> Answer:
        await goes_on.wait()
        return BROKEN

    webhooks.shop.receivers.answer = late
    await webhooks.orders()
    frozen = webhooks.another_sender()
    await frozen()
    await asyncio.sleep(0)
    webhooks.shop.receivers.answer = webhooks._answer  # noqa: SLF001 - as it was
    webhooks.shop.clock.forward(61 * SECOND)
    await webhooks.send()
    goes_on.set()
    await webhooks.send(frozen)
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 4
    assert webhooks.progress(id_).failures == 0


@pytest.mark.parametrize("committed", [True, False])
async def test_an_endpoint_whose_round_may_have_begun_does_not_wait_for_the_end_of_the_lease(
    webhooks: Webhooks, *, committed: bool
) -> None:
    """Nobody sends what the database did not answer for."""
    shop = webhooks.shop
    id_ = await webhooks.add()
    await webhooks.orders()
    await webhooks.sender()
    await webhooks.send()
    await webhooks.orders()
    shop.unsteady.to_come.append(Trouble(OutcomeUnknown("no answer"), committed=committed))
    with pytest.raises(OutcomeUnknown):
        await webhooks.sender()
    assert (webhooks.progress(id_).leased_until is not None) is committed
    await webhooks.send()
    assert set(statuses(await webhooks.deliveries(id_))) == {"DELIVERED"}
    assert webhooks.progress(id_).position == webhooks.progress(id_).passed == 8


async def test_two_senders_do_not_send_the_same(webhooks: Webhooks) -> None:
    urls = [f"https://{number}.example/" for number in range(10)]
    for url in urls:
        await webhooks.add(url)
    await webhooks.orders(2)
    another = webhooks.another_sender()
    async with asyncio.timeout(60):
        await asyncio.gather(webhooks.send(), webhooks.send(another))
    assert [len(webhooks.received(url)) for url in urls] == [8] * 10


async def test_what_is_not_wanted_any_more_is_skipped_with_its_reason(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = failing("order.placed")
    await webhooks.orders()
    await webhooks.send()
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"events": ("order.paid",)})
    await webhooks.orders()
    await webhooks.pass_time(2 * HOUR)
    assert statuses(await webhooks.deliveries(id_)) == [
        "SKIPPED type_deselected",
        "SKIPPED type_deselected",
        "SKIPPED type_deselected",
        "DELIVERED",
        "DELIVERED",
    ]


async def test_what_waits_for_one_that_is_not_wanted_any_more_goes_on_at_once(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = failing("order.placed")
    await webhooks.orders()
    await webhooks.send()
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"events": ("order.paid",)})
    await webhooks.pass_time(6 * SECOND, step=SECOND)
    assert statuses(await webhooks.deliveries(id_))[::3] == ["SKIPPED type_deselected", "DELIVERED"]


async def test_a_deleted_endpoint_is_sent_nothing_and_can_be_told_of(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = lambda _: BROKEN
    await webhooks.orders()
    await webhooks.send()
    sent = len(webhooks.received())
    await webhooks.shop.use_cases.delete_endpoint(SYSTEM, id_)
    await webhooks.pass_time(2 * HOUR)
    assert len(webhooks.received()) == sent
    assert statuses(await webhooks.deliveries(id_)) == ["SKIPPED endpoint_deleted"] * 4
    assert (await webhooks.endpoint(id_)).secrets == ()
    for call in (
        webhooks.shop.use_cases.get_endpoint(SYSTEM, id_),
        webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"description": "x"}),
    ):
        with pytest.raises(UnknownEndpoint):
            await call
    assert await webhooks.shop.use_cases.list_endpoints(SYSTEM, limit=9) == []


async def test_an_endpoint_that_is_deleted_in_a_round_keeps_what_has_arrived(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    goes_on = asyncio.Event()

    async def late(request: WebhookRequest) -> Answer:
        await goes_on.wait()
        return OK if request.headers["holdfast-sequence"] == "1" else BROKEN

    webhooks.shop.receivers.answer = late
    await webhooks.orders()
    await webhooks.sender()
    await webhooks.shop.use_cases.delete_endpoint(SYSTEM, id_)
    goes_on.set()
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] + ["SKIPPED endpoint_deleted"] * 3


async def test_a_delivery_is_sent_again_when_somebody_wants_it(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    [order] = await webhooks.orders()
    await webhooks.send()
    resend = webhooks.shop.use_cases.resend_delivery
    await resend(SYSTEM, DeliveryId(id_, 2))
    await webhooks.send()
    assert webhooks.sequences()[str(order.id)] == [1, 2, 3, 4, 2]
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 4
    with pytest.raises(UnknownDelivery):
        await resend(SYSTEM, DeliveryId(id_, 99))
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"events": ("order.paid",)})
    with pytest.raises(IllegalTransition, match="does not want"):
        await resend(SYSTEM, DeliveryId(id_, 2))
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"enabled": False})
    with pytest.raises(IllegalTransition, match="enable it first"):
        await resend(SYSTEM, DeliveryId(id_, 4))


async def test_one_that_is_sent_again_in_vain_holds_nothing_up(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    [order] = await webhooks.orders()
    await webhooks.send()
    await webhooks.shop.use_cases.resend_delivery(SYSTEM, DeliveryId(id_, 1))
    webhooks.answers[URL] = failing("order.placed")
    await webhooks.shop.complete_order([order.id])
    await webhooks.feed()
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_)) == ["RETRYING", *["DELIVERED"] * 4]


async def test_what_was_missed_is_recovered_by_a_job(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    webhooks.answers[URL] = failing("order.paid")
    await webhooks.orders(3)
    await webhooks.send()
    await webhooks.pass_time(90 * HOUR, step=10 * MINUTE)
    assert statuses(await webhooks.deliveries(id_)).count("EXHAUSTED exhausted") == 3
    del webhooks.answers[URL]
    recover = webhooks.shop.use_cases.start_recovery
    for wanted in (
        RecoverRequest(endpoint_id=id_, since=NOW + HOUR),
        RecoverRequest(endpoint_id=id_, since=NOW, until=NOW + HOUR, types=("order.placed",)),
        RecoverRequest(endpoint_id=id_, since=NOW, until=NOW + HOUR, types=("order.*",)),
    ):
        await recover(SYSTEM, wanted)
    results = [ended.job.result for ended in await run_jobs(webhooks)]
    assert sorted(result["sent_again"] for result in results) == [0, 0, 3]
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 12
    with pytest.raises(InvalidEndpoint):
        await recover(SYSTEM, RecoverRequest(endpoint_id=id_, since=NOW, until=NOW))
    with pytest.raises(UnknownEndpoint):
        await recover(SYSTEM, RecoverRequest(endpoint_id=EndpointId(webhooks.shop.new_id()), since=NOW))


async def missed(webhooks: Webhooks) -> EndpointId:
    """An endpoint that has missed the four events of an order."""
    id_ = await webhooks.add()
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"enabled": False})
    await webhooks.orders()
    await webhooks.shop.use_cases.enable_endpoint(SYSTEM, id_, resume_from="now")
    await webhooks.send()
    return id_


def gaps(webhooks: Webhooks) -> list[tuple[str, str | None]]:
    """Of the first order: each attempt by its sequence, and whether it says that an earlier event is missing."""
    return [
        (request.headers["holdfast-sequence"], request.headers.get("holdfast-gap")) for request in webhooks.received()
    ]


@pytest.mark.parametrize("gone", ["deleted", "removed"])
@pytest.mark.parametrize("has_missed", [True, False])
async def test_a_recovery_of_an_endpoint_that_is_gone_meanwhile_ends(
    webhooks: Webhooks, gone: str, *, has_missed: bool
) -> None:
    use, store = webhooks.shop.use_cases, webhooks.shop.store
    id_ = await missed(webhooks) if has_missed else await webhooks.add()
    await use.start_recovery(SYSTEM, RecoverRequest(endpoint_id=id_, since=NOW))
    if gone == "deleted":
        await use.delete_endpoint(SYSTEM, id_)
    else:
        store.webhook_endpoints.clear()
        store.webhook_progress.clear()
    # Nobody waits for these any more.
    await webhooks.orders()
    [ended] = await run_jobs(webhooks)
    if has_missed:
        assert ended.job.status is JobStatus.DISCARDED
        assert ended.job.error.startswith("unknown_webhook_endpoint: ")
    else:
        assert ended.job.status is JobStatus.COMPLETED
        assert ended.job.result == {"sent_again": 0, "waiting": 0}
    await webhooks.send()
    assert webhooks.received() == []


async def test_what_is_recovered_arrives_in_its_order(webhooks: Webhooks) -> None:
    id_ = await missed(webhooks)
    webhooks.answers[URL] = failing("order.payment_requested")
    await webhooks.shop.use_cases.start_recovery(SYSTEM, RecoverRequest(endpoint_id=id_, since=NOW))
    await run_jobs(webhooks)
    await webhooks.send()
    assert gaps(webhooks) == [("1", None), ("2", None)]
    del webhooks.answers[URL]
    await webhooks.pass_time(6 * SECOND, step=SECOND)
    assert gaps(webhooks)[2:] == [("2", None), ("3", None), ("4", None)]


async def test_a_recovery_begins_with_the_earliest(webhooks: Webhooks) -> None:
    id_, shop = await missed(webhooks), webhooks.shop
    job = (await shop.use_cases.start_recovery(SYSTEM, RecoverRequest(endpoint_id=id_, since=NOW))).job
    shop.unsteady.to_come += [None, Trouble(Aborted("the process is gone"))]
    recover = RecoverDeliveries(shop.unsteady, batch=1)
    with pytest.raises(Aborted):
        await recover(job, Progress())
    await webhooks.send()
    assert await recover(job, Progress()) == {"sent_again": 3, "waiting": 0}
    await webhooks.send()
    assert gaps(webhooks) == [("1", None), ("2", None), ("3", None), ("4", None)]


async def test_events_after_some_that_were_skipped_say_that_these_are_missing(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"enabled": False})
    await webhooks.orders()
    await webhooks.shop.use_cases.enable_endpoint(SYSTEM, id_, resume_from=2)
    await webhooks.send()
    assert gaps(webhooks) == [("3", "true"), ("4", "true")]


async def test_one_that_was_sent_ahead_says_that_earlier_ones_are_missing(webhooks: Webhooks) -> None:
    id_ = await missed(webhooks)
    await webhooks.shop.use_cases.resend_delivery(SYSTEM, DeliveryId(id_, 2))
    await webhooks.send()
    assert gaps(webhooks) == [("2", "true")]


async def test_each_attempt_says_that_an_earlier_event_is_missing(webhooks: Webhooks) -> None:
    await webhooks.add()
    webhooks.answers[URL] = lambda request: BROKEN if request.headers["holdfast-sequence"] in "13" else OK
    await webhooks.orders()
    await webhooks.send()
    await webhooks.pass_time(12 * HOUR, step=10 * MINUTE)
    of_third = [gap for sequence, gap in gaps(webhooks) if sequence == "3"]
    assert len(of_third) > 3
    assert set(of_third) == {"true"}
    assert {gap for sequence, gap in gaps(webhooks) if sequence == "1"} == {None}


@pytest.mark.parametrize("committed", [False, True])
async def test_a_recovery_is_in_the_audit_with_its_job_once_or_not_at_all(
    webhooks: Webhooks, *, committed: bool
) -> None:
    id_ = await webhooks.add()
    wanted = RecoverRequest(endpoint_id=id_, since=NOW)
    call = Keyed(wanted, IdempotencyKey("recover", "again"), "fingerprint")
    shop, recover = webhooks.shop, webhooks.shop.use_cases.start_recovery
    shop.unsteady.to_come.append(Trouble(Aborted("the process is gone"), committed=committed))
    with pytest.raises(Aborted):
        await recover(SYSTEM, call)
    for _ in range(2):
        job = await recover(SYSTEM, call)
        noted = [each.after["job_id"] for each in shop.store.audit if each.action == "webhook_endpoint.recovered"]
        assert noted == [str(id_) for id_ in shop.store.jobs] == [str(job.id)]
    # It is the same job, also once the endpoint takes nothing more.
    await shop.use_cases.change_endpoint(SYSTEM, id_, {"enabled": False})
    assert (await recover(SYSTEM, call)).id == job.id
    with pytest.raises(IllegalTransition):
        await recover(SYSTEM, wanted)
    with pytest.raises(KeyReused):
        await recover(SYSTEM, Keyed(evolve(wanted, since=NOW + HOUR), call.key, "another"))


async def run_jobs(webhooks: Webhooks) -> list[Any]:
    run, ended = webhooks.shop.use_cases.run_jobs, []
    async with asyncio.timeout(30):
        while (found := await run()) or not run.is_idle:
            ended += found
    return ended


async def test_events_that_the_feed_has_lost_are_counted(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    await webhooks.orders()
    await webhooks.send()
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"enabled": False})
    await webhooks.orders()
    webhooks.shop.clock.forward(HOUR)
    async with webhooks.shop.unit_of_work() as tx:
        await tx.feed.prune(older_than=MINUTE, limit=6)
    await webhooks.shop.use_cases.enable_endpoint(SYSTEM, id_, resume_from="where_it_stopped")
    await webhooks.send()
    assert (webhooks.progress(id_).lost, len(await webhooks.deliveries(id_))) == (2, 6)


async def test_deliveries_are_removed_when_they_are_old(webhooks: Webhooks) -> None:
    id_ = await webhooks.add(ordering=Ordering.BEST_EFFORT)
    await webhooks.orders()
    await webhooks.send()
    webhooks.shop.clock.forward(timedelta(days=31))
    await webhooks.orders()
    await webhooks.send()
    remove = webhooks.shop.use_cases.remove_deliveries
    assert (await remove(), await remove()) == (4, 0)
    assert [each.id.position for each in await webhooks.deliveries(id_)] == [5, 6, 7, 8]


async def test_a_ping_is_sent_at_once_also_to_a_disabled_endpoint(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"enabled": False})
    webhooks.answers[URL] = lambda _: Answer(status=418, body=b"short and stout")
    attempt = await webhooks.shop.use_cases.test_endpoint(SYSTEM, id_)
    assert (attempt.status, attempt.failure, attempt.body) == (418, AttemptFailure.STATUS, b"short and stout")
    [request] = webhooks.received()
    assert b'"type":"webhook.ping"' in request.body
    assert await webhooks.deliveries(id_) == []


async def test_both_secrets_sign_while_one_is_replaced(webhooks: Webhooks) -> None:
    id_ = await webhooks.add(events=("order.placed",))
    [old] = (await webhooks.endpoint(id_)).secrets
    new = await webhooks.shop.use_cases.rotate_secret(SYSTEM, id_, previous_valid_for=HOUR)
    await webhooks.orders()
    await webhooks.send()
    assert len(webhooks.received()[-1].headers["webhook-signature"].split()) == 2
    webhooks.shop.clock.forward(HOUR)
    await webhooks.orders()
    await webhooks.send()
    assert len(webhooks.received()[-1].headers["webhook-signature"].split()) == 1
    assert (await webhooks.endpoint(id_)).signing(webhooks.shop.clock()) == [new.secret] != [old.text]


async def test_a_secret_is_replaced_again_without_an_end_for_the_one_that_the_receiver_has(webhooks: Webhooks) -> None:
    """The answer with the second one may have been lost. One that became known ends with all the others."""
    id_, rotate = await webhooks.add(), webhooks.shop.use_cases.rotate_secret
    [first] = (await webhooks.endpoint(id_)).secrets
    await rotate(SYSTEM, id_, previous_valid_for=HOUR)
    webhooks.shop.clock.forward(MINUTE)
    await rotate(SYSTEM, id_, previous_valid_for=HOUR)
    now = webhooks.shop.clock()
    secrets = (await webhooks.endpoint(id_)).secrets
    assert [each.until for each in secrets] == [None, now + HOUR, now - MINUTE + HOUR]
    assert secrets[2].text == first.text
    for _ in range(9):
        await rotate(SYSTEM, id_, previous_valid_for=HOUR)
    assert len((await webhooks.endpoint(id_)).secrets) == MOST_SECRETS
    made = await rotate(SYSTEM, id_, previous_valid_for=timedelta(0))
    assert [each.text for each in (await webhooks.endpoint(id_)).secrets] == [made.secret]


async def test_an_endpoint_that_was_deleted_is_deleted_again_without_an_act(webhooks: Webhooks) -> None:
    """The answer may have been lost."""
    id_, use = await webhooks.add(), webhooks.shop.use_cases
    for _ in range(2):
        await use.delete_endpoint(SYSTEM, id_)
        webhooks.shop.clock.forward(MINUTE)
    acts = [each.action for each in webhooks.shop.store.audit]
    assert acts == [f"webhook_endpoint.{what}" for what in ("created", "deleted")]
    with pytest.raises(UnknownEndpoint):
        await use.delete_endpoint(SYSTEM, EndpointId(webhooks.shop.new_id()))


async def test_secrets_are_in_no_audit(webhooks: Webhooks) -> None:
    id_ = await webhooks.add(headers={"X-Token": "s3cr3t"})
    made = await webhooks.shop.use_cases.rotate_secret(SYSTEM, id_, previous_valid_for=HOUR)
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"headers": {"X-Token": "0th3r"}})
    # That somebody has changed it is told, though not into what; that nobody has, is not.
    await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, {"headers": {"X-Token": "0th3r"}})
    acts = [entry.action for entry in webhooks.shop.store.audit]
    assert acts == [f"webhook_endpoint.{what}" for what in ("created", "secret_rotated", "changed")]
    told = f"{webhooks.shop.store.audit} {await webhooks.endpoint(id_)}"
    assert "s3cr3t" not in told
    assert "0th3r" not in told
    assert made.secret not in told
    assert "X-Token" in told


async def test_a_shop_has_so_many_endpoints_at_most(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    [endpoint] = webhooks.shop.store.webhook_endpoints.values()
    for _ in range(MOST_ENDPOINTS - 1):
        other = evolve(endpoint, id=EndpointId(webhooks.shop.new_id()), disabled=Disabled.BY_HAND)
        webhooks.shop.store.webhook_endpoints[other.id] = other
        webhooks.shop.store.webhook_progress[other.id] = evolve(webhooks.progress(id_), endpoint_id=other.id)
    with pytest.raises(TooManyEndpoints):
        await webhooks.add()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "ftp://receiver.example/"}, "url"),
        ({"url": "https:///x"}, "url"),
        ({"url": "https://user:password@receiver.example/"}, "url"),
        ({"url": "https://receiver.example/#x"}, "url"),
        ({"url": "https://receiver.example:0/"}, "url"),
        ({"url": "https://receiver.example:99999/"}, "url"),
        ({"url": "https://receiver.example/a b"}, "url"),
        ({"url": "https://[::1/"}, "url"),
        ({"events": ()}, "events"),
        ({"events": ("order.*", "order.shipped")}, "events[1]"),
        ({"description": "x" * 201}, "description"),
        ({"description": "\0"}, "description"),
        ({"headers": {"Webhook-Id": "x"}}, "headers"),
        ({"headers": {"content-length": "0"}}, "headers"),
        ({"headers": {"HOST": "x"}}, "headers"),
        ({"headers": {"a b": "x"}}, "headers"),
        ({"headers": {"X-A": "x", "x-a": "y"}}, "headers"),
        ({"headers": {"X-A": "x\r\ny: z"}}, "headers"),
        ({"headers": {f"X-{number}": "x" for number in range(21)}}, "headers"),
        ({"rate_per_s": 0}, "rate_per_s"),
        ({"max_concurrency": 33}, "max_concurrency"),
    ],
)
async def test_what_breaks_a_rule_is_refused(webhooks: Webhooks, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidEndpoint) as refused:
        await webhooks.add(**changes)
    assert refused.value.field == field
    id_ = await webhooks.add()
    before = await webhooks.endpoint(id_)
    with pytest.raises(InvalidEndpoint):
        await webhooks.shop.use_cases.change_endpoint(SYSTEM, id_, changes)
    assert await webhooks.endpoint(id_) == before


def test_a_star_stands_for_every_type() -> None:
    from application.ports.feed import types_among  # noqa: PLC0415 - beside what it is about

    assert types_among(FED_TYPES, ["*"]) == FED_TYPES


async def test_what_is_for_an_endpoint_whose_key_is_gone_waits_for_it(webhooks: Webhooks) -> None:
    key = SigningKey.of(b"1" * 32)
    webhooks.shop.signing_keys.append(key)
    id_ = await webhooks.add(signature=Signature.V1A)
    other = await webhooks.add(OTHER, events=("order.paid",))
    webhooks.shop.signing_keys.clear()
    await webhooks.orders()
    ended = {each.endpoint_id: each.error for each in await webhooks.send()}
    assert ended[other] is None
    assert "HOLDFAST_WEBHOOK_SIGNING_KEYS" in str(ended[id_])
    assert (webhooks.received(), webhooks.progress(id_).position) == ([], 0)
    assert len(webhooks.received(OTHER)) == 1

    webhooks.shop.signing_keys.append(key)
    webhooks.shop.clock.forward(LEASE)
    assert [each.error for each in await webhooks.send()] == [None]
    assert {request.headers["webhook-signature"].partition(",")[0] for request in webhooks.received()} == {"v1a"}
    assert [each.status for each in await webhooks.deliveries(id_)] == [DeliveryStatus.DELIVERED] * 4


async def test_an_endpoint_that_hangs_takes_one_place_and_holds_up_no_other(webhooks: Webhooks) -> None:
    goes_on = asyncio.Event()

    async def answer(request: WebhookRequest) -> Answer:
        if request.url == URL:
            await goes_on.wait()
        return OK

    webhooks.shop.receivers.answer = answer
    # It was served longest ago, so that it begins first.
    hangs = await webhooks.add()
    others = [await webhooks.add(f"https://other-{number}.example/") for number in range(20)]
    await webhooks.orders()
    sender = webhooks.another_sender(at_once=2)
    async with asyncio.timeout(60):
        while any(webhooks.progress(id_).position < 4 for id_ in others):
            await sender()
            await sender.wait()
    assert webhooks.progress(hangs).position == 0
    goes_on.set()
    await webhooks.send(sender)
    assert webhooks.progress(hangs).position == 4


async def test_an_endpoint_of_which_something_can_not_be_read_holds_up_no_other(webhooks: Webhooks) -> None:
    id_, other = await webhooks.add(), await webhooks.add(OTHER)
    webhooks.answers[URL] = failing("order.placed")
    await webhooks.orders()
    await webhooks.send()
    broken, store = DeliveryId(id_, 1), webhooks.shop.store
    sound = store.webhook_deliveries[broken]
    store.webhook_deliveries[broken] = (evolve(sound[0], next_at="never"), sound[1])
    await webhooks.orders()
    del webhooks.answers[URL]
    webhooks.shop.clock.forward(6 * SECOND)
    ended = await webhooks.send()
    assert {each.endpoint_id: type(each.error) for each in ended} == {id_: TypeError, other: type(None)}
    assert len(webhooks.received(OTHER)) == 8

    store.webhook_deliveries[broken] = sound
    webhooks.shop.clock.forward(LEASE)
    await webhooks.send()
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 8


async def test_an_endpoint_that_can_not_be_read_holds_up_no_other(
    webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_, _ = await webhooks.add(), await webhooks.add(OTHER)
    read = MemoryWebhookEndpoints.get_many

    async def get_many(
        self: MemoryWebhookEndpoints, ids: Collection[EndpointId], *, lock: bool = False
    ) -> dict[EndpointId, Endpoint]:
        if id_ in ids:
            raise BrokenRow(f"webhook endpoint {id_} is stored with invalid values")
        return await read(self, ids, lock=lock)

    await webhooks.orders()
    with monkeypatch.context() as broken:
        broken.setattr(MemoryWebhookEndpoints, "get_many", get_many)
        ended = await webhooks.send()
        assert {type(each.error) for each in ended if each.endpoint_id == id_} == {BrokenRow}
        assert len(webhooks.received(OTHER)) == 4
        assert webhooks.received(URL) == []
    webhooks.shop.clock.forward(LEASE)
    await webhooks.send()
    assert len(webhooks.received(URL)) == 4


async def test_an_error_that_nobody_expected_is_a_failure_of_its_attempt_alone(webhooks: Webhooks) -> None:
    id_ = await webhooks.add()
    wrong = asyncio.Event()

    async def answer(request: WebhookRequest) -> Answer:
        if request.headers["holdfast-position"] == "1" and not wrong.is_set():
            wrong.set()
            raise ValueError("a defect")
        await wrong.wait()
        return OK

    webhooks.shop.receivers.answer = answer
    await webhooks.orders(2)
    async with asyncio.timeout(30):
        ended = await webhooks.send()
    assert [str(each.error) for each in ended] == ["a defect"]
    first, *later = await webhooks.deliveries(id_)
    assert (first.status, first.outcome) == ("RETRYING", "unexpected")
    assert statuses(later) == ["PENDING held_behind"] * 3 + ["DELIVERED"] * 4
    await webhooks.pass_time(6 * SECOND, step=SECOND)
    assert statuses(await webhooks.deliveries(id_)) == ["DELIVERED"] * 8


async def test_many_endpoints_are_recorded_together_each_with_what_came_of_it(webhooks: Webhooks) -> None:
    held_up = ["DELIVERED", "RETRYING", "PENDING held_behind", "PENDING held_behind"]
    urls = [f"https://receiver-{number}.example/" for number in range(12)]
    ids = {url: await webhooks.add(url) for url in urls}
    for url in urls[::3]:
        webhooks.answers[url] = failing("order.payment_requested")
    for url in urls[1::3]:
        webhooks.answers[url] = lambda _: Answer(status=410)
    await webhooks.orders(2)
    await webhooks.send()
    for url in urls[::3]:
        assert statuses(await webhooks.deliveries(ids[url])) == held_up * 2
    for url in urls[1::3]:
        assert (await webhooks.endpoint(ids[url])).disabled is Disabled.GONE
    for url in urls[2::3]:
        assert statuses(await webhooks.deliveries(ids[url])) == ["DELIVERED"] * 8

    webhooks.answers.clear()
    await webhooks.pass_time(MINUTE, step=6 * SECOND)
    for url in urls[::3]:
        assert statuses(await webhooks.deliveries(ids[url])) == ["DELIVERED"] * 8
        assert [[*dict.fromkeys(each)] for each in webhooks.sequences(url).values()] == [[1, 2, 3, 4]] * 2
