"""The ASGI types that are used here. The types of uvicorn and of Quart are not public."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
# In a scope: the application takes the body part by part as it arrives.
IN_PARTS: Final = "holdfast.in_parts"
App = Callable[[Any, Receive, Send], Awaitable[None]]
