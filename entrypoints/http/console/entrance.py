"""Where the console begins. The API imports this file alone: the rest is imported when a page is first asked for."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, field
from quart import Quart, Request

from application.access.principal import Principal

_PATH: Final = b"/console"


class SignIn(Protocol):
    """Finds out whose key it is, as the API does."""

    @property
    def required(self) -> bool:
        """Whether callers have to say who they are."""

    async def by_token(self, token: str, request: Request) -> Principal:
        """Raise `Unauthenticated`, `TooManyGuesses`, or `Trouble`."""


def is_console(raw_path: bytes) -> bool:
    return raw_path.startswith(_PATH) and raw_path[len(_PATH) :][:1] in {b"", b"/"}


@define(eq=False)
class Console:
    """The console, made when it is first asked for: beside the event loop, which other requests need meanwhile."""

    _make: Callable[[], Quart]
    _making: "asyncio.Task[Quart] | None" = field(default=None, init=False)

    async def app(self) -> Quart:
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        # Whoever hangs up does not end it for the others.
        return await asyncio.shield(self._making)
