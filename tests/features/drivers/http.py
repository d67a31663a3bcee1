import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from attrs import define, field
from holdfast_client import (
    Client,
    Event,
    Forbidden,
    Invalid,
    Item,
    NotFound,
    Order,
    PreconditionFailed,
    RefusedByRules,
    Retries,
    Unauthenticated,
    Unavailable,
)
from sqlalchemy import select, update

from adapters.payments.simulated.file_ledger import open_file_ledger
from adapters.payments.simulated.ledger import LedgerEntry, Outcome
from adapters.sql.core.engine import create_engine
from adapters.sql.tables.orders import orders
from adapters.sql.tables.shop import open_periods
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import the_system
from application.catalogue.add_products import AddProducts, NewProduct
from application.catalogue.adjust_stock import AdjustStock, StockCall
from domain.errors import DomainError
from domain.ids import OrderId, ProductId
from domain.money import Money
from tests import invariants
from tests.engines import engine_on
from tests.features.drivers.receiver import Receiver
from tests.features.drivers.service import Service
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

_TIMEOUT = 30.0
_NEW_CUSTOMER = 2**62
# How the HTTP interface calls what it refuses before it becomes an order.
_CODES = {"invalid_request": "invalid_order"}


@define(eq=False)
class HttpShop:
    """The running service, over HTTP, with its database and the ledger of the payment provider."""

    _service: Service
    # What a shop's own software uses. It makes one attempt, so that the features see each refusal.
    _client: Client = field(init=False)
    # The adapters are asynchronous, and the steps are plain functions, because a coroutine would not be awaited.
    _runner: asyncio.Runner = field(factory=lambda: asyncio.Runner(loop_factory=asyncio.new_event_loop))
    _orders: list[str] = field(factory=list, init=False)
    _key: str = field(default="", init=False)
    _receiver: Receiver | None = field(default=None, init=False)
    _refunding: set[str] = field(factory=set, init=False)
    # The jobs of changes that were accepted and are not made yet.
    _waiting: set[UUID | None] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self._service.run_with()
        self._client = self._with_key(None)

    def close(self) -> None:
        if self._receiver is not None:
            self._receiver.close()
        if self._service.servers is not None:
            self._service.servers.plug()
        self.use_key_of(None)
        findings = self._runner.run(self._findings())
        self._client.close()
        self._runner.close()
        assert findings == []

    def add_product(self, name: str, *, price: int, currency: str, stock: int) -> int:
        # What `holdfast products add` does, without waiting for a process to start each time.
        new = NewProduct(name=name, price=Money(price, currency), stock=stock)

        async def add() -> int:
            async with self._database() as unit_of_work:
                [product] = await AddProducts(unit_of_work, _now)(the_system("the shop"), [new])
            assert not isinstance(product, DomainError)
            return product.id

        return self._runner.run(add())

    def use_key_of(self, customer: int | None) -> None:
        self._client.close()
        self._client = self._with_key(None)
        if customer is not None:
            with self._client as shop:
                issued = shop.create_key("a customer", "customer", user_id=customer)
            self._key = issued.id
            self._client = self._with_key(issued.token)

    def revoke_key(self) -> None:
        with self._with_key(None) as shop:
            shop.revoke_key(self._key)
        _wait(self._key_opens_nothing, "the key to open nothing")

    def _key_opens_nothing(self) -> bool:
        try:
            self._client.order_page()
        except Unauthenticated:
            return True
        return False

    def _with_key(self, token: str | None) -> Client:
        return Client(self._service.url, token, timeout=_TIMEOUT, retries=Retries(attempts=1))

    def restock(self, product: int, units: int) -> None:
        async def adjust() -> None:
            async with self._database() as unit_of_work:
                call = StockCall(product_id=ProductId(product), delta=units, reason="delivery")
                await AdjustStock(unit_of_work, _now)(the_system("the shop"), [call])

        self._runner.run(adjust())

    def reprice(self, product: int, *, price: int, currency: str) -> None:
        with _refusals():
            self._client.change_product(product, price=price, currency=currency)

    def sell(self, product: int, *, active: bool) -> None:
        with _refusals():
            self._client.change_product(product, active=active)

    def stock_of(self, product: int) -> int:
        with _refusals():
            return self._client.product(product).stock

    def place_order(
        self, customer: int, items: Sequence[tuple[int, int]], *, key: str | None = None, pay: bool = False
    ) -> OrderSeen:
        wanted = [Item(product, quantity) for product, quantity in items]
        with _refusals():
            told = _seen(self._client.place_order(customer, wanted, pay=pay, key=key))
        if told.id not in self._orders:
            self._orders.append(told.id)
        return told

    def order(self, order: str) -> OrderSeen:
        with _refusals():
            return _seen(self._client.order(order))

    def orders_of(self, customer: int) -> list[str]:
        with _refusals():
            return [str(order.order_id) for order in self._client.orders(user_id=customer)]

    def check(self, items: Sequence[tuple[int, int]]) -> CheckSeen:
        with _refusals():
            checked = self._client.check_order([Item(product, quantity) for product, quantity in items])
        return CheckSeen(checked.total_price, checked.in_stock)

    def search(
        self, customer: int, *, product: int | None = None, status: str | None = None, total_min: int | None = None
    ) -> list[str]:
        asked = {"product_id": product, "status": status, "total_min": total_min}
        only = {name: value for name, value in asked.items() if value is not None}
        with _refusals():
            return [str(order.order_id) for order in self._client.orders(user_id=customer, **only)]

    def look(self, order: str) -> LookSeen:
        with _refusals():
            found = self._client.order(order, expand=["payments", "refunds"]).raw
        given = [refund for refund in found["refunds"] if refund["refunded_at"] is not None]
        return LookSeen([payment["status"] for payment in found["payments"]], len(given))

    def why(self, order: str) -> WhySeen:
        with _refusals():
            found = self._client.timeline(order)
        return WhySeen(found.waits_for, found.because, [step.what for step in found.steps])

    def change_details(self, order: str, *, version: int | None = None, **changes: Any) -> None:
        with _refusals():
            self._client.change_order(order, version=version, **changes)

    def details_of(self, order: str) -> Mapping[str, Any]:
        with _refusals():
            return self._client.order(order).raw

    def ask_to_pay(self, order: str, *, key: str | None = None) -> OrderSeen:
        with _refusals():
            paid = self._client.pay(order, key=key)
        self._waiting |= {paid.job_id} - {None}
        return _seen(paid)

    def cancel(self, order: str) -> None:
        with _refusals():
            self._waiting |= {self._client.cancel(order).job_id} - {None}

    def complete(self, order: str) -> None:
        with _refusals():
            self._client.complete(order)

    def refund(self, order: str) -> None:
        with _refusals():
            self._client.refund(order)
        self._refunding.add(order)

    def delete(self, order: str) -> None:
        with _refusals():
            self._client.delete_order(order)
        self._orders.remove(order)

    def say(self, content: str, *, order: str | None = None, key: str | None = None) -> str:
        with _refusals():
            return str(self._client.add_message(content, order_id=order, key=key))

    def messages(self, *, order: str | None = None) -> list[str]:
        with _refusals():
            return [message.content for message in self._client.message_page(order_id=order)]

    def job(self, job: str) -> str:
        _wait(lambda: self._client.job(job).is_finished, "the job to end")
        return self._client.job(job).status

    def cancel_job(self, job: str) -> None:
        with _refusals():
            self._client.cancel_job(job)

    def put_into_cart(self, customer: int, product: int, quantity: int) -> None:
        with _refusals():
            self._client.put_into_cart(customer, product, quantity)

    def cart_of(self, customer: int) -> dict[int, int]:
        with _refusals():
            return {item.product_id: item.quantity for item in self._client.cart(customer).items}

    def order_cart(self, customer: int, *, key: str | None = None) -> OrderSeen:
        with _refusals():
            told = _seen(self._client.order_cart(customer, key=key))
        if told.id not in self._orders:
            self._orders.append(told.id)
        return told

    def ask_as_before(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        response = httpx.request(method, f"{self._service.url}{path}", json=body, timeout=_TIMEOUT)
        told = response.json()
        if response.is_success and "order_id" in told and told["order_id"] not in self._orders:
            self._orders.append(told["order_id"])
        return response.status_code, told

    def visit(self, method: str, path: str, form: str, cookie: str) -> PageSeen:
        headers = {"Cookie": cookie, "Origin": self._service.url, "Content-Type": "application/x-www-form-urlencoded"}
        url = f"{self._service.url}{path}"
        response = httpx.request(method, url, content=form, headers=headers, timeout=_TIMEOUT)
        return page_seen(response.text, response.headers)

    def refusals_of_bulk(self, job: str) -> list[str]:
        response = httpx.get(f"{self._service.url}/bulk-operations/{job}/results", timeout=_TIMEOUT)
        return refusals_in(response.raise_for_status().content)

    def export_orders(self) -> tuple[int, dict[str, str]]:
        job = str(self._client.start_export("orders"))
        assert self.job(job) == "COMPLETED"
        return in_export(b"".join(self._client.download_export(job)))

    def import_file(self, what: str, table: bytes, *, dry_run: bool = False, on_error: str = "stop") -> list[RowSeen]:
        job = str(self._client.start_import(what, table, format="csv", dry_run=dry_run, on_error=on_error))
        assert self.job(job) == "COMPLETED"
        rows = in_results(b"".join(self._client.download_results(job)))
        self._orders += [row.id for row in rows if what == "orders" and row.id not in self._orders]
        return rows

    def set_aside(self, order: str) -> None:
        async def put() -> None:
            async with self._database() as unit_of_work:
                await set_aside_payment(unit_of_work, OrderId(UUID(order)), at=_now())

        self._runner.run(put())

    def settle(self) -> None:
        _wait(lambda: not self._in_status("PROCESSING", self._orders), "payments to be settled")
        _wait(lambda: self._in_status("REFUNDED", self._refunding) == self._refunding, "refunds to be given")

    def events_of(self, order: str) -> list[str]:
        return [event.type for event in self._history(order)]

    def charges_of(self, order: str) -> list[ChargeSeen]:
        payments = {UUID(event.data["payment_id"]) for event in self._history(order) if "payment_id" in event.data}
        return [
            ChargeSeen(entry.amount.minor, entry.refunded)
            for entry in self._runner.run(self._provider())
            if entry.outcome is Outcome.CHARGED and entry.key in payments
        ]

    def open_receiver(self) -> str:
        self._receiver = Receiver.open()
        self._service.run_with(HOLDFAST_WEBHOOK_ALLOW="127.0.0.1:*", HOLDFAST_WEBHOOK_SIGNING_KEYS=SIGNING_KEY.told())
        return self._receiver.url

    def tell(self, url: str, events: list[str], *, without_secret: bool = False) -> str:
        made = self._client.add_webhook_endpoint(url, events, signature="v1a" if without_secret else "v1")
        assert self._receiver is not None
        self._receiver.secrets = self._client.webhook_keys() if without_secret else [made.secret]
        return str(made.endpoint.endpoint_id)

    def missed(self, endpoint: str, order: str) -> list[tuple[str, str]]:
        listed = self._client.delivery_page(endpoint, order_id=order)
        return [(each.delivery_id, each.type) for each in listed if each.status != "DELIVERED"]

    def resend(self, delivery: str) -> None:
        self._client.resend_delivery(delivery)

    def is_left_alone(self, endpoint: str) -> bool:
        time.sleep(0.1)
        return self._client.webhook_endpoint(endpoint).raw["rests_until"] is not None

    def test_receiver(self, endpoint: str) -> None:
        self._client.test_webhook_endpoint(endpoint)

    def close_receiver(self, *, closed: bool) -> None:
        assert self._receiver is not None
        self._receiver.is_closed = closed

    def received(self) -> list[tuple[str, str]]:
        assert self._receiver is not None
        time.sleep(0.1)
        return list(self._receiver.taken)

    def read_feed(self, after: int) -> tuple[list[tuple[str, str]], int]:
        page = self._client.event_page(after=after, limit=200, wait=1)
        return [(str(event.order_id), event.type) for event in page], page.next

    def decline_cards(self, *, declined: bool) -> None:
        self._service.run_with(**({"HOLDFAST_GATEWAY_DECLINE_RATE": "1"} if declined else {}))

    def ask_a_silent_provider(self, order: str) -> None:
        self._service.run_with(HOLDFAST_GATEWAY_FAILURE_RATE="1")
        self.ask_to_pay(order)
        _wait(lambda: "the payment provider" in self.why(order).because, "the silence to be noticed")

    def hear_from_the_provider(self, order: str) -> None:
        self._service.run_with()
        self.settle()

    def let_the_time_to_pay_pass(self) -> None:
        """Have an order expire that was placed after all the others; their time has passed, too, then."""
        last = self._marker()
        self._service.run_with(HOLDFAST_ORDER_EXPIRY="1ms")
        _wait(lambda: self.order(last).status == "EXPIRED", "an order to expire")

    def close_for_a_weekend(self) -> None:
        """Date back all that the database knows of time, and have an order expire whose time had passed before."""
        overdue = self._marker()
        self._service.stop()

        async def date_back() -> None:
            weekend, hour = timedelta(days=3), timedelta(hours=1)
            async with engine_on(self._service.database) as engine, engine.begin() as connection:
                for period in (await connection.execute(select(open_periods))).all():
                    dated = {"since": period.since - weekend - 2 * hour, "until": period.until - weekend}
                    found = open_periods.c.since == period.since
                    await connection.execute(update(open_periods).where(found).values(dated))
                for order in (await connection.execute(select(orders.c.id, orders.c.recorded_at))).all():
                    at = order.recorded_at - weekend - (hour if order.id == UUID(overdue) else timedelta(0))
                    await connection.execute(update(orders).where(orders.c.id == order.id).values(recorded_at=at))

        self._runner.run(date_back())
        self._service.run_with()
        _wait(lambda: self.order(overdue).status == "EXPIRED", "an order to expire")

    def bring_again(self, order: str, request: str) -> None:
        """Re-enqueue the event, then wait until an order is paid whose request is behind it in the queue."""

        async def re_enqueue() -> None:
            async with self._database() as unit_of_work, unit_of_work() as tx:
                events = await tx.events.of_orders({OrderId(UUID(order))})
                await tx.outbox.re_enqueue([[event for event in events if event.type == request][-1]])

        self._runner.run(re_enqueue())
        marker = self._marker()
        self.ask_to_pay(marker)
        if request == "order.refund_requested":
            # Refunds have a queue of their own.
            self.settle()
            self.refund(marker)
        self.settle()

    def stop_right_after_charging(self, order: str) -> None:
        """Make the provider charge without answering, and kill the service meanwhile."""
        self._service.run_with(HOLDFAST_GATEWAY_FAILURE_RATE="1")
        self.ask_to_pay(order)
        # Half of the failures come before the charge, so the service retries until the charge is made.
        _wait(lambda: bool(self.charges_of(order)), "the charge")
        self._service.kill()

    def start_again(self) -> None:
        self._service.run_with()
        self.settle()

    def lose_database(self, *, and_broker: bool = False) -> None:
        assert self._service.servers is not None, "this needs a service on servers: tag the feature @servers"
        # It reads the prices when it starts, and then every few seconds.
        self._service.stop()
        self._service.run_with()
        self._service.servers.pull(broker=and_broker)

    def find_them_again(self) -> None:
        assert self._service.servers is not None
        self._service.servers.plug()
        _wait(lambda: self._runner.run(self._all_are_entered()), "all accepted orders to be recorded")
        _wait(self._uses_database, "the database to be used again")
        _wait(self._all_are_made, "all accepted changes to be made or refused")
        self.settle()

    def _all_are_made(self) -> bool:
        self._waiting = {job for job in self._waiting if not self._client.job(str(job)).is_finished}
        return not self._waiting

    def _uses_database(self) -> bool:
        # A product that the price list does not have, so that only the database can price it.
        with suppress(TryAgain):
            return bool(self._marker())
        return False

    def _marker(self) -> str:
        """An order of a product that no other order has."""
        product = self.add_product("marker", price=1, currency="EUR", stock=1)
        return self.place_order(_NEW_CUSTOMER, [(product, 1)]).id

    def _in_status(self, status: str, orders: Iterable[str]) -> set[str]:
        return {order for order in orders if self.order(order).status == status}

    def _history(self, order: str) -> Sequence[Event]:
        with _refusals():
            return self._client.history(order)

    @asynccontextmanager
    async def _database(self) -> AsyncGenerator[SqlUnitOfWork, None]:
        engine = create_engine(self._service.database)
        try:
            yield SqlUnitOfWork(engine)
        finally:
            await engine.dispose()

    async def _all_are_entered(self) -> bool:
        ids = {OrderId(UUID(order)) for order in self._orders}
        async with self._database() as unit_of_work, unit_of_work.reading() as tx:
            return (await tx.orders.get_many(ids)).keys() == ids

    async def _provider(self) -> list[LedgerEntry]:
        async with open_file_ledger(self._service.data / "gateway.db") as ledger:
            return await ledger.entries()

    async def _findings(self) -> list[str]:
        charges = [
            invariants.LedgerCharge(entry.key, entry.amount.minor, entry.refunded)
            for entry in await self._provider()
            if entry.outcome is Outcome.CHARGED
        ]
        async with self._database() as unit_of_work:
            return await invariants.findings(unit_of_work, charges)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn the errors of the client into those of the features."""
    try:
        yield
    except Unavailable as error:
        raise TryAgain(str(error)) from error
    except (Unauthenticated, Forbidden, NotFound, PreconditionFailed, RefusedByRules, Invalid) as error:
        raise Refused(_CODES.get(error.code, error.code)) from error


def _seen(order: Order) -> OrderSeen:
    return OrderSeen(str(order.order_id), order.status, order.total_price, order.failure_reason)


def _now() -> datetime:
    return datetime.now(UTC)


def _wait(condition: Callable[[], bool], for_what: str) -> None:
    give_up_at = time.monotonic() + _TIMEOUT
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {_TIMEOUT} s for {for_what}"
        time.sleep(0.02)
