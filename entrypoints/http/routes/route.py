from collections.abc import Awaitable, Callable

from attrs import frozen

from entrypoints.http.replies import Reply


@frozen
class Route:
    method: str
    path: str
    handler: Callable[..., Awaitable[Reply]]
    # The headers that the handler itself honours. `guards.py` refuses the others that must not be ignored.
    honours: frozenset[str] = frozenset()
