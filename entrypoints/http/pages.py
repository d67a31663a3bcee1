"""Pages of lists."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Generic, Protocol, TypeVar, cast
from urllib.parse import parse_qsl, urlencode

from attrs import frozen
from msgspec import UNSET, Struct, UnsetType
from quart import request

from entrypoints.http.cursors import ListCursors
from entrypoints.http.prefix import here
from entrypoints.http.query import DEFAULT_LIMIT
from entrypoints.http.replies import Reply, reply

K = TypeVar("K")
T = TypeVar("T")


@frozen
class Page(Generic[T]):
    items: Sequence[T]
    # The cursor of the page after this one, if there is one.
    next: str | None
    # How many items the list has, up to a number, if that was asked for.
    count: int | UnsetType = UNSET


async def page_of(
    cursors: ListCursors[K],
    wanted: Mapping[str, Any],
    read: Callable[[K | None, int], Awaitable[Sequence[T]]],
    key: Callable[[T], K],
    count: Callable[[], Awaitable[int]] | None = None,
) -> Page[T]:
    """Return the page of a list that the query asks for with `limit`, `cursor` and `count`. Raise `InvalidCursor`.

    `read` returns the items after the one with this key, up to a number.
    """
    limit, cursor = wanted.get("limit", DEFAULT_LIMIT), wanted.get("cursor")
    # One more than is shown tells whether there is a next page.
    found = await read(None if cursor is None else cursors.start(cursor), limit + 1)
    shown = found[:limit]
    following = cursors.after(key(shown[-1])) if len(found) > limit else None
    return Page(shown, following, await count() if count is not None and "count" in wanted else UNSET)


class PageBody(Protocol):
    """The JSON of a page. `next` is the cursor of the page after it, if there is one."""

    @property
    def next(self) -> str | None: ...


def page_reply(body: PageBody) -> Reply:
    """Return the response for a page. Its header Link (RFC 8288) leads to the next one, if there is one."""
    shape = cast("Struct", body)
    if body.next is None:
        return reply(shape)
    sent = parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    query = [(name, value) for name, value in sent if name != "cursor"]
    address = here(request.path) + "?" + urlencode([*query, ("cursor", body.next)], encoding="latin-1")
    return reply(shape, HTTPStatus.OK, ("Link", f'<{address}>; rel="next"'))
