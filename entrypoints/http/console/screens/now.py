"""Whether all is well: each number leads to what is behind it."""

import asyncio
import json
from typing import Any, Final

from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.messaging.find_dead_letters import Groups
from entrypoints.alive import DEAD_AFTER
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.parts import Part
from entrypoints.http.console.screens.dead_letters import link_to
from entrypoints.http.console.verdict import Facts
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

PATH: Final = "/console/now"
_MOST_GROUPS: Final = 5


def now_screen(kit: Kit) -> list[Route]:
    screen = _Screen(kit)
    return [
        Route("GET", PATH, Scope.ORDERS_READ, screen.show),
        Route("GET", f"{PATH}/numbers", Scope.ORDERS_READ, screen.numbers),
    ]


@frozen
class _Screen:
    _kit: Kit

    async def show(self, by: Principal) -> Reply:
        groups, parts = await asyncio.gather(self._groups(by), self._parts(by))
        return self._kit.pages.page("now.html", by, groups=groups, most=_MOST_GROUPS, link=link_to, **parts)

    async def _groups(self, by: Principal) -> Part[Groups] | None:
        """Only when the page is opened: of many letters, thousands are looked at."""
        if Scope.DEAD_LETTERS_REPLAY not in by.scopes:
            return None
        return await self._kit.parts.ask("dead letters by cause", self._kit.use_cases.group_dead_letters(by))

    async def numbers(self, by: Principal) -> Reply:
        """The part of the page that is read anew."""
        return self._kit.pages.page("now_numbers.html", by, **await self._parts(by))

    async def _parts(self, by: Principal) -> dict[str, Any]:
        use, ask = self._kit.use_cases, self._kit.parts.ask
        accepted, paid, waiting, upkeep, servers, silence = await asyncio.gather(
            ask("accepted orders", use.count_accepted(by)),
            ask("time to paid", use.measure_time_to_paid(by)),
            ask("what waits", use.see_waiting(by)),
            ask("processes", use.see_upkeep(by)),
            ask("servers", self._kit.check_readiness()),
            ask("the payment provider", use.see_provider(by)),
        )
        facts = Facts(
            waiting=waiting,
            upkeep=upkeep,
            servers=servers,
            silence=silence,
            others={"accepted orders": accepted, "time to paid": paid},
            now=self._kit.now(),
        )
        for name in self._kit.parts.failing("server "):
            if name not in facts.missing:
                self._kit.parts.worked(f"server {name}")
        points = "[]" if accepted.value is None else json.dumps(accepted.value.minutes)
        return {
            "accepted": accepted,
            "paid": paid,
            "waiting": waiting,
            "upkeep": upkeep,
            "servers": servers,
            "silence": silence,
            "verdict": facts.verdict(),
            "points": points,
            "now": facts.now,
            "dead_after": DEAD_AFTER,
            "missing_since": {name: self._kit.parts.failed(f"server {name}") for name in facts.missing},
        }
