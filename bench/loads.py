"""The loads on a shop: one function for each kind."""

import time
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from bench.measure import Window, watch
from bench.shops import PRODUCTS, Shop
from bench.wrk import CONNECTIONS, Load, run_wrk
from tests.servers import wait_until

# The first and the last product that is bought.
EVERYTHING: Final = (1, PRODUCTS)
ONE: Final = (1, 1)
# Chance in a load is the same each time.
_SEED: Final = 7
# All accepted orders have to be processed within this time after the end of the load.
_DRAIN_SECONDS: Final = 180.0


def post_empty(ceiling: Shop, seconds: float) -> Window:
    """Bodies are sent and decoded, and that is all."""
    return watch(ceiling, lambda: _post(ceiling, "place", seconds, EVERYTHING), _answered)


def get(shop: Shop, paths: Sequence[str], seconds: float) -> Window:
    file = shop.folder / "paths"
    file.write_text("\n".join(paths))
    return watch(shop, lambda: run_wrk("get", file, url=shop.url, seconds=seconds, folder=shop.folder), _answered)


@define(eq=False)
class Customers:
    """Place orders, and count the accepted ones: as many have to be in the database."""

    shop: Shop
    _before: int = field(init=False)
    _accepted: int = field(default=0, init=False)
    _unheard: float = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._before = self.shop.data.orders()

    def order(self, seconds: float, *, key: str = "") -> Window:
        """An order is complete when it is in the database and was answered."""
        before = self.shop.data.orders()
        return watch(
            self.shop,
            lambda: self._load("place", seconds, EVERYTHING, key),
            lambda load: min(load.answered, self.shop.data.orders() - before),
            settle=self._sent,
        )

    def live(self, seconds: float, *, products: tuple[int, int] = EVERYTHING, key: str = "") -> Window:
        """An order is complete when it is PAID. Wait until the last one is."""
        before = self.shop.data.paid()
        return watch(
            self.shop,
            lambda: self._load("lifecycle", seconds, products, key),
            lambda _: self.shop.data.paid() - before,
            settle=self._paid_for,
        )

    def others_ordered(self, accepted: int, *, unheard: float = 0) -> None:
        """So many orders were answered to others, and so many more may have been placed."""
        self._accepted += accepted
        self._unheard += unheard

    def findings(self) -> list[str]:
        """What is wrong with the data, or with the responses to these customers."""
        orders = self.shop.data.orders() - self._before
        found = self.shop.data.findings()
        if not self._accepted <= orders <= self._accepted + self._unheard:
            found.append(f"{self._accepted} orders were accepted, and {orders} are in the database")
        return found

    def _load(self, script: str, seconds: float, products: tuple[int, int], key: str) -> Load:
        load = _post(self.shop, script, seconds, products, key)
        self._accepted += load.accepted
        # When it ends, wrk doesn't wait for the responses to its last requests.
        self._unheard += CONNECTIONS + load.broken
        return load

    def wait_until_sent(self) -> None:
        """Wait until every order that was to be paid for is, and all is said."""
        self._paid_for()

    def _paid_for(self) -> float:
        wait_until(lambda: not self.shop.data.processing(), seconds=_DRAIN_SECONDS, what="every order is paid for")
        done = time.monotonic()
        self._sent()
        return done

    def _sent(self) -> None:
        if self.shop.service.processes.keys() & {"up", "relay"}:
            wait_until(lambda: not self.shop.data.unsent(), seconds=_DRAIN_SECONDS, what="every event was sent")


def _post(shop: Shop, script: str, seconds: float, products: tuple[int, int], key: str = "") -> Load:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return run_wrk(script, *products, _SEED, url=shop.url, seconds=seconds, folder=shop.folder, headers=headers)


def _answered(load: Load) -> int:
    return load.answered
