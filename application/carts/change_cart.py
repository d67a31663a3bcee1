from collections.abc import Awaitable, Callable

from attrs import frozen

from application.access.principal import Principal
from application.ports.carts import Carts
from domain.cart import Cart, CartItem
from domain.catalogue.product import Product
from domain.errors import NotForSale
from domain.ids import CustomerId, ProductId


@frozen
class GetCart:
    """Read a cart. A customer reads its own alone."""

    _carts: Carts

    async def __call__(self, by: Principal, owner: CustomerId) -> Cart:
        by.expect_customer(owner)
        return await self._carts.get(owner)


@frozen
class PutItem:
    """Have so many units of a product in a cart, at its price of now, which the customer is shown."""

    _carts: Carts
    _get_product: Callable[[ProductId], Awaitable[Product]]

    async def __call__(self, by: Principal, owner: CustomerId, product_id: ProductId, quantity: int) -> Cart:
        """Raise `UnknownProduct`, `NotForSale` or `InvalidCart`."""
        by.expect_customer(owner)
        product = await self._get_product(product_id)
        if not product.active:
            raise NotForSale(f"product {product_id} is not for sale")
        item = CartItem(product_id=product_id, quantity=quantity, unit_price=product.price)
        return await self._carts.change(owner, lambda cart: cart.put(item))


@frozen
class EmptyCart:
    """Take one product out of a cart, or all."""

    _carts: Carts

    async def __call__(self, by: Principal, owner: CustomerId, product_id: ProductId | None = None) -> Cart:
        by.expect_customer(owner)
        if product_id is None:
            return await self._carts.change(owner, Cart.emptied)
        return await self._carts.change(owner, lambda cart: cart.remove(product_id))
