"""Each operation as a request and a way to read its answer. Both clients send these."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx

from holdfast_client.errors import UnexpectedAnswer
from holdfast_client.models import (
    BrokenItem,
    Cart,
    CheckedOrder,
    Event,
    EventPage,
    Import,
    IssuedKey,
    Item,
    Job,
    Message,
    Order,
    Page,
    Product,
    Timeline,
)

T = TypeVar("T")

# Sent twice, they have done what they do once.
_SAFE: Final = frozenset({"GET", "HEAD", "PUT"})
_KEY: Final = "Idempotency-Key"
_MEDIA_TYPES: Final = {"ndjson": "application/x-ndjson", "csv": "text/csv"}
# Seconds that the API holds a request until there is something to tell.
LONGEST_WAIT: Final = 10


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    method: str
    path: str
    read: Callable[[httpx.Response], T]
    json: Any = None
    content: bytes | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def repeats(self) -> bool:
        """Whether it does no harm to send it twice."""
        return self.method in _SAFE or _KEY in self.headers


def read(call: Call[T], response: httpx.Response) -> T:
    """Raise `UnexpectedAnswer` if the response is not of the form that this release knows."""
    try:
        return call.read(response)
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedAnswer(f"the answer to {call.method} {call.path} can't be read: {error!r}") from error


def body_of(read: Callable[[Mapping[str, Any]], T]) -> Callable[[httpx.Response], T]:
    return lambda response: read(response.json())


def page_of(read: Callable[[Mapping[str, Any]], T]) -> Callable[[httpx.Response], Page[T]]:
    def page(body: Mapping[str, Any]) -> Page[T]:
        broken = [BrokenItem.of(each) for each in body.get("broken", ())]
        return Page([read(item) for item in body["items"]], body["next"], body.get("count"), broken)

    return body_of(page)


def nothing(_: httpx.Response) -> None:
    return None


def given(**values: Any) -> dict[str, Any]:
    return {name: plain(value) for name, value in values.items() if value is not None}


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def under(key: str | None) -> dict[str, str]:
    return {_KEY: key or str(uuid4())}


def quoted(part: object) -> str:
    """Return a part of a path, whatever is in it."""
    return quote(str(part), safe="")


def _only_if(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"v{version}"'}


def place_order(
    user_id: int | str, items: Iterable[Item], *, pay: bool, key: str | None, details: Mapping[str, Any]
) -> Call[Order]:
    body = {**details, "user_id": user_id, "items": [item.as_json() for item in items]}
    return Call("POST", "/orders", body_of(Order.of), body | ({"pay": True} if pay else {}), headers=under(key))


def check_order(items: Iterable[Item]) -> Call[CheckedOrder]:
    return Call("POST", "/orders/check", body_of(CheckedOrder.of), {"items": [item.as_json() for item in items]})


def get_order(
    order_id: UUID | str, *, expand: Iterable[str] = (), wait: float | None = None, min_version: int | None = None
) -> Call[Order]:
    parameters = given(expand=",".join(expand) or None, wait=wait, min_version=min_version)
    return Call("GET", _order(order_id), body_of(Order.of), params=parameters)


def list_orders(*, cursor: str | None = None, limit: int | None = None, **only: Any) -> Call[Page[Order]]:
    return Call("GET", "/orders", page_of(Order.of), params=given(cursor=cursor, limit=limit, **only))


def pay(order_id: UUID | str, *, version: int | None, key: str | None) -> Call[Order]:
    return Call("POST", _order(order_id) + "/pay", body_of(Order.of), headers=under(key) | _only_if(version))


def set_status(order_id: UUID | str, status: str, *, version: int | None) -> Call[Order]:
    path = _order(order_id) + "/status"
    return Call("PATCH", path, body_of(Order.of), {"status": status}, headers=_only_if(version))


def change_order(order_id: UUID | str, changes: Mapping[str, Any], *, version: int | None) -> Call[Order]:
    return Call("PATCH", _order(order_id), body_of(Order.of), dict(changes), headers=_only_if(version))


def delete_order(order_id: UUID | str, *, version: int | None) -> Call[UUID | None]:
    return Call("DELETE", _order(order_id), _job_of_change, headers=_only_if(version))


def _job_of_change(response: httpx.Response) -> UUID | None:
    return UUID(response.json()["job_id"]) if response.status_code == httpx.codes.ACCEPTED else None


def history(order_id: UUID | str) -> Call[Sequence[Event]]:
    whose = UUID(str(order_id))
    return Call(
        "GET", _order(order_id) + "/events", body_of(lambda body: [Event.of(each, whose) for each in body["items"]])
    )


def timeline(order_id: UUID | str) -> Call[Timeline]:
    return Call("GET", _order(order_id) + "/timeline", body_of(Timeline.of))


def get_product(product_id: int) -> Call[Product]:
    return Call("GET", f"/products/{product_id}", body_of(Product.of))


def list_products(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[Product]]:
    return Call("GET", "/products", page_of(Product.of), params=given(cursor=cursor, limit=limit))


def add_product(new: Mapping[str, Any], *, key: str | None) -> Call[Product]:
    return Call("POST", "/products", body_of(Product.of), dict(new), headers=under(key))


def change_product(product_id: int, changes: Mapping[str, Any], *, version: int | None) -> Call[Product]:
    return Call("PATCH", f"/products/{product_id}", body_of(Product.of), dict(changes), headers=_only_if(version))


def adjust_stock(product_id: int, delta: int, *, reason: str, key: str | None) -> Call[Product]:
    body = {"delta": delta, "reason": reason}
    return Call("POST", f"/products/{product_id}/stock", body_of(Product.of), body, headers=under(key))


def put_into_cart(user_id: int | str, product_id: int, quantity: int) -> Call[Cart]:
    return Call("PUT", f"{_cart(user_id)}/items/{product_id}", body_of(Cart.of), {"quantity": quantity})


def get_cart(user_id: int | str) -> Call[Cart]:
    return Call("GET", _cart(user_id), body_of(Cart.of))


def empty_cart(user_id: int | str) -> Call[None]:
    return Call("DELETE", _cart(user_id), nothing)


def order_cart(user_id: int | str, *, key: str | None) -> Call[Order]:
    return Call("POST", _cart(user_id) + "/order", body_of(Order.of), headers=under(key))


def add_message(content: str, *, order_id: UUID | str | None, key: str | None) -> Call[UUID]:
    read = body_of(lambda body: UUID(body["job_id"]))
    return Call("POST", _messages(order_id), read, {"content": content}, headers=under(key))


def list_messages(*, order_id: UUID | str | None, cursor: str | None) -> Call[Page[Message]]:
    return Call("GET", _messages(order_id), page_of(Message.of), params=given(cursor=cursor))


def get_job(job_id: UUID | str) -> Call[Job]:
    return Call("GET", _job(job_id), body_of(Job.of))


def cancel_job(job_id: UUID | str) -> Call[Job]:
    return Call("POST", _job(job_id) + "/cancel", body_of(Job.of))


def retry_job(job_id: UUID | str) -> Call[Job]:
    return Call("POST", _job(job_id) + "/retry", body_of(Job.of))


def start_export(what: str, *, format: str, key: str | None, only: Mapping[str, Any]) -> Call[UUID]:  # noqa: A002 - as the API has it
    body = {"what": what, "format": format, "filter": {name: plain(value) for name, value in only.items()}}
    return Call("POST", "/exports", body_of(lambda body: UUID(body["job_id"])), body, headers=under(key))


def export_path(job_id: UUID | str) -> str:
    return f"/exports/{quoted(job_id)}"


def start_import(  # noqa: PLR0913 - as the API has it
    what: str,
    content: bytes,
    *,
    format: str,  # noqa: A002 - as the API has it
    dry_run: bool,
    on_error: str,
    key: str | None,
) -> Call[UUID]:
    return Call(
        "POST",
        "/imports",
        body_of(lambda body: UUID(body["job_id"])),
        content=content,
        params={"what": what, "dry_run": "true" if dry_run else "false", "on_error": on_error},
        headers={**under(key), "Content-Type": _MEDIA_TYPES[format]},
    )


def get_import(job_id: UUID | str) -> Call[Import]:
    return Call("GET", _import(job_id), body_of(Import.of))


def results_path(job_id: UUID | str) -> str:
    return _import(job_id) + "/results"


def _import(job_id: UUID | str) -> str:
    return f"/imports/{quoted(job_id)}"


def reset_shop(confirm: str) -> Call[int]:
    return Call("POST", "/admin/reset", body_of(lambda body: int(body["orders"])), {"confirm": confirm})


def create_key(name: str, role: str, more: Mapping[str, Any]) -> Call[IssuedKey]:
    return Call("POST", "/keys", body_of(IssuedKey.of), {**more, "name": name, "role": role})


def revoke_key(key_id: str) -> Call[None]:
    return Call("DELETE", f"/keys/{quoted(key_id)}", nothing)


def event_page(
    *,
    after: int | None,
    types: Sequence[str],
    order_id: UUID | str | None,
    limit: int | None = None,
    wait: int | None = None,
) -> Call[EventPage]:
    params = event_filter(after=after, types=types, order_id=order_id) | given(limit=limit, wait=wait)
    read = body_of(lambda body: EventPage([Event.of(each) for each in body["items"]], body["next"]))
    return Call("GET", "/events", read, params=params)


def newest_position() -> Call[int]:
    return Call("GET", "/events", lambda response: int(response.headers["Holdfast-Position"]), params={"limit": 1})


def event_filter(*, after: int | None, types: Sequence[str], order_id: UUID | str | None) -> dict[str, Any]:
    return given(after=after, types=",".join(types) or None, order_id=order_id)


def _cart(user_id: int | str) -> str:
    return f"/carts/{quoted(user_id)}"


def _messages(order_id: UUID | str | None) -> str:
    return "/messages" if order_id is None else _order(order_id) + "/messages"


def _job(job_id: UUID | str) -> str:
    return f"/jobs/{quoted(job_id)}"


def _order(order_id: UUID | str) -> str:
    return f"/orders/{quoted(order_id)}"
