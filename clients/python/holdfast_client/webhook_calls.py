"""The operations about webhooks, each as a request and a way to read its answer."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from holdfast_client.calls import Call, body_of, given, nothing, page_of, quoted, under
from holdfast_client.models import Page
from holdfast_client.webhook_models import Attempt, Delivery, Endpoint, NewSecret

_ALL = "/webhook-endpoints"


def add(url: str, events: Iterable[str], more: Mapping[str, Any]) -> Call[NewSecret]:
    return Call("POST", _ALL, body_of(NewSecret.of), {**more, "url": url, "events": list(events)})


def get(endpoint_id: UUID | str) -> Call[Endpoint]:
    return Call("GET", _one(endpoint_id), body_of(Endpoint.of))


def keys() -> Call[list[str]]:
    return Call("GET", "/.well-known/webhook-keys", body_of(lambda body: list(body["keys"])))


def page(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[Endpoint]]:
    return Call("GET", _ALL, page_of(Endpoint.of), params=given(cursor=cursor, limit=limit))


def change(endpoint_id: UUID | str, changes: Mapping[str, Any]) -> Call[Endpoint]:
    return Call("PATCH", _one(endpoint_id), body_of(Endpoint.of), dict(changes))


def delete(endpoint_id: UUID | str) -> Call[None]:
    return Call("DELETE", _one(endpoint_id), nothing)


def rotate(endpoint_id: UUID | str, previous_valid_for: timedelta) -> Call[NewSecret]:
    body = {"previous_valid_for": f"{previous_valid_for.total_seconds():g}s" if previous_valid_for else "0"}
    return Call("POST", f"{_one(endpoint_id)}/rotate-secret", body_of(NewSecret.of), body)


def test(endpoint_id: UUID | str) -> Call[Attempt]:
    return Call("POST", f"{_one(endpoint_id)}/test", body_of(Attempt.of))


def enable(endpoint_id: UUID | str, resume_from: str | int) -> Call[Endpoint]:
    return Call("POST", f"{_one(endpoint_id)}/enable", body_of(Endpoint.of), {"resume_from": resume_from})


def recover(
    endpoint_id: UUID | str, since: datetime, *, until: datetime | None, types: Iterable[str], key: str | None
) -> Call[UUID]:
    body = given(since=since, until=until, types=list(types) or None)
    return Call(
        "POST", f"{_one(endpoint_id)}/recover", body_of(lambda body: UUID(body["job_id"])), body, headers=under(key)
    )


def deliveries(
    endpoint_id: UUID | str, *, cursor: str | None = None, limit: int | None = None, **only: Any
) -> Call[Page[Delivery]]:
    params = given(cursor=cursor, limit=limit, **only)
    return Call("GET", f"{_one(endpoint_id)}/deliveries", page_of(Delivery.of), params=params)


def undelivered(
    *, reason: str | None = None, cursor: str | None = None, limit: int | None = None
) -> Call[Page[Delivery]]:
    params = given(reason=reason, cursor=cursor, limit=limit)
    return Call("GET", "/deliveries/undelivered", page_of(Delivery.of), params=params)


def delivery(delivery_id: str) -> Call[Delivery]:
    return Call("GET", f"/deliveries/{quoted(delivery_id)}", body_of(Delivery.with_attempts))


def resend(delivery_id: str) -> Call[Delivery]:
    return Call("POST", f"/deliveries/{quoted(delivery_id)}/resend", body_of(Delivery.of))


def _one(endpoint_id: UUID | str) -> str:
    return f"{_ALL}/{quoted(endpoint_id)}"
