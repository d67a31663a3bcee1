import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

from attrs import asdict, define, evolve, field
from holdfast_client import verify_webhook
from quart.testing import QuartClient

from adapters.codecs.events import decode
from adapters.memory.webhooks import Answer as ReceiverAnswer
from application.access.manage_keys import IssuedKey, NewKey
from application.access.principal import SYSTEM, Forbidden, Principal, Unauthenticated, the_system
from application.access.scopes import Role
from application.assembly import assemble
from application.assembly.limits import Limits
from application.assembly.use_cases import UseCases
from application.catalogue.add_products import NewProduct
from application.catalogue.adjust_stock import StockCall
from application.catalogue.change_product import ProductCall
from application.errors import OutcomeUnknown, Trouble
from application.execution.idempotency import Keyed, Outcome, Replayed
from application.exports.request import ExportRequest
from application.feed.read_feed import FeedPage
from application.imports.request import ImportRequest
from application.intake.order_request import OrderRequest, RequestedItem
from application.intake.queue_orders import Queued
from application.messaging.relay import RelayEvents
from application.orders.change_details import DetailsChange
from application.orders.change_jobs import ChangeQueued
from application.ports.feed import EVERYTHING, Position
from application.ports.idempotency import IdempotencyKey
from application.ports.order_search import OrderFilter
from application.ports.outbox import OutboxEntry
from application.ports.webhook_store import DeliveryFilter
from application.ports.webhooks import WebhookRequest
from application.webhooks.endpoints import NewEndpoint
from domain.catalogue.product import ProductEdit
from domain.errors import DomainError
from domain.ids import EndpointId, JobId, OrderId, ProductId, UserId
from domain.money import Money
from domain.orders.details import NO_DETAILS
from domain.orders.events import Event, OrderRefunded, PaymentRequested, RefundRequested
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from domain.webhooks.endpoint import Signature
from entrypoints.http.authentication import Bearer
from entrypoints.http.ids import delivery_id_of
from tests.features.drivers.shop import (
    SIGNING_KEY,
    ChargeSeen,
    CheckSeen,
    LookSeen,
    OrderSeen,
    PageSeen,
    Refused,
    RowSeen,
    TryAgain,
    WhySeen,
    in_export,
    in_results,
    page_seen,
    refusals_in,
    set_aside_payment,
)
from tests.http.browser import Answer, Browser, app_over
from tests.unit.intakes import Intakes, UnsteadyRecentOrders
from tests.unit.provider import Crash
from tests.unit.shop import EXPIRY, Shop

T = TypeVar("T")


@define(eq=False)
class Worker:
    """Published events wait here until they are handled, also across a crash."""

    waiting: list[Event] = field(factory=list)

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        self.waiting += [decode(entry.body) for entry in entries]
        return list(entries)

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        return list(entries)

    async def work(self, shop: Shop) -> None:
        await shop.process_payment([event for event in self.waiting if isinstance(event, PaymentRequested)])
        await shop.refund_order([event for event in self.waiting if isinstance(event, RefundRequested)])
        self.waiting.clear()


async def _nothing(_: Sequence[OutboxEntry]) -> None: ...


