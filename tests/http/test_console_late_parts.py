"""A page comes, also when all that may be unknown on it is late at once."""

import asyncio
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from application.access.principal import SYSTEM
from application.operations.bulk import BulkRequest
from domain.dead_letter_groups import CauseFilter
from entrypoints.http.console import entrance
from entrypoints.http.console.app import _PAGE_TIMEOUT
from entrypoints.http.console.parts import QUERY_TIMEOUT, Part, Parts
from tests.http.test_console import Visitor, app_for, routes_of
from tests.http.test_console_acts import set_aside
from tests.unit.shop import Shop
from tests.unit.webhooks import BROKEN, URL, Webhooks

SCREENS = Path(entrance.__file__).parent
_ASK = Parts.ask


class HurriedLoop(asyncio.SelectorEventLoop):
    """A loop in which nobody waits: when there is nothing to do, it is the time at which there is."""

    _ahead = 0.0
    _is_hurried = True

    def time(self) -> float:
        return super().time() + self._ahead

    def _run_once(self) -> None:
        coming: Any = self._scheduled  # type: ignore[attr-defined]
        if self._is_hurried and coming and not self._ready:  # type: ignore[attr-defined]
            self._ahead += max(0.0, coming[0].when() - self.time())
        super()._run_once()  # type: ignore[misc]

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in asyncio
        # A thread needs real time to end.
        self._is_hurried = False
        await super().shutdown_default_executor()


async def _pages(shop: Shop, ana: Visitor) -> dict[str, int]:
    """The address of each page that has parts, and how often it says that one is unknown when all of them are late."""
    order = await shop.paid((await shop.sells(), 1))
    webhooks = Webhooks(shop)
    endpoint = await webhooks.add()
    webhooks.answers[URL] = lambda _: BROKEN
    await webhooks.orders()
    await webhooks.send()
    await set_aside(shop, b"1")
    await set_aside(shop, b"2")
    await ana.send("POST", "/console/dead-letters/2/discard", "reason=noise")
    replay = await shop.use_cases.start_bulk(SYSTEM, BulkRequest(act="replay", only=CauseFilter()))
    check = await ana.send("POST", "/console/reconciliations")
    return {
        "/console/now": 9,
        "/console/now/numbers": 8,
        "/console/flow": 3,
        f"/console/orders/{order.id}": 3,
        f"/console/stock/{order.lines[0].product_id}": 0,
        "/console/webhooks": 2,
        f"/console/webhooks/{endpoint}": 2,
        "/console/dead-letters": 2,
        "/console/dead-letters/group": 2,
        "/console/dead-letters/1": 2,
        "/console/dead-letters/2": 0,
        "/console/bulk-operations": 0,
        f"/console/bulk-operations/{replay.id}": 1,
        "/console/reconciliations": 0,
        check.headers["Location"].partition("?")[0]: 0,
        "/console/audit": 0,
    }


def test_a_page_comes_though_all_its_parts_are_late_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two that are awaited one after the other are too late for the page.
    assert _PAGE_TIMEOUT < 2 * QUERY_TIMEOUT
    late: set[str] = set()

    async def ask(self: Parts, name: str, work: Any) -> Part[Any]:
        work.close()
        late.add(re.sub(r"\d+", "", name))
        never: Awaitable[Any] = asyncio.Event().wait()
        return await _ASK(self, name, never)

    async def look() -> None:
        shop = Shop()
        app = app_for(shop)
        # It is made in a thread, for which this loop would not wait.
        await routes_of(app)
        ana = Visitor(app)
        await ana.sign_in("admin")
        pages = await _pages(shop, ana)
        monkeypatch.setattr(Parts, "ask", ask)
        found = {}
        for path in pages:
            response = await ana.get(path)
            html = await response.get_data(as_text=True)
            found[path] = response.status_code, len(re.findall("[Uu]nknown(?: since|<|\\))", html))
        assert found == {path: (200, unknown) for path, unknown in pages.items()}

    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        runner.run(look())
    written = {
        re.sub(r"\{[\w.]+\}", "", name)
        for file in SCREENS.rglob("*.py")
        for name in re.findall(r'(?:ask|_of_each)\(\s*f?"([^"]+)"', file.read_text())
    }
    # Each part that there is was late on some page.
    assert late == written
