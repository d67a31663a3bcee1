"""Traces, from the request to the webhook, with all of OpenTelemetry but the way to a collector."""

import asyncio
from datetime import timedelta

import pytest
from attrs import define, field

from adapters.codecs.events import decode, encode, traceparent_in
from application.errors import OutcomeUnknown
from application.execution.working_for import TracedId, traceparent_of
from application.messaging.consumer import Consumer
from application.telemetry.traced import MOST_LINKS
from domain.ids import OrderId
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop
from tests.unit.traces import Traces, traceparent_of_span
from tests.unit.webhooks import BROKEN, OK, URL, Webhooks

SENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOT_SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@define(eq=False)
class Traced:
    """A shop over HTTP, with its relay and its worker."""

    traces: Traces = field(factory=Traces)
    shop: Shop = field(init=False)
    browser: Browser = field(init=False)
    webhooks: Webhooks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.shop = Shop(tracer=self.traces.tracer)
        self.browser = Browser(app_over(self.shop.use_cases, tracer=self.traces.tracer))
        self.webhooks = Webhooks(self.shop)

    async def place(self, traceparent: str | None = None, *, pay: bool = True) -> OrderId:
        body = b'{"user_id":1,"pay":true,"items":[{"product_id":1,"quantity":1}]}'
        more = [] if traceparent is None else [("traceparent", traceparent)]
        answer = await self.browser.send(
            "POST", "/orders", body if pay else body.replace(b'"pay":true,', b""), more=more
        )
        assert answer.status == 201, answer.body
        return OrderId(answer.body["order_id"])

    async def work(self) -> None:
        """Relay everything, and do the work for it."""
        while await self.shop.use_cases.relay_events():
            for consumer in self.shop.use_cases.consumers:
                await _until_empty(consumer)

    async def tell(self) -> None:
        await self.webhooks.feed()
        await self.webhooks.send()


async def _until_empty(consumer: Consumer) -> None:
    while True:
        receiving = asyncio.ensure_future(consumer.receive())
        await asyncio.sleep(0)
        if not receiving.done():
            receiving.cancel()
            return
        await consumer.handle(await receiving)


@pytest.fixture
async def traced() -> Traced:
    traced = Traced()
    await traced.shop.sells(stock=1000)
    return traced


async def test_one_trace_leads_from_the_request_to_the_webhook(traced: Traced) -> None:
    await traced.webhooks.add(events=("order.paid",))
    await traced.place()
    await traced.work()
    await traced.tell()
    spans = traced.traces.spans
    # Announcements go out beside the work.
    assert [(span.name, traced.traces.above(span)) for span in spans if span.name != "announce"] == [
        ("POST /orders", None),
        ("enqueue", "POST /orders"),
        ("process payments", "POST /orders"),
        ("charge", "process payments"),
        ("webhook", "process payments"),
    ]
    announced = {traced.traces.above(span) for span in traced.traces.named("announce")}
    assert announced == {"POST /orders", "process payments"}
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    assert [span.attributes for span in traced.traces.named("POST /orders")] == [
        {"http.request.method": "POST", "http.route": "/orders", "http.response.status_code": 201}
    ]
    # The receiver's own steps are under the attempt.
    [received] = traced.webhooks.received()
    [webhook] = traced.traces.named("webhook")
    assert received.headers["traceparent"] == traceparent_of_span(webhook)


async def test_nothing_is_made_of_what_is_not_sampled(traced: Traced) -> None:
    traced.traces.chance = 0.9
    await traced.webhooks.add(events=("*",))
    await traced.place()
    await traced.place(NOT_SAMPLED)
    await traced.work()
    await traced.tell()
    assert traced.traces.spans == []
    assert {request.headers.get("traceparent") for request in traced.webhooks.received()} == {None}
    assert all(traceparent_in(encode(event)) is None for event in traced.shop.store.events.values())


@pytest.mark.parametrize(
    ("sent", "chance", "trace"),
    [
        pytest.param(SENT, 0.9, SENT[3:35], id="the caller's trace"),
        pytest.param(NOT_SAMPLED, 0.0, None, id="the caller wants none"),
        pytest.param("00-" + "0" * 32 + "-b7ad6b7169203331-01", 0.9, None, id="no trace"),
        pytest.param("01-" + SENT[3:], 0.9, None, id="another version"),
        pytest.param(SENT + "x", 0.9, None, id="too long"),
    ],
)
async def test_the_caller_decides_who_sends_a_traceparent(
    traced: Traced, sent: str, chance: float, trace: str | None
) -> None:
    traced.traces.chance = chance
    await traced.place(sent, pay=False)
    found = [f"{span.context.trace_id:032x}" for span in traced.traces.spans if span.context]
    assert found == ([] if trace is None else [trace])


