"""What was to be reached, and what others reach."""

from typing import Final

from bench.measure import Measured
from bench.result import Aim, Peer, Result

# Each was run before on a machine like the one that these aims are for: two cores, 24 GB, everything on it.
_EARLIER: Final = "measured earlier on a like machine"
MESSAGE_QUEUE: Final = Peer(
    "punitarani/message-queue",
    440.0,
    f"{_EARLIER}: three FastAPI replicas, nginx, RabbitMQ; it inserts one row an order; 32 connections",
)
MESSAGE_QUEUE_READS: Final = Peer("punitarani/message-queue, reads", 1200.0, f"{_EARLIER}; p99 89 ms")
VENDURE: Final = Peer(
    "Vendure 3.7.3",
    14.8,
    f"{_EARLIER}: two server processes and a worker on PostgreSQL, 8 connections; it also does tax and promotions",
)
VENDURE_READS: Final = Peer("Vendure 3.7.3, reads", 316.0, f"{_EARLIER}; p99 175 ms")


def at_least(aim: str, value: float | None, wanted: float, unit: str = "") -> Aim:
    return Aim(f"{aim}: at least {wanted:g}{unit}", shown(value, unit), value is not None and value >= wanted)


def at_most(aim: str, value: float | None, wanted: float, unit: str = "") -> Aim:
    return Aim(f"{aim}: at most {wanted:g}{unit}", shown(value, unit), value is not None and value <= wanted)


def shown(value: float | None, unit: str = "") -> str:
    return "not measured" if value is None else f"{value:.3g}{unit}" if abs(value) < 100 else f"{value:,.0f}{unit}"  # noqa: PLR2004 - three figures


def cpu_of_api(ours: Measured, ceiling: Measured) -> Aim:
    ratio = ours.cpu_ms_each["api"] / ceiling.cpu_ms_each["api"]
    return at_most("CPU of the API process, of that of an empty handler", ratio, 1.4, " x")


def grown(result: Result) -> list[Aim]:
    """Where the shop was filled before, it has to be as fast as one that was not."""
    small = result.figures.get("with_few_orders_per_s")
    if not isinstance(small, float):
        return []
    return [at_least(f"with {result.orders:,} orders, of one with few", result.completed_per_s / small, 0.9)]


def memory_of_api(result: Result) -> Aim:
    return at_most("memory of the API process", result.memory_mb["api"], 120, " MB")


def within(aim: str, ratio: float, share: float) -> Aim:
    """Equal, but for a share in either direction."""
    return Aim(f"{aim}: equal within {share:.0%}", shown(ratio, " x"), 1 - share <= ratio <= 1 / (1 - share))
