"""The three builds of a scenario: the empty handler, this build, and this build without batching."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Final

from attrs import frozen

from bench.aims import Measurement
from bench.loads import Customers
from bench.measure import Measured
from bench.options import Options, machine
from bench.result import KEPT, Result, ratio
from bench.shops import GROWN, PRODUCT, Servers, Shop, open_ceiling, open_servers, open_shop
from bench.usage import memory_by_process

CEILING: Final = "ceiling"
OURS: Final = "holdfast"
UNBATCHED: Final = "one at a time"
# This build as well, for comparison, where ours was filled.
SMALL: Final = "with few orders"

_NO_BATCHES: Final = {"HOLDFAST_BATCH_MAX": "1"}


@frozen
class Stage:
    """All stand ready the whole time, and one of them works."""

    ceiling: Shop
    customers: Mapping[str, Customers]
    """Those of each build."""

    @property
    def ours(self) -> Shop:
        return self.customers[OURS].shop

    def conclude(
        self, scenario: str, options: Options, measured: Mapping[str, Measured], peers: Sequence[Measurement]
    ) -> Result:
        """Check the data, and combine the measurements."""
        options.say("checking the data")
        ours, memory = measured[OURS], memory_by_process(self.ours.pids)
        findings = [finding for each in self.customers.values() for finding in each.findings()]
        ceiling_per_s = measured[CEILING].completed_per_s
        unbatched_per_s = measured[UNBATCHED].completed_per_s if UNBATCHED in measured else None
        small: dict[str, float | str | None] = {}
        if SMALL in measured:
            small["with_few_orders_per_s"] = measured[SMALL].completed_per_s
        return Result(
            scenario=scenario,
            about="",
            seconds=options.seconds,
            orders=options.orders,
            accepted_per_s=ours.accepted_per_s,
            completed_per_s=ours.completed_per_s,
            ceiling_per_s=ceiling_per_s,
            ratio_to_ceiling=ours.completed_per_s / ceiling_per_s,
            unbatched_per_s=unbatched_per_s,
            ratio_to_unbatched=ratio(ours.completed_per_s, unbatched_per_s),
            p50_ms=ours.latencies.percentile(50),
            p99_ms=ours.latencies.percentile(99),
            p999_ms=ours.latencies.percentile(99.9),
            refused_or_broken=ours.failed,
            cpu_ms_per_order=ours.cpu_ms_each,
            cores_busy=ours.cores_busy,
            memory_mb=memory,
            figures=small,
            invariants="; ".join(findings) or KEPT,
            peers=[peer.here(ceiling_per_s) for peer in peers],
            machine=machine(self.ours.versions()),
        )


@contextmanager
def open_stage(  # noqa: PLR0913 - each is a setting, given by name
    options: Options,
    programs: Sequence[str],
    *,
    settings: Mapping[str, str] = MappingProxyType({}),
    least: int = 0,
    on_servers: bool = True,
    beside: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Iterator[Stage]:
    """Every shop has `least` orders; and ours is what has grown, if that has more.

    `beside` are more builds, by their names: what is run instead of `holdfast`.
    """
    grown = options.grown if options.orders > least else None
    names = [OURS, UNBATCHED, SMALL] if grown else [OURS, UNBATCHED]
    with ExitStack() as stack:
        options.say("starting the servers")
        servers: Servers | None = stack.enter_context(open_servers(grown)) if on_servers else None
        customers = {}
        for number, name in enumerate([*names, *beside]):
            own = grown if name == OURS else None
            its = dict(settings)
            if servers:
                its |= servers.settings_of_made(GROWN) if own else servers.settings(f"shop_{number}")
            if name == UNBATCHED:
                its |= _NO_BATCHES
            options.say(f"starting {name}")
            shop = open_shop(
                programs,
                its,
                servers=servers,
                orders=own or least,
                say=options.say,
                program=beside.get(name, PRODUCT),
            )
            customers[name] = Customers(stack.enter_context(shop))
        yield Stage(stack.enter_context(open_ceiling()), customers)