async def test_what_is_done_late_has_a_trace_of_its_own_that_is_linked(traced: Traced) -> None:
    await traced.webhooks.add(events=("order.payment_requested",))
    await traced.place()
    [begun] = traced.traces.spans
    traced.shop.clock.forward(timedelta(seconds=61))
    await traced.work()
    await traced.tell()
    for name in ("process payments", "webhook"):
        [late] = traced.traces.named(name)
        assert late.parent is None
        assert [link.context.span_id for link in late.links] == [begun.context and begun.context.span_id]
    [charge] = traced.traces.named("charge")
    assert traced.traces.above(charge) == "process payments"


async def test_a_batch_is_linked_to_its_traces_and_to_so_many_at_most(traced: Traced) -> None:
    for _ in range(MOST_LINKS + 3):
        await traced.place()
    await traced.work()
    [enqueued] = traced.traces.named("enqueue")
    assert enqueued.parent is None
    requests = {span.context.span_id for span in traced.traces.named("POST /orders") if span.context}
    assert len(enqueued.links) == MOST_LINKS
    assert {link.context.span_id for link in enqueued.links} < requests
    # Each message and each charge is under its own request, though they were done together.
    assert len(traced.traces.named("process payments")) == len(traced.traces.named("charge")) == MOST_LINKS + 3
    traces = [span.context.trace_id for span in traced.traces.named("charge") if span.context]
    assert len(set(traces)) == MOST_LINKS + 3


async def test_each_attempt_of_a_webhook_is_a_step_and_says_how_it_ended(traced: Traced) -> None:
    answers = [BROKEN, OK]
    traced.webhooks.answers[URL] = lambda _: answers.pop(0)
    await traced.webhooks.add(events=("order.placed",))
    await traced.place(pay=False)
    await traced.tell()
    await traced.webhooks.pass_time(timedelta(seconds=6), step=timedelta(seconds=1))
    attempts = traced.traces.named("webhook")
    assert [dict(span.attributes or {}) for span in attempts] == [
        {"http.response.status_code": 500, "error.type": "status"},
        {"http.response.status_code": 200},
    ]
    assert [traced.traces.above(span) for span in attempts] == ["POST /orders"] * 2


async def test_a_step_says_what_went_wrong(traced: Traced) -> None:
    traced.shop.provider.before.append(OutcomeUnknown("no answer"))
    traced.shop.provider.declines = True
    for _ in range(2):
        await traced.place()
        await traced.work()
    # On a busy machine, the second try of the first order may come while there is work.
    charges, steps = traced.traces.named("charge")[:2], traced.traces.named("process payments")[:2]
    assert [dict(span.attributes or {}) for span in charges] == [
        {"error.type": "OutcomeUnknown"},
        {"holdfast.outcome": "declined"},
    ]
    assert [span.status.status_code.name for span in (*charges, *steps)] == ["ERROR", "UNSET"] * 2
    await traced.browser.get("/orders/01890a5d-ac96-774b-bcce-b302099a8057")
    [*_, refused] = traced.traces.spans
    assert refused.name.startswith("GET /orders/<")
    assert refused.status.is_unset


async def test_everything_that_shows_the_id_of_a_request_shows_it_as_it_is(traced: Traced) -> None:
    """It is a text that knows its trace, and JSON has no such thing."""
    await traced.webhooks.add(events=("*",))
    order = await traced.place()
    await traced.work()
    await traced.tell()
    refund = await traced.browser.send("PATCH", f"/orders/{order}/status", b'{"status":"REFUNDED"}')
    assert refund.status == 202
    for path in (
        f"/orders/{order}/events",
        f"/orders/{order}/timeline",
        f"/orders/{order}?expand=events,payments,changes",
        "/events",
        f"/audit?subject=order%20{order}",
        "/jobs",
        "/nothing",
    ):
        answer = await traced.browser.get(path)
        assert answer.status == (404 if path == "/nothing" else 200), path
    job = await traced.browser.send("POST", "/exports", b'{"what":"events","format":"ndjson"}')
    assert job.status == 202


async def test_an_event_keeps_its_place_in_a_trace_wherever_it_is_written_and_read(traced: Traced) -> None:
    await traced.place(SENT, pay=False)
    [event] = traced.shop.store.events.values()
    body = encode(event)
    place = traceparent_of(event.request_id)
    assert place is not None
    assert place[3:35] == SENT[3:35]
    assert traceparent_in(body) == traceparent_in(body.decode()) == place
    again = decode(body)
    assert (again, traceparent_of(again.request_id)) == (event, place)
    assert encode(again) == body
    assert [entry.body for entry in await traced.shop.outbox()] == [body]


def test_only_the_end_of_an_event_is_its_place_in_a_trace() -> None:
    assert traceparent_in(b'{"note":",\\"traceparent\\":\\"' + SENT.encode() + b'\\"}","a":1}') is None
    assert traceparent_in(b'{"note":"x-01"}') is None
    assert traceparent_in(b"") is None


def test_the_id_of_a_traced_request_is_that_id() -> None:
    traced = TracedId.of("abc", SENT)
    assert (traced, hash(traced), f"{traced}", {traced: 1}["abc"]) == ("abc", hash("abc"), "abc", 1)  # type: ignore[index]  # a text as well
