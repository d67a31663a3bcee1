"""The targets, and the figures of other systems."""

from typing import Final

from attrs import frozen

from bench.measure import Measured
from bench.result import Aim, Peer, Result


@frozen
class Measurement:
    """The figures of another system, measured earlier, with everything on one machine of two cores and 24 GB."""

    name: str
    per_s: float
    ceiling_per_s: float
    """The rate of the empty handler, on the same machine in the same week."""
    how: str

    def here(self, ceiling_per_s: float) -> Peer:
        """The rate to expect on this machine, scaled by the two ceilings."""
        source = f"{self.per_s:g}/s where the ceiling was {self.ceiling_per_s:,g}/s; {self.how}"
        return Peer(self.name, self.per_s * ceiling_per_s / self.ceiling_per_s, source)


_POST_CEILING: Final = 6400.0
_GET_CEILING: Final = 7200.0
MESSAGE_QUEUE: Final = Measurement(
    "punitarani/message-queue",
    440.0,
    _POST_CEILING,
    "three FastAPI replicas, nginx, RabbitMQ; it inserts one row an order; 32 connections",
)
MESSAGE_QUEUE_READS: Final = Measurement("punitarani/message-queue, reads", 1200.0, _GET_CEILING, "p99 89 ms")
VENDURE: Final = Measurement(
    "Vendure 3.7.3",
    14.8,
    _POST_CEILING,
    "two server processes and a worker on PostgreSQL, 8 connections; it also does tax and promotions",
)
VENDURE_READS: Final = Measurement("Vendure 3.7.3, reads", 316.0, _GET_CEILING, "p99 175 ms")


def at_least(aim: str, value: float | None, wanted: float, unit: str = "") -> Aim:
    return Aim(f"{aim}: at least {wanted:g}{unit}", shown(value, unit), value is not None and value >= wanted)


def at_most(aim: str, value: float | None, wanted: float, unit: str = "") -> Aim:
    return Aim(f"{aim}: at most {wanted:g}{unit}", shown(value, unit), value is not None and value <= wanted)


def shown(value: float | None, unit: str = "") -> str:
    return "not measured" if value is None else f"{value:.3g}{unit}" if abs(value) < 100 else f"{value:,.0f}{unit}"  # noqa: PLR2004 - three figures


def times_best_peer(result: Result, wanted: float) -> Aim:
    best = max(result.peers, key=lambda peer: peer.per_s)
    return at_least(f"of {best.name}", result.completed_per_s / best.per_s, wanted, " x")


def cpu_of_api(ours: Measured, ceiling: Measured) -> Aim:
    ratio = ours.cpu_ms_each["api"] / ceiling.cpu_ms_each["api"]
    return at_most("CPU of the API process, of that of an empty handler", ratio, 1.4, " x")


def grown(result: Result) -> list[Aim]:
    """A shop that was filled before has to be as fast as an empty one."""
    small = result.figures.get("with_few_orders_per_s")
    if not isinstance(small, float):
        return []
    return [at_least(f"with {result.orders:,} orders, of one with few", result.completed_per_s / small, 0.9)]


def memory_of_api(result: Result) -> Aim:
    return at_most("memory of the API process", result.memory_mb["api"], 120, " MB")


def within(aim: str, ratio: float, share: float) -> Aim:
    """Equal, but for a share in either direction."""
    return Aim(f"{aim}: equal within {share:.0%}", shown(ratio, " x"), 1 - share <= ratio <= 1 / (1 - share))
