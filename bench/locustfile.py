"""A load that people know: customers who look at lists, at their own orders, order, pay, complete and cancel.

locust -f bench/locustfile.py --host http://127.0.0.1:8000
"""

import random
from http import HTTPStatus
from itertools import count
from typing import Final

from locust import HttpUser, between, task
from locust.exception import RescheduleTask

# Of the demo catalogue: those of which there is plenty, and which have one currency.
_PRODUCTS: Final = (1, 2, 3)
_REMEMBERED: Final = 50
_user_ids: Final = count(random.randrange(1, 2**40))


class Customer(HttpUser):
    """A customer who knows only its own orders. A change that the rules refuse is no failure."""

    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        self.user_id = next(_user_ids)
        self.orders: list[str] = []
        self.paid: list[str] = []
        self.place()

    @task(5)
    def list_own(self) -> None:
        self.client.get("/orders", params={"user_id": self.user_id, "limit": 20}, name="GET /orders")

    @task(3)
    def read_own(self) -> None:
        with self.client.get(f"/orders/{self._one()}", name="GET /orders/{id}", catch_response=True) as answer:
            if answer.ok and answer.json()["user_id"] != self.user_id:
                answer.failure("this is another customer's order")

    @task(2)
    def place(self) -> None:
        items = [
            {"product_id": product, "quantity": random.randint(1, 3)}
            for product in random.sample(_PRODUCTS, random.randint(1, len(_PRODUCTS)))
        ]
        with self.client.post(
            "/orders", json={"user_id": self.user_id, "items": items}, name="POST /orders", catch_response=True
        ) as answer:
            if answer.status_code in {HTTPStatus.CREATED, HTTPStatus.ACCEPTED}:
                self.orders = [*self.orders, answer.json()["order_id"]][-_REMEMBERED:]
            else:
                answer.failure(f"{answer.status_code}: {answer.text}")

    @task(1)
    def change_status(self) -> None:
        """Pay for an order; complete one that was paid for before."""
        if self.paid and random.random() < 0.5:  # noqa: PLR2004 - half of them
            self._move("PATCH", f"/orders/{self.paid.pop()}/status", "PATCH /orders/{id}/status", "COMPLETED")
        else:
            order_id = self._one()
            self._move("POST", f"/orders/{order_id}/pay", "POST /orders/{id}/pay")
            self.paid.append(order_id)

    @task(1)
    def cancel(self) -> None:
        self._move("PATCH", f"/orders/{self._one()}/status", "PATCH /orders/{id}/status", "CANCELLED")

    def _one(self) -> str:
        if not self.orders:
            self.place()
        if not self.orders:
            raise RescheduleTask
        return random.choice(self.orders)

    def _move(self, method: str, path: str, name: str, status: str | None = None) -> None:
        body = None if status is None else {"status": status}
        with self.client.request(method, path, name=name, catch_response=True, json=body) as answer:
            if answer.status_code == HTTPStatus.CONFLICT:
                answer.success()
