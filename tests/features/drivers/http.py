import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from attrs import define, field
from sqlalchemy import select, update

from adapters.payments.simulated.file_ledger import open_file_ledger
from adapters.payments.simulated.ledger import LedgerEntry, Outcome
from adapters.sql.core.engine import create_engine
from adapters.sql.tables import open_periods, orders
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import the_system
from application.catalogue.add_products import AddProducts, NewProduct
from application.catalogue.adjust_stock import AdjustStock, StockCall
from domain.errors import DomainError
from domain.ids import OrderId, ProductId
from domain.money import Money
from tests import invariants
from tests.features.drivers.service import Service
from tests.features.drivers.shop import ChargeSeen, OrderSeen, Refused, TryAgain

_TIMEOUT = 30.0
_NEW_CUSTOMER = 2**62
# How the HTTP interface calls what it refuses before it becomes an order.
_CODES = {"invalid_request": "invalid_order"}


@define(eq=False)
class HttpShop:
    """The running service, over HTTP, with its database and the ledger of the payment provider."""

    _service: Service
    _client: httpx.Client = field(init=False)
    # The adapters are asynchronous, and the steps are plain functions, because a coroutine would not be awaited.
    _runner: asyncio.Runner = field(factory=lambda: asyncio.Runner(loop_factory=asyncio.new_event_loop))
    _orders: list[str] = field(factory=list, init=False)
    _key: str = field(default="", init=False)
    _refunding: set[str] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self._service.run_with()
        self._client = httpx.Client(base_url=self._service.url, timeout=_TIMEOUT)

    def close(self) -> None:
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
        self._client.headers.pop("Authorization", None)
        if customer is not None:
            new = {"name": "a customer", "role": "customer", "user_id": customer}
            issued = self._ask("POST", "/keys", json=new)
            self._key = issued["key"]["id"]
            self._client.headers["Authorization"] = f"Bearer {issued['token']}"

    def revoke_key(self) -> None:
        answer = httpx.delete(f"{self._service.url}/keys/{self._key}", timeout=_TIMEOUT)
        assert answer.status_code == httpx.codes.NO_CONTENT
        _wait(lambda: self._client.get("/orders").status_code == httpx.codes.UNAUTHORIZED, "the key to open nothing")

    def restock(self, product: int, units: int) -> None:
        async def adjust() -> None:
            async with self._database() as unit_of_work:
                call = StockCall(product_id=ProductId(product), delta=units, reason="delivery")
                await AdjustStock(unit_of_work, _now)(the_system("the shop"), [call])

        self._runner.run(adjust())

    def reprice(self, product: int, *, price: int, currency: str) -> None:
        self._ask("PATCH", f"/products/{product}", json={"price": price, "currency": currency})

    def sell(self, product: int, *, active: bool) -> None:
        self._ask("PATCH", f"/products/{product}", json={"active": active})

    def stock_of(self, product: int) -> int:
        stock: int = self._ask("GET", f"/products/{product}")["stock"]
        return stock

    def place_order(
        self, customer: int, items: Sequence[tuple[int, int]], *, key: str | None = None, pay: bool = False
    ) -> OrderSeen:
        wanted = [{"product_id": product, "quantity": quantity} for product, quantity in items]
        body = {"user_id": customer, "items": wanted} | ({"pay": True} if pay else {})
        told = _seen(self._ask("POST", "/orders", json=body, headers=_under(key)))
        if told.id not in self._orders:
            self._orders.append(told.id)
        return told

    def put_into_cart(self, customer: int, product: int, quantity: int) -> None:
        self._ask("PUT", f"/carts/{customer}/items/{product}", json={"quantity": quantity})

    def cart_of(self, customer: int) -> dict[int, int]:
        items = self._ask("GET", f"/carts/{customer}")["items"]
        return {item["product_id"]: item["quantity"] for item in items}

    def order_cart(self, customer: int, *, key: str | None = None) -> OrderSeen:
        told = _seen(self._ask("POST", f"/carts/{customer}/order", headers=_under(key)))
        if told.id not in self._orders:
            self._orders.append(told.id)
        return told

    def order(self, order: str) -> OrderSeen:
        return _seen(self._ask("GET", f"/orders/{order}"))

    def orders_of(self, customer: int) -> list[str]:
        return [order["order_id"] for order in self._ask("GET", f"/orders?user_id={customer}")["items"]]

    def ask_to_pay(self, order: str, *, key: str | None = None) -> OrderSeen:
        return _seen(self._ask("POST", f"/orders/{order}/pay", headers=_under(key)))

    def cancel(self, order: str) -> None:
        self._change(order, "CANCELLED")

    def complete(self, order: str) -> None:
        self._change(order, "COMPLETED")

    def refund(self, order: str) -> None:
        self._change(order, "REFUNDED")
        self._refunding.add(order)

    def delete(self, order: str) -> None:
        self._ask("DELETE", f"/orders/{order}")
        self._orders.remove(order)

    def say(self, content: str, *, order: str | None = None, key: str | None = None) -> str:
        path = "/messages" if order is None else f"/orders/{order}/messages"
        job: str = self._ask("POST", path, json={"content": content}, headers=_under(key))["job_id"]
        return job

    def messages(self, *, order: str | None = None) -> list[str]:
        path = "/messages" if order is None else f"/orders/{order}/messages"
        return [message["content"] for message in self._ask("GET", path)["items"]]

    def job(self, job: str) -> str:
        _wait(lambda: self._ask("GET", f"/jobs/{job}")["finished_at"] is not None, "the job to end")
        status: str = self._ask("GET", f"/jobs/{job}")["status"]
        return status

    def cancel_job(self, job: str) -> None:
        self._ask("POST", f"/jobs/{job}/cancel")

    def settle(self) -> None:
        _wait(lambda: not self._in_status("PROCESSING", self._orders), "payments to be settled")
        _wait(lambda: self._in_status("REFUNDED", self._refunding) == self._refunding, "refunds to be given")

    def events_of(self, order: str) -> list[str]:
        return [event["type"] for event in self._history(order)]

    def read_feed(self, after: int) -> tuple[list[tuple[str, str]], int]:
        page = self._ask("GET", f"/events?after={after}&limit=200&wait=1")
        return [(event["order_id"], event["type"]) for event in page["items"]], page["next"]

    def charges_of(self, order: str) -> list[ChargeSeen]:
        payments = {
            UUID(event["data"]["payment_id"]) for event in self._history(order) if "payment_id" in event["data"]
        }
        return [
            ChargeSeen(entry.amount.minor, entry.refunded)
            for entry in self._runner.run(self._provider())
            if entry.outcome is Outcome.CHARGED and entry.key in payments
        ]

    def decline_cards(self, *, declined: bool) -> None:
        self._service.run_with(**({"HOLDFAST_GATEWAY_DECLINE_RATE": "1"} if declined else {}))

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
            engine = create_engine(self._service.database)
            async with engine.begin() as connection:
                for period in (await connection.execute(select(open_periods))).all():
                    dated = {"since": period.since - weekend - 2 * hour, "until": period.until - weekend}
                    found = open_periods.c.since == period.since
                    await connection.execute(update(open_periods).where(found).values(dated))
                for order in (await connection.execute(select(orders.c.id, orders.c.recorded_at))).all():
                    at = order.recorded_at - weekend - (hour if order.id == UUID(overdue) else timedelta(0))
                    await connection.execute(update(orders).where(orders.c.id == order.id).values(recorded_at=at))
            await engine.dispose()

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

    def _history(self, order: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._ask("GET", f"/orders/{order}/events")["items"]
        return items

    def _change(self, order: str, status: str) -> None:
        self._ask("PATCH", f"/orders/{order}/status", json={"status": status})

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        response = self._client.request(method, path, **content)
        if response.status_code in {401, 403, 404, 409, 422}:
            code = response.json()["code"]
            raise Refused(_CODES.get(code, code))
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and "Retry-After" in response.headers:
            raise TryAgain(response.text)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

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


def _seen(order: dict[str, Any]) -> OrderSeen:
    return OrderSeen(order["order_id"], order["status"], order["total_price"], order["failure_reason"])


def _under(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def _now() -> datetime:
    return datetime.now(UTC)


def _wait(condition: Callable[[], bool], for_what: str) -> None:
    give_up_at = time.monotonic() + _TIMEOUT
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {_TIMEOUT} s for {for_what}"
        time.sleep(0.02)
