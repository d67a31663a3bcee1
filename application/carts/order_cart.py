from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256

from attrs import frozen

from application.access.principal import Principal
from application.errors import Trouble
from application.execution.idempotency import Keyed, Replayed
from application.intake.order_intake import OrderIntake
from application.intake.order_request import OrderRequest, RequestedItem
from application.intake.queue_orders import Queued
from application.ports.carts import Carts
from application.ports.environment import NewId
from application.ports.idempotency import IdempotencyKey, scope_of
from domain.cart import Cart, CartItem, Checkout
from domain.errors import DomainError
from domain.ids import CustomerId
from domain.orders.order import Order

Answer = Order | Queued | Replayed


@frozen
class OrderCart:
    """Place an order of what is in a cart, at the prices that its customer was shown, and take that out of the cart.

    The cart remembers the key and what is ordered under it before the order is placed. So the order is placed once,
    whatever becomes of this process: the next request to order the cart finishes it first.
    """

    _carts: Carts
    _place: OrderIntake
    _new_id: NewId

    async def __call__(self, by: Principal, owner: CustomerId, *, key: str | None = None) -> Answer:
        """Raise `CartEmpty`, `PriceChanged`, or what placing an order raises."""
        by.expect_customer(owner)
        key = str(self._new_id()) if key is None else key
        while True:
            cart = await self._carts.change(owner, lambda cart: cart.check_out(key))
            if (checkout := cart.known(key)) is not None:
                return await self._finish(owner, checkout)
            if cart.unsettled is not None:
                # Another request has begun this, and may have died since.
                with suppress(DomainError):
                    await self._finish(owner, cart.unsettled)

    async def _finish(self, owner: CustomerId, checkout: Checkout) -> Answer:
        items = tuple(RequestedItem(item.product_id, item.quantity, item.unit_price) for item in checkout.items)
        key = IdempotencyKey(scope_of(owner), checkout.key)
        call = Keyed(OrderRequest(owner, items), key, _fingerprint(checkout.items))
        try:
            answer = await self._place(call)
        except DomainError:
            await self._close(owner, lambda cart: cart.give_up(checkout.key))
            raise
        refused = isinstance(answer, Replayed) and isinstance(answer.answer, DomainError)
        await self._close(owner, lambda cart: cart.give_up(checkout.key) if refused else cart.settle(checkout.key))
        return answer

    async def _close(self, owner: CustomerId, change: Callable[[Cart], Cart]) -> None:
        # The answer is known by now, whether the cart can be reached or not. The next request finishes this.
        with suppress(Trouble):
            await self._carts.change(owner, change)


def _fingerprint(items: Sequence[CartItem]) -> str:
    """The same in every release: an order that another one began must be known again, or it would be placed twice."""
    parts = (f"{item.product_id} {item.quantity} {item.unit_price.minor} {item.unit_price.currency}" for item in items)
    return sha256(f"cart {', '.join(parts)}".encode()).hexdigest()
