"""The checks around every operation: who may call it, and with whose orders."""

from collections.abc import Awaitable, Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar, cast

from attrs import evolve, field, frozen

from application.access.audit import caller_of
from application.access.principal import Principal
from application.access.scopes import Scope
from application.execution.conditional import OnlyIf, OrderCall
from application.execution.idempotency import Keyed
from application.intake.order_request import OrderRequest

C = TypeVar("C", bound=OrderCall | Keyed[OrderCall])
P = ParamSpec("P")
R = TypeVar("R")


@frozen
class Guarded(Generic[P, R]):
    """An operation that only a caller with the scope may use. Raise `Forbidden` before anything is done.

    With no scope, every caller may use it. `by_shop` refuses customers, even those with the scope.
    """

    _needs: Scope | None
    _operation: Callable[Concatenate[Principal, P], Awaitable[R]]
    _by_shop: bool = field(default=False, kw_only=True)

    def __call__(self, by: Principal, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        if self._needs is not None:
            by.expect(self._needs)
        if self._by_shop:
            by.expect_shop()
        return self._operation(by, *args, **kwargs)


def for_anybody(operation: Callable[P, Awaitable[R]]) -> Callable[Concatenate[Principal, P], Awaitable[R]]:
    """Return the operation for callers to whom it makes no difference who they are."""

    def call(_: Principal, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return operation(*args, **kwargs)

    return call


def for_own_account(
    place: Callable[[OrderRequest | Keyed[OrderRequest]], Awaitable[R]],
) -> Callable[[Principal, OrderRequest | Keyed[OrderRequest]], Awaitable[R]]:
    """Return the operation that places an order. A customer places its own alone, the shop those of any customer."""

    def place_for(by: Principal, request: OrderRequest | Keyed[OrderRequest]) -> Awaitable[R]:
        wanted = request.call if isinstance(request, Keyed) else request
        by.expect_customer(wanted.user_id)
        if wanted.pay:
            by.expect(Scope.PAYMENTS_WRITE)
        return place(request)

    return place_for


def with_own_order(read: Callable[[OrderCall], Awaitable[R]]) -> Callable[[Principal, OrderCall], Awaitable[R]]:
    """Return the operation on one order, for which the order of another customer does not exist."""

    def call_for(by: Principal, call: OrderCall) -> Awaitable[R]:
        if by.user_id is None:
            return read(call)
        return read(evolve(call, owner=by.user_id) if isinstance(call, OnlyIf) else OnlyIf(call, owner=by.user_id))

    return call_for


def with_own_order_by(change: Callable[[C], Awaitable[R]]) -> Callable[[Principal, C], Awaitable[R]]:
    """Return the operation as `with_own_order`, whose events and audit name the caller and the request."""
    return lambda by, call: change(cast(C, _asked_by(by, call)))


def _asked_by(by: Principal, call: OrderCall | Keyed[OrderCall]) -> OrderCall | Keyed[OrderCall]:
    match call:
        case Keyed():
            # A stored response must not reach another customer, so each has idempotency keys of its own.
            key = call.key if by.user_id is None else call.key.of_customer(by.user_id)
            return Keyed(_of_caller(by, call.call), key, call.fingerprint)
        case _:
            return _of_caller(by, call)


def _of_caller(by: Principal, call: OrderCall) -> OnlyIf:
    """Return the call with the owner that the order must have. The use case checks it under the order's lock."""
    if isinstance(call, OnlyIf):
        return evolve(call, owner=by.user_id, by=caller_of(by))
    return OnlyIf(call, owner=by.user_id, by=caller_of(by))
