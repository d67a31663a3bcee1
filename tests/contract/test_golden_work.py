"""What waits in the database, or in Redis, while a release is replaced: jobs, what they have done so far, and carts.

A job that this release has accepted is run by the next one. No file in `golden/` is ever changed.
"""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec
import pytest
from attrs import evolve, frozen

from adapters.codecs import webhook_log
from adapters.redis import carts
from application.access.principal import SYSTEM
from application.admin.seed_orders import PlaceExamples
from application.assembly.jobs import JOB_NEEDS
from application.execution.conditional import OnlyIf
from application.execution.idempotency import Keyed
from application.exports.request import ExportRequest
from application.imports.request import ImportRequest
from application.jobs import kinds
from application.messages.post_message import StoreMessage
from application.operations.bulk import BulkRequest, BulkState, ChosenOrders
from application.orders.change_details import DetailsChange
from application.orders.change_jobs import CANCEL, CHANGE_DETAILS, PAY, arguments_of, call_of, waits_for
from application.ports.audit import Caller
from application.ports.idempotency import IdempotencyKey
from application.ports.webhooks import Attempt, AttemptFailure
from application.reconciliation.runs import RunRequest
from application.webhooks.deliveries import RecoverRequest
from domain.cart import Cart, CartItem, Checkout
from domain.dead_letter_groups import CauseFilter
from domain.ids import EndpointId, JobId, ProductId
from domain.jobs.job import Job, new_job
from domain.money import Money
from domain.orders.details import Address
from domain.webhooks.endpoint import Secret
from tests.contract.golden_values import AT, LATER, ORDER_ID, PAYMENT_ID, USER_ID
from tests.contract.test_golden import golden, names_in
from tests.unit.shop import Shop

ANA: Final = Caller("0123456789ab", "web-7")
KEY: Final = IdempotencyKey("order 1", "monday")


@frozen
class Stored:
    """The kind of a job, what it was asked for, and how that is written into its arguments and read there."""

    kind: str
    asked: Any
    write: Callable[[Any], Mapping[str, Any]]
    read: Callable[[Mapping[str, Any]], Any]


def job_of(arguments: Mapping[str, Any]) -> Job:
    return new_job(id=JobId(PAYMENT_ID), kind=kinds.CHANGE_ORDER, arguments=arguments, order_id=ORDER_ID, now=AT)


def change(name: str, call: Any) -> Stored:
    """A change of an order that is not recorded yet."""
    return Stored(
        kinds.CHANGE_ORDER,
        call,
        lambda call: arguments_of(name, call) | waits_for([JobId(PAYMENT_ID)]),
        lambda arguments: call_of(ORDER_ID, job_of(arguments)),
    )


def of(kind: str, type_: Any, asked: Any) -> Stored:
    return Stored(kind, asked, lambda asked: asked.arguments(), type_.of)


