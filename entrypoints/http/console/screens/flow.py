"""How events flow: what is in the outbox, which relay publishes it, and what waits in the queues and behind them."""

import asyncio
from typing import Any, Final

from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.messaging.subscriptions import RETRY_DELAYS
from entrypoints.http.console.kit import Kit
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

PATH: Final = "/console/flow"


def flow_screen(kit: Kit) -> list[Route]:
    screen = _Screen(kit)
    return [
        Route("GET", PATH, Scope.ORDERS_READ, screen.show),
        Route("GET", f"{PATH}/numbers", Scope.ORDERS_READ, screen.numbers),
    ]


@frozen
class _Screen:
    _kit: Kit

    async def show(self, by: Principal) -> Reply:
        return self._kit.pages.page("flow.html", by, **await self._parts(by))

    async def numbers(self, by: Principal) -> Reply:
        """The part of the page that is read anew."""
        return self._kit.pages.page("flow_numbers.html", by, **await self._parts(by))

    async def _parts(self, by: Principal) -> dict[str, Any]:
        use, ask = self._kit.use_cases, self._kit.parts.ask
        waiting, upkeep, queues = await asyncio.gather(
            ask("what waits", use.see_waiting(by)),
            ask("processes", use.see_upkeep(by)),
            ask("queues", use.see_queues(by)),
        )
        # An own time for each queue: one may be missing while the others are there.
        unknown_since = {}
        for each in queues.value or ():
            name = f"queue {each.name}"
            if each.problem:
                unknown_since[each.name] = self._kit.parts.failed(name)
            else:
                self._kit.parts.worked(name)
        return {
            "waiting": waiting,
            "upkeep": upkeep,
            "queues": queues,
            "unknown_since": unknown_since,
            "delays": RETRY_DELAYS,
        }
