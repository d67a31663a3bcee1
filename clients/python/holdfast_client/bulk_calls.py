"""The operations about bulk operations, each as a request and a way to read its answer."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from holdfast_client.bulk_models import BulkCount, BulkOperation
from holdfast_client.calls import Call, body_of, given, page_of, plain, quoted, under
from holdfast_client.models import Page

_ALL = "/bulk-operations"

# What is sent of the members of a filter.
Filter = Mapping[str, Any]


def count(act: str, orders: Filter | None, letters: Filter | None) -> Call[BulkCount]:
    body = {**_what(act, orders, letters), "dry_run": True}
    # It does nothing, and so may be sent again.
    return Call("POST", _ALL, body_of(BulkCount.of), body, headers=under(None))


def start(  # noqa: PLR0913, PLR0917 - as the API has it
    act: str, orders: Filter | None, letters: Filter | None, reason: str, seen: BulkCount | None, key: str | None
) -> Call[UUID]:
    confirmed = {} if seen is None else {"count": seen.count, "digest": seen.digest}
    body = {**_what(act, orders, letters), "reason": reason, **confirmed}
    return Call("POST", _ALL, body_of(lambda body: UUID(body["job_id"])), body, headers=under(key))


def get(job_id: UUID | str) -> Call[BulkOperation]:
    return Call("GET", _one(job_id), body_of(BulkOperation.of))


def page(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[BulkOperation]]:
    return Call("GET", _ALL, page_of(BulkOperation.of), params=given(cursor=cursor, limit=limit))


def stop(job_id: UUID | str) -> Call[BulkOperation]:
    return Call("POST", f"{_one(job_id)}/stop", body_of(BulkOperation.of))


def results_path(job_id: UUID | str) -> str:
    return f"{_one(job_id)}/results"


def _what(act: str, orders: Filter | None, letters: Filter | None) -> dict[str, Any]:
    chosen = {"orders": orders, "filter": letters}
    return {"act": act, **{name: plain(only) for name, only in chosen.items() if only is not None}}


def _one(job_id: UUID | str) -> str:
    return f"{_ALL}/{quoted(job_id)}"
