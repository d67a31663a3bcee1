"""The load test of a Flask service with queued writes, against the requests that its clients find here.

locust -f bench/locustfile_flask_orders.py --host http://127.0.0.1:8000/from/flask-orders
"""

import random
from itertools import count
from typing import Final

from locust import HttpUser, between, task
from locust.exception import RescheduleTask

# Of the demo catalogue.
_PRODUCTS: Final = ("Fountain pen", "Ink, midnight blue, 50 ml", "Notebook, dotted, A5")
_STATUSES: Final = ("received", "processing", "completed", "cancelled")
_REMEMBERED: Final = 50
_customers: Final = count(random.randrange(1, 2**40))


class Customer(HttpUser):
    """Lists 5, own status 3, place 2, change status 1, delete 1."""

    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        self.name = f"customer {next(_customers)}"
        self.orders: list[str] = []
        self.place()

    @task(5)
    def list_all(self) -> None:
        self.client.get("/orders", name="GET /orders")

    @task(3)
    def read_own(self) -> None:
        with self.client.get(f"/orders/{self._one()}", name="GET /orders/{id}", catch_response=True) as answer:
            if answer.ok and answer.json()["customer_name"] != self.name:
                answer.failure("this is another customer's order")

    @task(2)
    def place(self) -> None:
        items = [
            {"name": product, "quantity": random.randint(1, 3)}
            for product in random.sample(_PRODUCTS, random.randint(1, len(_PRODUCTS)))
        ]
        body = {"customer_name": self.name, "items": items}
        answer = self.client.post("/orders", json=body, name="POST /orders")
        if answer.ok:
            self.orders = [*self.orders, answer.json()["order_id"]][-_REMEMBERED:]

    @task(1)
    def change_status(self) -> None:
        body = {"status": random.choice(_STATUSES)}
        self.client.patch(f"/orders/{self._one()}/status", json=body, name="PATCH /orders/{id}/status")

    @task(1)
    def delete(self) -> None:
        order_id = self._one()
        self.orders.remove(order_id)
        self.client.delete(f"/orders/{order_id}", name="DELETE /orders/{id}")

    def _one(self) -> str:
        if not self.orders:
            self.place()
        if not self.orders:
            raise RescheduleTask
        return random.choice(self.orders)
