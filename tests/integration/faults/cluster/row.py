"""What a row of the table of the cluster is made of, and how one is tried."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from typing import Final

from attrs import frozen

from tests.integration.faults.checks import Findings, look_through
from tests.integration.faults.clients import Diary, Load, Seen, clients
from tests.integration.faults.cluster.cluster import WAYS, Cluster
from tests.integration.faults.readers import following
from tests.integration.faults.run import drained, placed

# Breaks something, holds it, and ends when that is repaired.
Break = Callable[[Cluster], AbstractAsyncContextManager[None]]

_BEFORE: Final = 40
_AFTER: Final = 20
_DRAINS_WITHIN: Final = 60.0
_BOUND: Final = 900.0
_SLOWNESS: Final = 2.0
# Until so long after the break nobody can know that a server is silent.
_SILENT_UNTIL: Final = 2.0
_CREATED, _ACCEPTED = 201, 202
# Orders are answered with 201 again and again; a pause between two that is shorter than this is none.
_A_PAUSE: Final = 1.0


@frozen(kw_only=True)
class Row:
    name: str
    breaking: Break
    before: Callable[[Cluster], Awaitable[None]] | None = None
    """Done before anybody sends requests."""
    way: str = WAYS[0]
    api_is_there: bool = True
    """Every request is answered, within its deadline."""
    hold: float = 8.0
    """Seconds for which it stays broken."""
    post_fails_within: float = 0.0
    """Seconds after the break in which a POST of an order may fail. After that none may."""
    slowest_post: float = 1.0
    """Seconds that a POST of an order takes at most, on a machine that is not busy, and 2 s more in the first 2 s."""
    records_again: float = 10.0
    """Seconds after the new primary was known until orders are answered with 201 again."""

    @property
    def title(self) -> str:
        return self.name if self.way == WAYS[0] else f"{self.name}, by way of {self.way}"

    @property
    def id(self) -> str:
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


@frozen(kw_only=True)
class Seconds:
    """A time since the break, or none."""

    value: float | None

    def __str__(self) -> str:
        return "-" if self.value is None else f"{self.value:.1f}"


@frozen(kw_only=True)
class Result:
    row: Row
    created: int
    accepted: int
    failed: Sequence[float]
    """When the POSTs of orders began that failed, in seconds since the break."""
    others_failed: int
    slowest_post: float
    slowest_later: float
    """Of those that began later than 2 s after the break."""
    gap: float
    """The longest time without an accepted order."""
    new_primary: Seconds
    created_again: Seconds
    drained: float
    """Seconds from the repair until all accepted work was done."""
    findings: Findings
    differences: Sequence[str]
    troubles: Sequence[str]
    load: float

    @property
    def slowness(self) -> float:
        """How much slower this machine is than the aims suppose: it runs all servers at once, and others besides."""
        return max(_SLOWNESS, self.load / (os.cpu_count() or 1))

    def delays(self) -> list[str]:
        """What took longer than it should."""
        found, slowness = [], self.slowness
        late = [at for at in self.failed if at > self.row.post_fails_within * slowness]
        if late:
            found.append(
                f"{len(late)} POSTs failed later than {self.row.post_fails_within:g} s, up to {late[-1]:.1f} s"
            )
        slowest = self.row.slowest_post
        if self.slowest_post > (_SILENT_UNTIL + slowest) * slowness or self.slowest_later > slowest * slowness:
            found.append(f"a POST took {self.slowest_post:.1f} s, and {self.slowest_later:.1f} s one that began later")
        known, again = self.new_primary.value, self.created_again.value
        if known is not None and again is not None and again - known > self.row.records_again * slowness:
            found.append(f"201 came again {again - known:.1f} s after the new primary was known")
        return found

    @property
    def safe(self) -> bool:
        return not (self.findings.all() or self.differences or self.troubles)

    def story(self) -> str:
        lines = [*self.delays(), *self.troubles, *self.differences, *self.findings.all()]
        shown = lines if len(lines) <= 30 else [*lines[:30], f"and {len(lines) - 30} more"]
        return "\n".join([f"{self.row.title}:", *(f"  {line}" for line in shown)])


async def run_row(cluster: Cluster, row: Row) -> Result:
    """Break, hold, repair, wait until everything has drained, and check the data and the nodes."""
    diary = Diary()
    load = Load(house=cluster, diary=diary, api_is_there=row.api_is_there, clients=8, placers=6)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_BOUND):
        await cluster.in_order(row.way)
        await cluster.whole()
        await asyncio.to_thread(cluster.balance)
        if row.before is not None:
            await row.before(cluster)
        async with following(cluster):
            async with clients(load):
                await placed(diary, _BEFORE, seconds=60)
                began = loop.time()
                async with row.breaking(cluster):
                    await asyncio.sleep(row.hold)
                repaired = loop.time()
                load.deadline = repaired + _DRAINS_WITHIN
                await placed(diary, diary.placed() + _AFTER, seconds=60)
                await cluster.whole()
            busy = os.getloadavg()[0]
            left = await drained(cluster, diary, _DRAINS_WITHIN)
        ended = loop.time()
        findings = await look_through(cluster, diary)
        differences = await cluster.differences()
    posts = [seen for seen in diary.seen if seen.what == "place" and seen.ended >= began]
    since = cluster.watch.since - began
    return Result(
        row=row,
        created=sum(seen.status == _CREATED for seen in posts),
        accepted=sum(seen.status == _ACCEPTED for seen in posts),
        failed=[seen.began - began for seen in posts if _has_failed(seen)],
        others_failed=sum(seen.what != "place" and seen.ended >= began and _has_failed(seen) for seen in diary.seen),
        slowest_post=_slowest(posts),
        slowest_later=_slowest([seen for seen in posts if seen.began >= began + _SILENT_UNTIL]),
        gap=max((after - before for before, after in _stretches(posts, {_CREATED, _ACCEPTED}, began)), default=0.0),
        new_primary=Seconds(value=since if since > 0 else None),
        created_again=Seconds(value=_again(posts, began)),
        drained=ended - repaired,
        findings=findings,
        differences=differences,
        troubles=[*left, *(f"{what}, {times} times" for what, times in diary.troubles.items())],
        load=busy,
    )


def _has_failed(seen: Seen) -> bool:
    return seen.status in {0, 429} or seen.status >= 500


def _slowest(posts: Sequence[Seen]) -> float:
    return max((seen.ended - seen.began for seen in posts), default=0.0)


def _stretches(posts: Sequence[Seen], statuses: set[int], began: float) -> list[tuple[float, float]]:
    """The times between the responses of these kinds, from the break on."""
    ends = [began, *sorted(seen.ended for seen in posts if seen.status in statuses)]
    return list(pairwise(ends))


def _again(posts: Sequence[Seen], began: float) -> float | None:
    """When orders were answered with 201 again, after the longest time in which none was; None without such a time."""
    before, after = max(
        _stretches(posts, {_CREATED}, began), key=lambda each: each[1] - each[0], default=(began, began)
    )
    return after - began if after - before > _A_PAUSE else None