IN_FULL: Final = {
    "user_id": "ana",
    "status": ["PAID"],
    "product_id": [7],
    "external_id": "A-1",
    "email": "ana@example.org",
    "placed_after": "2026-01-02T03:04:05+00:00",
    "placed_before": "2026-02-02T03:04:05+00:00",
    "total_min": 0,
    "total_max": 2**53 - 1,
}
JOBS: Final[Mapping[str, Stored]] = {
    "export.1.json": of(kinds.EXPORT, ExportRequest, ExportRequest(what="orders", format="csv", only=IN_FULL)),
    "export-of-events.1.json": of(
        kinds.EXPORT, ExportRequest, ExportRequest(what="events", format="ndjson", only={"types": ["order.paid"]})
    ),
    "import.1.json": of(
        kinds.IMPORT, ImportRequest, ImportRequest(what="stock", format="csv", dry_run=True, on_error="skip")
    ),
    "bulk-replay.1.json": of(
        kinds.BULK,
        BulkRequest,
        BulkRequest(act="replay", only=CauseFilter(queue="payments", error="KeyError", place="x")),
    ),
    "bulk-cancel.1.json": of(
        kinds.BULK, BulkRequest, BulkRequest(act="cancel", only=ChosenOrders(only=IN_FULL), reason="they asked for it")
    ),
    "bulk-retry.1.json": of(kinds.BULK, BulkRequest, BulkRequest(act="retry", only=ChosenOrders(ids=(ORDER_ID,)))),
    "reconcile.1.json": Stored(
        kinds.RECONCILE,
        RunRequest(by=ANA, repairs=True, of=JobId(PAYMENT_ID)),
        lambda asked: asked.arguments(),
        RunRequest.in_job,
    ),
    "recover_webhooks.1.json": of(
        kinds.RECOVER_WEBHOOKS,
        RecoverRequest,
        RecoverRequest(endpoint_id=EndpointId(PAYMENT_ID), since=AT, until=LATER, types=("order.*",)),
    ),
    "change_order-cancel.1.json": change(CANCEL, OnlyIf(ORDER_ID, owner=USER_ID, by=ANA)),
    "change_order-pay.1.json": change(PAY, Keyed(OnlyIf(ORDER_ID, by=ANA), KEY, "f" * 64)),
    "change_order-details.1.json": change(
        CHANGE_DETAILS,
        DetailsChange(
            ORDER_ID,
            owner=None,
            by=ANA,
            changes={
                "shipping_address": Address(name="Ana", city="Malmö"),
                "billing_address": None,
                "note": None,
                "metadata": {"a": "1", "b": None},
            },
        ),
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_an_earlier_release_accepted_is_understood(name: str) -> None:
    assert JOBS[name].read(json.loads(golden("jobs", name))) == JOBS[name].asked


@pytest.mark.parametrize("name", JOBS)
def test_the_arguments_of_a_job_have_a_known_shape(name: str) -> None:
    assert json.loads(msgspec.json.encode(JOBS[name].write(JOBS[name].asked))) == json.loads(golden("jobs", name))


def test_there_is_an_example_of_every_kind_of_job() -> None:
    assert names_in("jobs") == {*JOBS, *PLAIN}
    assert {each.kind for each in JOBS.values()} | {kinds.MESSAGE, kinds.SEED_ORDERS} == JOB_NEEDS.keys()


PLAIN: Final = ("message.1.json", "seed_orders.1.json")
TEXT: Final = "Füllfeder 'Ada'\n"


async def test_a_job_whose_handler_reads_its_arguments_itself_is_understood() -> None:
    shop = Shop()
    await shop.sells()
    message, seed = (json.loads(golden("jobs", name)) for name in PLAIN)
    posted = (await shop.use_cases.post_message(SYSTEM, TEXT)).job
    seeded = (await shop.use_cases.seed_orders(SYSTEM, 2)).job
    assert (posted.arguments, seeded.arguments) == (message, seed)
    await StoreMessage(shop.unit_of_work)(evolve(posted, arguments=message), kinds.Progress())
    assert [
        each.content for each in await shop.use_cases.list_messages(SYSTEM, order_id=None, before=None, limit=1)
    ] == [TEXT]
    examples = PlaceExamples(shop.unit_of_work, shop.place_numbered)
    assert await examples(evolve(seeded, arguments=seed), kinds.Progress()) == {"placed": 2, "refused": 0}


STATES: Final[Mapping[str, tuple[Any, Callable[[Mapping[str, Any]], Any], Callable[[Any], Mapping[str, Any]]]]] = {
    "bulk.1.json": (
        BulkState(taken=7, wave=2, in_flight=[3, 4], outcomes={"done": 4, "failed": 1}, stopped="again", whole=True),
        BulkState.of,
        BulkState.as_json,
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_how_far_a_job_is_is_understood_by_the_release_that_goes_on_with_it(name: str) -> None:
    state, read, write = STATES[name]
    assert read(json.loads(golden("states", name))) == state
    assert json.loads(json.dumps(write(state))) == json.loads(golden("states", name))


PEN: Final = CartItem(product_id=ProductId(7), quantity=2, unit_price=Money(12_49, "EUR"))
INK: Final = CartItem(product_id=ProductId(9_223_372_036_854_775_807), quantity=1_000_000, unit_price=Money(0, "JPY"))
CARTS: Final = {
    "empty.1.json": Cart(),
    "ordered.1.json": Cart((PEN, INK), (Checkout("sunday", (PEN,), settled=True), Checkout("monday", (PEN, INK)))),
}


@pytest.mark.parametrize("name", CARTS)
def test_a_cart_has_the_shape_that_its_digit_names(name: str) -> None:
    """When this fails, `SHAPE` in adapters/redis/carts.py needs the next digit, and the upgrade loses all carts."""
    assert carts._decoded(golden("carts", name)) == CARTS[name]  # noqa: SLF001 - what Redis keeps
    assert carts.SHAPE + carts._ENCODER.encode(CARTS[name]) == golden("carts", name)  # noqa: SLF001
    assert names_in("carts") == CARTS.keys()


ATTEMPTS: Final = [
    Attempt(
        at=AT,
        duration_ms=12,
        failure=None,
        address="192.0.2.7",
        status=200,
        headers={"Content-Type": "text/plain"},
        body=b"\xff ok",
    ),
    Attempt(
        at=LATER, duration_ms=15_000, failure=AttemptFailure.TIMEOUT, address=None, status=None, headers={}, body=b""
    ),
]
SECRETS: Final = (Secret("whsec_AAAA"), Secret("whsec_BBBB", AT + timedelta(hours=24)))


def test_what_is_stored_of_webhooks_has_a_known_shape() -> None:
    attempts, secrets = golden("webhooks", "attempts.1.json").decode(), golden("webhooks", "secrets.1.json").decode()
    assert webhook_log.attempts_in(attempts) == ATTEMPTS
    assert webhook_log.lines_of(ATTEMPTS) == attempts
    assert webhook_log.secrets_in(secrets) == SECRETS
    assert webhook_log.encoded_secrets(SECRETS) == secrets
