"""A shop that has something on each screen of the console, made when a test first asks for it."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from time import monotonic, sleep
from typing import Any, Final, TypeVar
from uuid import UUID

import httpx
from uuid_utils.compat import uuid7

from adapters.codecs.events import encode
from adapters.sql.core.engine import create_engine
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.jobs.kinds import BULK, MESSAGE
from application.operations.bulk import BulkRequest, ChosenOrders
from application.ports.persistence import Transaction
from domain.dead_letter import DeadMessage
from domain.ids import JobId, OrderId
from domain.jobs.job import new_job
from domain.orders.events import PaymentRequested, event_id
from domain.payments.payment import Payment
from tests.servers.process import SLOWEST
from tests.service import Service

T = TypeVar("T")
_NUMBERS: Final = count(1)


class Places:
    """Each method makes something new, and returns the address of the page that shows it."""

    def __init__(self, service: Service, api: httpx.Client) -> None:
        self._service = service
        self._api = api
        # Work that is far in the future is not begun meanwhile.
        self._tomorrow = datetime.now(UTC) + timedelta(days=1)

    def before(self, address: str, *needed: Callable[[], str]) -> str:
        """An address at which what is needed is shown, among others."""
        for each in needed:
            each()
        return address

    # Orders.

    def order(self, **more: Any) -> str:
        return f"/console/orders/{self._order(**more)}"

    def paid_order(self, **more: Any) -> str:
        id_ = self._order(**{"pay": True, **more})
        self.until(f"/orders/{id_}", "status", "PAID")
        return f"/console/orders/{id_}"

    def lost_order(self) -> str:
        """It waits for the worker, whose request the broker has lost."""
        return f"/console/orders/{self.in_database(self._lose, OrderId(UUID(self._order())))[0]}"

    def orders_of_one(self) -> str:
        """The search for two orders of one customer."""
        customer = 1_000 + next(_NUMBERS)
        for _ in range(2):
            self._order(user_id=customer)
        return f"/console/orders?q=customer:{customer}"

    def act_on_orders(self, act: str) -> str:
        """The page that asks whether an act on two orders is meant."""
        return self.orders_of_one().replace("/console/orders?", f"/console/orders/many?act={act}&")

    def product(self) -> str:
        return f"/console/stock/{self._service.add_product(stock=40, name='Blotting paper')}"

    # Dead letters.

    def letter(self) -> str:
        """The request to pay for an order that waits for it."""
        return f"/console/dead-letters/{self._letters(1)[0]}"

    def group(self) -> str:
        error = f"Surprise{next(_NUMBERS)}"
        self._letters(2, error)
        return f"/console/dead-letters/group?error={error}"

    # Bulk operations and jobs.

    def operation(self) -> str:
        """One that has not begun."""
        wanted = BulkRequest(act="cancel", only=ChosenOrders(ids=(OrderId(UUID(self._order())),)), reason="a test")
        by = {"key_id": "anybody", "request_id": None}
        return f"/console/bulk-operations/{self._job(BULK, {**wanted.arguments(), 'count': 1, 'by': by})}"

    def ended_operation(self) -> str:
        wanted = {"act": "cancel", "orders": {"ids": [self._order()]}, "reason": "a wrong price"}
        return f"/console/bulk-operations/{self._started('/bulk-operations', wanted)}"

    def job(self) -> str:
        """One for tomorrow."""
        return f"/console/jobs/{self._job(MESSAGE, {'content': 'good morning'})}"

    def cancelled_job(self) -> str:
        id_ = self._job(MESSAGE, {"content": "good evening"})
        self._api.post(f"/jobs/{id_}/cancel").raise_for_status()
        return f"/console/jobs/{id_}"

    def export(self) -> str:
        self._order()
        return f"/console/jobs/{self._started('/exports', {'what': 'orders', 'format': 'csv'})}"

    def message(self) -> str:
        self._started("/messages", {"content": "the lorry is late"})
        return "/console/messages"

    def consistency_check(self) -> str:
        """One that has found an order which is REFUNDED, and whose money the provider still has."""
        self.refunded_without_its_money()
        return self.check()

    def check(self) -> str:
        return f"/console/reconciliations/{self._started('/reconciliations', None)}"

    # Webhooks.

    def endpoint(self, **more: Any) -> str:
        """A receiver that nobody can find."""
        wanted = {"url": f"https://receiver-{next(_NUMBERS)}.invalid/", "events": ["order.*"], **more}
        made = self._api.post("/webhook-endpoints", json=wanted).raise_for_status().json()
        return f"/console/webhooks/{made['endpoint']['endpoint_id']}"

    def disabled_endpoint(self) -> str:
        page = self.endpoint()
        path = f"/webhook-endpoints/{page.rpartition('/')[2]}"
        self._api.patch(path, json={"enabled": False}).raise_for_status()
        return page

    def delivery(self) -> str:
        """One that has failed, and is tried again."""
        id_ = self.endpoint().rpartition("/")[2]
        self._order()
        path = f"/webhook-endpoints/{id_}/deliveries?status=RETRYING"
        self.wait(lambda: self._get(path)["items"], path)
        return f"/console/webhooks/deliveries/{self._get(path)['items'][-1]['delivery_id']}"

    def failing_endpoint(self) -> str:
        """One that was sent something in vain."""
        return f"/console/webhooks/{self.delivery().rpartition('/')[2].partition('.')[0]}"

    # Keys.

    def key(self, name: str) -> str:
        self._service.run("keys", "create", "--role", "read", "--name", name, seconds=60)
        return "/console/keys"

    # How it is made.

    def refunded_without_its_money(self) -> str:
        """Return the id of such an order."""
        id_ = self._order(pay=True)
        self.until(f"/orders/{id_}", "status", "PAID")
        self._api.patch(f"/orders/{id_}/status", json={"status": "REFUNDED"}).raise_for_status()
        self.until(f"/orders/{id_}", "status", "REFUNDED")
        [payment] = self._get(f"/orders/{id_}?expand=payments")["payments"]
        with closing(sqlite3.connect(self._service.data / "gateway.db", timeout=30)) as ledger, ledger:
            changed = ledger.execute("UPDATE ledger SET refunded = 0 WHERE key = ?", (payment["payment_id"],)).rowcount
        assert changed == 1
        return id_

    def wait(self, met: Callable[[], object], what: str) -> None:
        deadline = monotonic() + 60 * SLOWEST
        while not met():
            assert monotonic() < deadline, what
            sleep(0.05)

    def until(self, path: str, name: str, value: str) -> None:
        self.wait(lambda: self._get(path)[name] == value, f"{path} has not become {value}")

    def _get(self, path: str) -> Any:
        return self._api.get(path).raise_for_status().json()

    def _order(self, **more: Any) -> str:
        order = {"user_id": 7, "items": [{"product_id": 2, "quantity": 1}], **more}
        return str(self._api.post("/orders", json=order).raise_for_status().json()["order_id"])

    def _started(self, path: str, wanted: object) -> str:
        """Start a job, wait for its end, and return its id."""
        id_ = str(self._api.post(path, json=wanted).raise_for_status().json()["job_id"])
        self.until(f"/jobs/{id_}", "status", "COMPLETED")
        return id_

    def _job(self, kind: str, arguments: dict[str, Any]) -> JobId:
        job = new_job(id=JobId(uuid7()), kind=kind, arguments=arguments, now=datetime.now(UTC), at=self._tomorrow)

        async def add(tx: Transaction) -> JobId:
            await tx.jobs.add_many([job])
            return job.id

        return self.in_database(add)

    def _letters(self, number: int, error: str = "KeyError") -> list[int]:
        orders = [OrderId(UUID(self._order())) for _ in range(number)]

        async def set_aside(tx: Transaction) -> list[int]:
            events = [(await self._lose(tx, id_))[1] for id_ in orders]
            at = datetime.now(UTC)
            reason = f"{error} in application.payments: {next(_NUMBERS)}"
            dead = [
                DeadMessage(body=encode(each), reason=reason, attempts=8, first_at=at, last_at=at) for each in events
            ]
            await tx.dead_letters.record("payments", dead)
            waiting = await tx.dead_letters.page(decided=False, after=None, limit=10_000)
            return [each.id for each in waiting if each.message.reason == reason]

        return self.in_database(set_aside)

    async def _lose(self, tx: Transaction, id_: OrderId) -> tuple[OrderId, PaymentRequested]:
        """Request its payment, and take the request out of the outbox, as if it had been sent."""
        order = (await tx.orders.get_many({id_}, lock=True))[id_]
        event = order.request_payment(order.next_payment, at=datetime.now(UTC))
        await tx.orders.save_many([order])
        await tx.payments.add_many([Payment(id=event.payment_id, order_id=id_, amount=event.amount)])
        await tx.events.add_many([event])
        waiting = await tx.outbox.page(after=None, limit=10_000)
        await tx.outbox.remove([each for each in waiting if each.id == event_id(event)])
        return id_, event

    def in_database(self, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Do it in one transaction. Playwright has an event loop in this thread, so it is done in another one."""

        async def do() -> T:
            engine = create_engine(self._service.database)
            try:
                async with SqlUnitOfWork(engine)() as tx:
                    return await work(tx, *arguments)
            finally:
                await engine.dispose()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, do()).result()
