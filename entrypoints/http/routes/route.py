from collections.abc import Awaitable, Callable, Mapping

from attrs import field, frozen

from entrypoints.http.query import Reader
from entrypoints.http.replies import Reply


@frozen
class Route:
    method: str
    path: str
    handler: Callable[..., Awaitable[Reply]]
    # The headers that the handler itself honours. `guards.py` refuses the others that must not be ignored.
    honours: frozenset[str] = frozenset()
    # The parameters that its query may have.
    parameters: Mapping[str, Reader] = field(factory=dict)