@define(eq=False)
class MemoryShop:
    """The use cases in memory. A verb that has to wait for the worker runs it."""

    _recent: UnsteadyRecentOrders = field(factory=UnsteadyRecentOrders)
    _shop: Shop = field(init=False)
    _intakes: Intakes = field(init=False)
    _worker: Worker = field(factory=Worker)
    # An event loop of its own: the steps are plain functions, because a coroutine would not be awaited.
    _runner: asyncio.Runner = field(factory=lambda: asyncio.Runner(loop_factory=asyncio.new_event_loop))
    _runs: bool = True
    _issued: IssuedKey | None = None
    _received: list[tuple[str, str]] = field(factory=list)
    _is_closed: bool = False
    # What the receiver of webhooks checks signatures with.
    _secrets: Sequence[str] = ()

    def __attrs_post_init__(self) -> None:
        self._shop = Shop(recent=self._recent)
        self._intakes = Intakes(self._shop, recent=self._recent)

    def close(self) -> None:
        findings = self._runner.run(self._shop.findings())
        self._runner.close()
        assert findings == []

    def add_product(self, name: str, *, price: int, currency: str, stock: int) -> int:
        [product] = self._runner.run(
            self._use_cases.add_products(
                the_system("the shop"), [NewProduct(name=name, price=Money(price, currency), stock=stock)]
            )
        )
        assert not isinstance(product, DomainError)
        return product.id

    def use_key_of(self, customer: int | None) -> None:
        self._issued = None
        if customer is not None:
            new = NewKey(name="a customer", role=Role.CUSTOMER, user_id=UserId(customer))
            self._issued = self._runner.run(self._created(new))

    async def _created(self, new: NewKey) -> IssuedKey:
        return await self._use_cases.create_key(SYSTEM, new)

    def revoke_key(self) -> None:
        assert self._issued is not None
        key_id = self._issued.key.id

        async def revoke() -> None:
            await self._use_cases.revoke_key(SYSTEM, key_id)

        self._runner.run(revoke())

    def _by(self) -> Principal:
        if self._issued is None:
            return SYSTEM
        try:
            # A door of its own each time: it knows no keys from before.
            return self._runner.run(assemble(self._shop.ports, Limits()).authenticate(self._issued.token, "127.0.0.1"))
        except Unauthenticated:
            raise Refused("unauthenticated") from None

    def restock(self, product: int, units: int) -> None:
        call = StockCall(product_id=ProductId(product), delta=units, reason="delivery")
        self._runner.run(self._use_cases.adjust_stock(the_system("the shop"), [call]))

    def reprice(self, product: int, *, price: int, currency: str) -> None:
        self._edit(product, ProductEdit(price=price, currency=currency))

    def sell(self, product: int, *, active: bool) -> None:
        self._edit(product, ProductEdit(active=active))

    def _edit(self, product: int, edit: ProductEdit) -> None:
        call = ProductCall(product_id=ProductId(product), edit=edit)
        self._runner.run(self._use_cases.change_product(the_system("the shop"), call))

    def stock_of(self, product: int) -> int:
        return self._shop.store.products[ProductId(product)].stock

    def place_order(
        self, customer: int, items: Sequence[tuple[int, int]], *, key: str | None = None, pay: bool = False
    ) -> OrderSeen:
        wanted = tuple(RequestedItem(ProductId(product), quantity) for product, quantity in items)
        request = OrderRequest(UserId(customer), wanted, pay)
        fingerprint = sha256(repr(request).encode()).hexdigest()
        call = request if key is None else Keyed(request, IdempotencyKey(f"customer {customer}", key), fingerprint)
        return _seen(self._call(self._use_cases.place_order, call))

    def put_into_cart(self, customer: int, product: int, quantity: int) -> None:
        self._runner.run(self._use_cases.put_item(SYSTEM, UserId(customer), ProductId(product), quantity))

    def cart_of(self, customer: int) -> dict[int, int]:
        cart = self._runner.run(self._use_cases.get_cart(SYSTEM, UserId(customer)))
        return {item.product_id: item.quantity for item in cart.items}

    def order_cart(self, customer: int, *, key: str | None = None) -> OrderSeen:
        return _seen(self._answer(lambda: self._use_cases.order_cart(SYSTEM, UserId(customer), key=key)))

    def order(self, order: str) -> OrderSeen:
        return _seen(self._call(self._use_cases.get_order, _id(order)))

    def orders_of(self, customer: int) -> list[str]:
        listing = self._use_cases.list_orders(self._by(), user_id=UserId(customer), limit=100)
        return [str(order.id) for order in self._runner.run(listing)]

    def check(self, items: Sequence[tuple[int, int]]) -> CheckSeen:
        wanted = [RequestedItem(ProductId(product), quantity) for product, quantity in items]
        with _refusals():
            checked = self._runner.run(_awaited(self._use_cases.check_order(self._by(), wanted)))
        return CheckSeen(checked.total.minor, checked.in_stock)

    def search(
        self, customer: int, *, product: int | None = None, status: str | None = None, total_min: int | None = None
    ) -> list[str]:
        wanted = OrderFilter(
            user_id=UserId(customer),
            product_ids=frozenset() if product is None else frozenset({ProductId(product)}),
            statuses=frozenset() if status is None else frozenset({OrderStatus(status)}),
            total_min=total_min,
        )
        found = self._runner.run(_awaited(self._use_cases.search_orders(self._by(), wanted, limit=100)))
        return [str(order.id) for order in found.orders]

    def look(self, order: str) -> LookSeen:
        found = self._runner.run(_awaited(self._use_cases.expand_order(self._by(), _id(order))))
        given = [event for event in found.history if isinstance(event, OrderRefunded)]
        return LookSeen([payment.status.value for payment in found.payments.values()], len(given))

    def why(self, order: str) -> WhySeen:
        found = self._runner.run(self._use_cases.explain_order(SYSTEM, _id(order)))
        return WhySeen(found.standing.waits_for.value, found.standing.because, [step.what for step in found.steps])

    def change_details(self, order: str, *, version: int | None = None, **changes: Any) -> None:
        holds = (lambda _: True) if version is None else (lambda order: order.version == version)
        self._call(self._use_cases.change_details, DetailsChange(_id(order), holds, changes=changes))

    def details_of(self, order: str) -> Mapping[str, Any]:
        return asdict(self._call(self._use_cases.get_order, _id(order)).details or NO_DETAILS)

    def ask_to_pay(self, order: str, *, key: str | None = None) -> OrderSeen:
        id_ = _id(order)
        call = id_ if key is None else Keyed(id_, IdempotencyKey(f"order {order}", key), "pay")
        return _seen(self._call(self._use_cases.request_payment, call))

    def cancel(self, order: str) -> None:
        self._call(self._use_cases.cancel_order, _id(order))

    def complete(self, order: str) -> None:
        self._call(self._use_cases.complete_order, _id(order))

    def refund(self, order: str) -> None:
        self._call(self._use_cases.request_refund, _id(order))

    def delete(self, order: str) -> None:
        self._call(self._use_cases.delete_order, _id(order))

    def say(self, content: str, *, order: str | None = None, key: str | None = None) -> str:
        about = None if order is None else _id(order)
        call = content if key is None else Keyed(content, IdempotencyKey(f"message {about}", key), "say")
        with _refusals():
            return str(self._runner.run(_awaited(self._use_cases.post_message(SYSTEM, call, order_id=about))).id)

    def messages(self, *, order: str | None = None) -> list[str]:
        about = None if order is None else _id(order)
        page = self._use_cases.list_messages(SYSTEM, order_id=about, before=None, limit=100)
        return [message.content for message in self._runner.run(_awaited(page))]

    def job(self, job: str) -> str:
        async def run() -> None:
            running = asyncio.create_task(self._run_jobs())
            # A job may wait for the worker.
            while not running.done():
                if self._runs:
                    await self._relay_and_work()
                await asyncio.wait([running], timeout=0.005)
            running.result()

        self._runner.run(run())
        with _refusals():
            return self._runner.run(_awaited(self._use_cases.get_job(SYSTEM, JobId(UUID(job))))).status

    def cancel_job(self, job: str) -> None:
        with _refusals():
            self._runner.run(_awaited(self._use_cases.cancel_job(SYSTEM, JobId(UUID(job)))))

    def export_orders(self) -> tuple[int, dict[str, str]]:
        async def export() -> bytes:
            while await self._use_cases.give_positions():
                pass
            job = await self._use_cases.start_export(SYSTEM, ExportRequest(what="orders", format="ndjson"))
            await self._run_jobs()
            found, content = await self._use_cases.get_export(SYSTEM, job.id), b""
            while part := await self._use_cases.read_export(SYSTEM, found.file, at=len(content)):
                content += part
            return content

        return in_export(self._runner.run(export()))

    def import_file(self, what: Any, table: bytes, *, dry_run: bool = False, on_error: Any = "stop") -> list[RowSeen]:
        async def parts() -> AsyncIterator[bytes]:
            yield table

        async def bring() -> bytes:
            wanted = ImportRequest(what=what, format="csv", dry_run=dry_run, on_error=on_error)
            job = await self._use_cases.start_import(SYSTEM, wanted, parts())
            await self._run_jobs()
            results = (await self._use_cases.get_import(SYSTEM, job.id)).expect_results()
            content = b""
            while part := await self._use_cases.read_results(SYSTEM, results, at=len(content)):
                content += part
            return content

        return in_results(self._runner.run(bring()))

    async def _run_jobs(self) -> None:
        run_jobs = self._use_cases.run_jobs
        while await run_jobs() or not run_jobs.is_idle:
            pass

    def ask_as_before(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        sent = b"" if body is None else json.dumps(body).encode()

        async def ask() -> Answer:
            asking = asyncio.create_task(Browser(app_over(self._use_cases)).send(method, path, sent))
            # The client may wait for the worker.
            while not asking.done():
                await self._relay_and_work()
                await asyncio.wait([asking], timeout=0.005)
            return asking.result()

        answer = self._runner.run(ask())
        return answer.status, answer.body

    def visit(self, method: str, path: str, form: str, cookie: str) -> PageSeen:
        async def visit() -> PageSeen:
            # As a process that has not seen the session before.
            use_cases = assemble(self._shop.ports, Limits())
            app = app_over(use_cases, console=Bearer(use_cases.authenticate, required=True), now=self._shop.clock)
            response = await QuartClient(app, use_cookies=False).open(
                path,
                method=method,
                data=form.encode(),
                headers={
                    "Host": "shop.example",
                    "Origin": "http://shop.example",
                    "Cookie": cookie,
                    "Content-Type": "application/x-www-form-urlencoded",
                },
                scope_base={"raw_path": path.partition("?")[0].encode()},
            )
            return page_seen(str(await response.get_data(as_text=True)), response.headers)

        return self._runner.run(visit())

    def refusals_of_bulk(self, job: str) -> list[str]:
        status, content = self.ask_as_before("GET", f"/bulk-operations/{job}/results")
        assert status == HTTPStatus.OK
        return refusals_in(content)

    def set_aside(self, order: str) -> None:
        self._runner.run(set_aside_payment(self._shop.unit_of_work, OrderId(UUID(order)), at=self._shop.clock()))

    def settle(self) -> None:
        assert self._runs, "the service has stopped"
        self._runner.run(self._relay_and_work())

    def events_of(self, order: str) -> list[str]:
        return [event.type for event in self._history(order)]

    def open_receiver(self) -> str:
        async def answer(request: WebhookRequest) -> ReceiverAnswer:
            if self._is_closed:
                return ReceiverAnswer(status=503)
            # What is not signed by the shop is refused, as over HTTP.
            verify_webhook(request.body, request.headers, self._secrets, now=self._shop.clock().timestamp())
            event = json.loads(request.body)
            # A test is about no order.
            if "order_id" in event:
                self._received.append((event["order_id"], event["type"]))
            return ReceiverAnswer()

        self._shop.receivers.answer = answer
        return "https://warehouse.example/"

    def tell(self, url: str, events: list[str], *, without_secret: bool = False) -> str:
        new = NewEndpoint(url=url, events=tuple(events))
        if without_secret:
            self._shop.signing_keys.append(SIGNING_KEY)
            new = evolve(new, signature=Signature.V1A)
        made = self._runner.run(self._use_cases.add_endpoint(SYSTEM, new))
        keys = self._runner.run(self._use_cases.list_signing_keys(SYSTEM))
        self._secrets = list(keys) if without_secret else [made.secret]
        return str(made.standing.endpoint.id)

    def missed(self, endpoint: str, order: str) -> list[tuple[str, str]]:
        only = DeliveryFilter(endpoint_id=EndpointId(UUID(endpoint)), order_id=OrderId(UUID(order)), undelivered=True)
        found = self._runner.run(self._use_cases.list_deliveries(SYSTEM, only, limit=200))
        return [(str(each.id), each.type) for each in found]

    def resend(self, delivery: str) -> None:
        self._runner.run(self._use_cases.resend_delivery(SYSTEM, delivery_id_of(delivery)))

    def is_left_alone(self, endpoint: str) -> bool:
        self.received()
        standing = self._runner.run(self._use_cases.get_endpoint(SYSTEM, EndpointId(UUID(endpoint))))
        return standing.progress.rests_until is not None

    def test_receiver(self, endpoint: str) -> None:
        self._runner.run(self._use_cases.test_endpoint(SYSTEM, EndpointId(UUID(endpoint))))

    def close_receiver(self, *, closed: bool) -> None:
        self._is_closed = closed

    def received(self) -> list[tuple[str, str]]:
        async def send() -> None:
            while await self._use_cases.give_positions():
                pass
            send_webhooks = self._use_cases.send_webhooks
            while await send_webhooks() or not send_webhooks.is_idle:
                await send_webhooks.wait()

        self._shop.clock.forward(timedelta(seconds=0.1))
        self._runner.run(send())
        return list(self._received)

    def read_feed(self, after: int) -> tuple[list[tuple[str, str]], int]:
        async def read() -> FeedPage:
            while await self._use_cases.give_positions():
                pass
            return await self._use_cases.read_feed(by, after=Position(after), only=EVERYTHING, limit=200)

        by = self._by()
        page = self._runner.run(read())
        return [(str(item.event.order_id), item.event.type) for item in page.items], page.next

    def charges_of(self, order: str) -> list[ChargeSeen]:
        payments = {event.payment_id for event in self._history(order) if isinstance(event, PaymentRequested)}
        ledger = self._shop.provider.ledger
        return [ChargeSeen(charge.minor, charge.refunded) for charge in ledger if charge.key in payments]

    def decline_cards(self, *, declined: bool) -> None:
        self._shop.provider.declines = declined

    def ask_a_silent_provider(self, order: str) -> None:
        self.ask_to_pay(order)
        self._shop.provider.before.append(OutcomeUnknown("no answer"))
        self.settle()
        self._shop.clock.forward(timedelta(minutes=1))

    def hear_from_the_provider(self, order: str) -> None:
        self.bring_again(order, PaymentRequested.type)

    def let_the_time_to_pay_pass(self) -> None:
        self._runner.run(self._shop.is_open_for(EXPIRY))
        self._runner.run(self._shop.expire_orders())

    def close_for_a_weekend(self) -> None:
        self._runner.run(self._shop.expire_orders())
        self._shop.clock.forward(timedelta(days=3))
        self._runner.run(self._shop.expire_orders())

    def bring_again(self, order: str, request: str) -> None:
        event = [event for event in self._history(order) if event.type == request][-1]
        self._worker.waiting.append(event)
        self.settle()

    def stop_right_after_charging(self, order: str) -> None:
        self.ask_to_pay(order)
        self._shop.provider.after.append(Crash())
        try:
            self.settle()
        except Crash:
            self._runs = False
        assert not self._runs

    def start_again(self) -> None:
        self._runs = True
        self.settle()

    def lose_database(self, *, and_broker: bool = False) -> None:
        self._runner.run(self._intakes.learn_prices())
        self._shop.unsteady.gone = True
        self._intakes.queue.gone = and_broker

    def find_them_again(self) -> None:
        self._shop.unsteady.gone = self._intakes.queue.gone = False
        outcomes = self._runner.run(self._intakes.work_off())
        assert set(outcomes) <= {None}
        self._runner.run(self._run_jobs())
        self._runner.run(self._relay_and_work())

    async def _relay_and_work(self) -> None:
        relay = RelayEvents(self._shop.unit_of_work, self._worker, _nothing, self._shop.clock, "relay")
        while await relay():
            pass
        await self._worker.work(self._shop)

    def _history(self, order: str) -> Sequence[Event]:
        return self._runner.run(self._use_cases.get_history(self._by(), _id(order)))

    @property
    def _use_cases(self) -> UseCases:
        return self._intakes.auto

    def _call(self, operation: Callable[[Principal, Any], Awaitable[Order | Queued | Replayed]], call: Any) -> Order:
        by = self._by()
        return self._answer(lambda: operation(by, call))

    def _answer(self, call: Callable[[], Awaitable[Order | Queued | Replayed]]) -> Order:
        async def wait() -> Order | Queued | Replayed:
            return await call()

        try:
            return _order(self._runner.run(wait()))
        except Forbidden:
            raise Refused("forbidden") from None
        except DomainError as refusal:
            raise Refused(refusal.code) from refusal
        except Trouble:
            raise TryAgain from None


async def _awaited(call: Awaitable[T]) -> T:
    return await call


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except DomainError as refusal:
        raise Refused(refusal.code) from refusal


def _order(outcome: Outcome | Queued | ChangeQueued) -> Order:
    if isinstance(outcome, Queued | ChangeQueued):
        return outcome.order
    if isinstance(outcome, Replayed):
        outcome = outcome.answer
    if isinstance(outcome, DomainError):
        raise Refused(outcome.code)
    assert isinstance(outcome, Order)
    return outcome


def _seen(order: Order) -> OrderSeen:
    return OrderSeen(str(order.id), order.status, order.total.minor, order.failure_reason)


def _id(order: str) -> OrderId:
    return OrderId(UUID(order))
