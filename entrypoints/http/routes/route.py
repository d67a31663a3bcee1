from collections.abc import Awaitable, Callable

from attrs import frozen

from entrypoints.http.replies import Reply


@frozen
class Route:
    method: str
    path: str
    handler: Callable[..., Awaitable[Reply]]
