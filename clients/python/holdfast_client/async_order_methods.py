"""What `AsyncClient` does with orders and with the carts that become orders."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from holdfast_client import calls
from holdfast_client.calls import Call
from holdfast_client.defaults import PAGE
from holdfast_client.models import Cart, CheckedOrder, Event, Item, Order, Page, Timeline
from holdfast_client.waiting import Waiting

T = TypeVar("T")


class AsyncOrderMethods(ABC):
    @abstractmethod
    async def _send(self, call: Call[T]) -> T: ...

    async def place_order(
        self,
        user_id: int | str,
        items: Iterable[Item],
        *,
        pay: bool = False,
        key: str | None = None,
        **details: Any,
    ) -> Order:
        """Place an order, and with `pay` request its payment in the same transaction.

        It is sent under an idempotency key, by default a new one, so that it is placed once however often it is sent.
        Give a key of your own to be able to place the same order again after your process has crashed. `details` are
        members of the order such as `external_id`, `email`, `metadata`, `shipping_address`.
        """
        return await self._send(calls.place_order(user_id, items, pay=pay, key=key, details=details))

    async def order(
        self,
        order_id: UUID | str,
        *,
        expand: Iterable[str] = (),
        wait: float | None = None,
        min_version: int | None = None,
    ) -> Order:
        """Return an order. With `wait` and `min_version`, wait for the version for so many seconds, at most ten.

        `expand` names what its `raw` also has: `payments`, `events`, `refunds`, `changes`.
        """
        return await self._send(calls.get_order(order_id, expand=expand, wait=wait, min_version=min_version))

    async def check_order(self, items: Iterable[Item]) -> CheckedOrder:
        """Return what an order would cost, and whether there is stock. It promises nothing."""
        return await self._send(calls.check_order(items))

    async def wait_for(
        self,
        order_id: UUID | str,
        *,
        status: str | Collection[str] = (),
        version: int | None = None,
        timeout: float = 60.0,  # noqa: ASYNC109 - as that of the other client
    ) -> Order:
        """Return the order once it has this status or one of these, or this version or a later one.

        Name every status that ends your wait, such as `("PAID", "FAILED")`. Raise `NotInTime` after `timeout` seconds.
        """
        waiting = Waiting.begin(status, version, timeout)
        order = await self.order(order_id)
        while (look := waiting.next_look(order)) is not None:
            order = await self._send(look)
        return order

    async def order_page(self, *, cursor: str | None = None, limit: int | None = None, **only: Any) -> Page[Order]:
        """Return a page of the orders, the newest first. `only` are parameters of the list, such as `status`.

        With `count="capped"`, the page has the `count` of the list of a customer or of a status, up to 10,000.
        """
        return await self._send(calls.list_orders(cursor=cursor, limit=limit, **only))

    async def orders(self, **only: Any) -> AsyncIterator[Order]:
        """Yield the orders, the newest first, page by page. `only` are parameters of the list, such as `status`.

        Orders that can't be shown are left out; `order_page` has them in `broken`.
        """
        page = await self._send(calls.list_orders(limit=PAGE, **only))
        while True:
            for order in page:
                yield order
            if page.next is None:
                return
            page = await self._send(calls.list_orders(cursor=page.next, limit=PAGE, **only))

    async def pay(self, order_id: UUID | str, *, version: int | None = None, key: str | None = None) -> Order:
        """Request the payment. The order is PROCESSING until the provider has answered."""
        return await self._send(calls.pay(order_id, version=version, key=key))

    async def cancel(self, order_id: UUID | str, *, version: int | None = None) -> Order:
        return await self._send(calls.set_status(order_id, "CANCELLED", version=version))

    async def complete(self, order_id: UUID | str, *, version: int | None = None) -> Order:
        return await self._send(calls.set_status(order_id, "COMPLETED", version=version))

    async def refund(self, order_id: UUID | str, *, version: int | None = None) -> Order:
        """Request a refund of the whole order. It is REFUNDED once the provider has answered."""
        return await self._send(calls.set_status(order_id, "REFUNDED", version=version))

    async def change_order(self, order_id: UUID | str, *, version: int | None = None, **changes: Any) -> Order:
        """Change details such as `metadata`, `note`, `shipping_address`. None removes one."""
        return await self._send(calls.change_order(order_id, changes, version=version))

    async def delete_order(self, order_id: UUID | str, *, version: int | None = None) -> UUID | None:
        """Delete an order that was never paid for. Return the job of it, if the order is not recorded yet."""
        return await self._send(calls.delete_order(order_id, version=version))

    async def history(self, order_id: UUID | str) -> Sequence[Event]:
        """Return the events of an order, in sequence."""
        return await self._send(calls.history(order_id))

    async def timeline(self, order_id: UUID | str) -> Timeline:
        """Return where an order stands, and what it waits for. For the shop's own keys."""
        return await self._send(calls.timeline(order_id))

    async def put_into_cart(self, user_id: int | str, product_id: int, quantity: int) -> Cart:
        """Have so many units of the product in the cart, however many were there."""
        return await self._send(calls.put_into_cart(user_id, product_id, quantity))

    async def cart(self, user_id: int | str) -> Cart:
        return await self._send(calls.get_cart(user_id))

    async def empty_cart(self, user_id: int | str) -> None:
        return await self._send(calls.empty_cart(user_id))

    async def order_cart(self, user_id: int | str, *, key: str | None = None) -> Order:
        """Order what is in the cart, at the prices in it. Raise `RefusedByRules` if one has changed."""
        return await self._send(calls.order_cart(user_id, key=key))
