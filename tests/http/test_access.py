"""Who may use which route. Each test walks every route, so a new route is tried as well."""

from functools import reduce
from typing import Any

import pytest
from quart import Quart, Request

from application.access.principal import Principal, Unauthenticated
from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, Scope
from domain.ids import UserId
from entrypoints.http.routes.metrics import TEXT, metrics_routes
from entrypoints.http.routes.route import Open, Route
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop

NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"
# What a route takes as its body, where it is not an empty object.
BODIES = {
    "/orders": b'{"user_id": 1, "items": [{"product_id": 1, "quantity": 1}]}',
    "/status": b'{"status": "CANCELLED"}',
    "/keys": b'{"name": "till", "role": "read", "scopes": []}',
    "/products": b'{"name": "ink", "price": 100, "currency": "EUR"}',
    "/carts/<user_id>/items/<product_id>": b'{"quantity": 1}',
    "/stock": b'{"delta": 1, "reason": "delivery"}',
    "/reset": b'{"confirm": "holdfast"}',
    "/seed": b'{"count": 1}',
    "/discard": b'{"reason": "a test"}',
    "/bulk-operations": b'{"act": "replay"}',
    "/exports": b'{"what": "orders"}',
    "/messages": b'{"content": "hello"}',
    "/add_message": b'{"content": "hello"}',
}
# Of these, the first one that ends the path counts, before those of ours.
OF_OTHERS = {
    "/from/flask-orders/orders": b'{"customer_name": "Ann", "items": [{"name": "fountain pen", "quantity": 1}]}',
    "/from/shop/products": b'{"name": "ink", "price": 1.5}',
    "/order/place": b"",
    "/from/shop/orders/<order_id>/pay": b"",
}
# The operation itself asks for a second scope.
NEEDS_MORE = {
    "/bulk-operations",
    "/reconciliations/<job_id>/repair",
    "/order/place",
    "/from/replicas/order/place",
    "/from/flask-orders/orders/<order_id>/status",
}


def app_for(shop: Shop, by: Principal | None) -> Any:
    async def authenticate(_: Request) -> Principal:
        if by is None:
            raise Unauthenticated("send a key")
        return by

    return app_over(shop.use_cases, authenticate=authenticate, metrics=metrics_routes(lambda: b"", TEXT))


ROUTES: dict[str, Route] = app_for(Shop(), None).routes
each_route = pytest.mark.parametrize("name", ROUTES)


def address(route: Route, order_id: str = NOWHERE) -> str:
    named = {
        "<order_id>": order_id,
        "<product_id>": "1",
        "<user_id>": "1",
        "<job_id>": NOWHERE,
        "<key_id>": "0123456789ab",
        "<letter_id>": "1",
        "<endpoint_id>": NOWHERE,
        "<delivery_id>": f"{NOWHERE}.1",
        "<code>": "overloaded",
    }
    path = reduce(lambda path, name: path.replace(*name), named.items(), route.path)
    # A stream ends by itself only if it is refused.
    return f"{path}?after=x" if path.endswith("/stream") else path


def body_for(route: Route) -> bytes:
    if route.method not in {"POST", "PATCH", "PUT"}:
        return b""
    return next((body for end, body in (OF_OTHERS | BODIES).items() if route.path.endswith(end)), b"{}")


async def ask(app: Quart, route: Route, order_id: str = NOWHERE) -> Any:
    path, body = address(route, order_id), body_for(route)
    return await Browser(app).send(route.method, path, body, more=[("Request-Id", "asked")])


def code_of(route: Route, answer: Any) -> str:
    """The code of the refusal. In the words of another system it has none; its status says as much."""
    if route.wording is None:
        return str(answer.code)
    assert answer.body.keys() == {"error"}
    return {401: "unauthenticated", 403: "forbidden"}[answer.status]


def scopes_of(route: Route) -> frozenset[Scope]:
    if isinstance(route.access, Open):
        return frozenset()
    return route.access if isinstance(route.access, frozenset) else frozenset({route.access})


@each_route
async def test_nobody_gets_past_a_route_that_is_not_open_to_all(shop: Shop, name: str) -> None:
    route = ROUTES[name]
    answer = await ask(app_for(shop, None), route)
    if route.access is Open.TO_ALL:
        assert answer.status == 200
    else:
        assert (answer.status, code_of(route, answer)) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_only_vital_signs_and_documents_are_open_to_all() -> None:
    # Nothing here shows or changes anything of the shop.
    documents = {"/asyncapi.json", "/openapi.json", "/docs", "/docs/style.css", "/problems", "/problems/<code>"}
    # Public keys are for receivers of webhooks, who are nobody's callers.
    documents.add("/.well-known/webhook-keys")
    others = ("", "/from/flask-orders", "/from/shop", "/from/messages", "/from/replicas")
    open_to_all = documents | {"/health/live", "/health/ready", *(f"{prefix}/health" for prefix in others)}
    assert {route.path for route in ROUTES.values() if route.access is Open.TO_ALL} == open_to_all


@each_route
async def test_a_caller_without_the_scope_is_told_which_one(shop: Shop, name: str) -> None:
    route = ROUTES[name]
    by = Principal("somebody", scopes=ALL_SCOPES - scopes_of(route))
    answer = await ask(app_for(shop, by), route)
    if scopes_of(route):
        assert (answer.status, code_of(route, answer)) == (403, "forbidden")
        assert all(scope in str(answer.body) for scope in scopes_of(route))
    else:
        assert answer.status not in {401, 403}


@each_route
async def test_a_caller_with_the_scope_gets_past(shop: Shop, name: str) -> None:
    route = ROUTES[name]
    await shop.sells()
    for scope in scopes_of(route):
        answer = await ask(app_for(shop, Principal("somebody", scopes=frozenset({scope}))), route)
        assert answer.status != 401
        # What is refused to everybody is another matter.
        if answer.status == 403 and route.path not in NEEDS_MORE:
            assert scope is Scope.REFUNDS_WRITE or answer.code == "reset_not_allowed"


@pytest.mark.parametrize("name", [name for name in ROUTES if "<order_id>" in name])
async def test_another_customer_gets_the_answer_for_an_unknown_order(shop: Shop, name: str) -> None:
    route = ROUTES[name]
    order = await shop.order((await shop.sells(), 1))
    app = app_for(shop, Principal("a stranger", user_id=UserId(2), scopes=CUSTOMER_SCOPES))
    answer, unknown = await ask(app, route, str(order.id)), await ask(app, route)
    assert answer.status in {403, 404}
    assert str(answer.body).replace(str(order.id), NOWHERE) == str(unknown.body)
    assert await shop.now(order) == order


async def test_a_cursor_of_a_customer_is_bound_to_it(shop: Shop) -> None:
    pen = await shop.sells()
    for user_id in (1, 1, 2, 2):
        await shop.order((pen, 1), user_id=user_id)
    owner, stranger = (
        Browser(app_for(shop, Principal("a customer", user_id=UserId(id_), scopes=CUSTOMER_SCOPES))) for id_ in (1, 2)
    )
    page = (await owner.get("/orders?limit=1")).body
    assert [order["user_id"] for order in page["items"]] == [1]
    assert (await owner.get(f"/orders?limit=1&cursor={page['next']}")).status == 200
    assert (await stranger.get(f"/orders?limit=1&cursor={page['next']}")).status == 400


def test_a_route_without_its_access_can_not_be_made() -> None:
    async def handler() -> Any: ...

    with pytest.raises(TypeError):
        Route("GET", "/secrets", handler=handler)  # type: ignore[call-arg]
