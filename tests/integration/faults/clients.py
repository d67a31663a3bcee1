"""Clients that place, pay, read, cancel and refund orders. They retry until they get a response, and record it."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Any, Final
from uuid import uuid4

import aiohttp
from attrs import define, field, frozen

from tests.integration.faults.house import DEADLINE, Shop

# The seconds by which a response may exceed its deadline on a busy machine.
MARGIN: Final = 2.0
_PAUSE: Final = (0.01, 0.05)
_ASK_AGAIN: Final = 0.2
_MEMORY: Final = 5


class Outcome(Enum):
    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@frozen
class Told:
    """An order as a response showed it."""

    order_id: str
    customer: int
    version: int
    status: str


@frozen
class Answer:
    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]


@frozen
class Seen:
    """One request and its response, by the clock of the event loop. `status` is 0 if there was none."""

    what: str
    began: float
    ended: float
    status: int
    reason: str = ""
    """The code of the problem, or the name of the error."""


class NeverTold(Exception):
    """A client retried until its timeout."""


@define(eq=False)
class Diary:
    """The requests of all clients, and their responses."""

    outcomes: Counter[Outcome] = field(factory=Counter)
    meanwhile: Counter[tuple[str, Outcome]] = field(factory=Counter)
    """The outcomes during the fault, by kind of request."""
    reasons: defaultdict[str, Counter[str]] = field(factory=lambda: defaultdict(Counter))
    """The reasons for refusals during the fault, by kind of request."""
    told: list[Told] = field(factory=list)
    wanted: set[int] = field(factory=set)
    """Each request to place an order has a customer of its own."""
    troubles: Counter[str] = field(factory=Counter)
    """Responses that no client may ever get."""
    slowest: float = 0.0
    seen: list[Seen] = field(factory=list)
    faulty: bool = False

    def note(self, what: str, outcome: Outcome, reason: str = "") -> None:
        self.outcomes[outcome] += 1
        if self.faulty:
            self.meanwhile[what, outcome] += 1
            self.reasons[what][reason] += outcome is Outcome.REFUSED

    def placed(self) -> int:
        return len({told.customer for told in self.told})


@define(kw_only=True, eq=False)
class Load:
    """Many clients at once. At the end, each finishes what it has begun, by the deadline."""

    house: Shop
    diary: Diary
    api_is_there: bool
    """Whether every request has to be answered, because the fault leaves the API alone."""
    clients: int = 12
    placers: int = 0
    """More clients, which only place orders: the others wait while nobody can pay."""
    over: bool = False
    deadline: float | None = None


@define(eq=False)
class _Client:
    _load: Load
    _http: aiohttp.ClientSession
    _chance: random.Random
    _only_places: bool = False
    _versions: dict[str, int] = field(factory=dict)
    _orders: list[Told] = field(factory=list)

    async def live(self) -> None:
        with suppress(NeverTold):
            while not self._load.over:
                await self._buy()
                if self._chance.random() < 0.4:
                    await self._look_back()

    async def _buy(self) -> None:
        customer, key = next(self._load.house.customers), str(uuid4())
        products = self._chance.sample(self._load.house.products, k=self._chance.choice((1, 1, 2)))
        if self._chance.random() < 0.4:
            products = self._load.house.products[:1]
        lines = [{"product_id": product, "quantity": self._chance.choice((1, 2))} for product in products]
        body = {"user_id": customer, "items": lines}
        self._load.diary.wanted.add(customer)
        told = self._told(await self._insist("place", "POST", "/orders", key=key, body=body))
        if told is None:
            return
        if self._chance.random() < 0.1:
            again = self._told(await self._insist("place", "POST", "/orders", key=key, body=body))
            if again is None or again.order_id != told.order_id:
                self._load.diary.troubles["one key was answered with two orders"] += 1
        await self._pause()
        await self._read(told.order_id)
        await self._pause()
        if self._only_places:
            return
        if self._chance.random() < 0.7:
            path = f"/orders/{told.order_id}/pay"
            self._told(await self._insist("pay", "POST", path, key=f"pay {key}"))
            if self._chance.random() < 0.3:
                # A client that does not wait: it sends the request again, without a key.
                self._told(await self._insist("pay", "POST", path))
        elif self._chance.random() < 0.5:
            await self._become(told.order_id, "CANCELLED")
        self._orders = [*self._orders, told][-_MEMORY:]
        await self._pause()

    async def _look_back(self) -> None:
        if not self._orders:
            return
        told = await self._read(self._chance.choice(self._orders).order_id)
        if told is not None and told.status == "PAID" and self._chance.random() < 0.3:
            await self._become(told.order_id, self._chance.choice(("REFUNDED", "COMPLETED")))
        await self._pause()

    async def _read(self, order_id: str) -> Told | None:
        return self._told(await self._insist("read", "GET", f"/orders/{order_id}"))

    async def _become(self, order_id: str, status: str) -> None:
        path = f"/orders/{order_id}/status"
        self._told(await self._insist("change", "PATCH", path, body={"status": status}))

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.uniform(*_PAUSE))

    def _told(self, answer: Answer) -> Told | None:
        """After a response with a version, only a replayed response may show an older one."""
        if "order_id" not in answer.body:
            return None
        body = answer.body
        told = Told(body["order_id"], body["user_id"], body["version"], body["status"])
        self._load.diary.told.append(told)
        known = self._versions.get(told.order_id, 0)
        if told.version < known and answer.headers.get("Idempotent-Replayed") != "true":
            self._load.diary.troubles["an older version was read than the one told before"] += 1
        self._versions[told.order_id] = max(known, told.version)
        return told

    async def _insist(
        self, what: str, method: str, path: str, *, key: str | None = None, body: Mapping[str, Any] | None = None
    ) -> Answer:
        """Send the request until there is a final response. Raise `NeverTold`."""
        while True:
            answer = await self._ask(what, method, path, key=key, body=body)
            if answer is not None:
                return answer
            deadline = self._load.deadline
            if deadline is not None and asyncio.get_running_loop().time() > deadline:
                self._load.diary.troubles[f"{method} never got a final response"] += 1
                raise NeverTold
            await asyncio.sleep(_ASK_AGAIN * self._chance.uniform(0.5, 1.5))

    async def _ask(
        self, what: str, method: str, path: str, *, key: str | None, body: Mapping[str, Any] | None
    ) -> Answer | None:
        """Send the request once. None if it has to be repeated."""
        diary = self._load.diary
        loop = asyncio.get_running_loop()
        began = loop.time()
        headers = {"Idempotency-Key": key} if key else {}
        try:
            url = f"{self._chance.choice(self._load.house.client_urls)}{path}"
            async with self._http.request(method, url, json=body, headers=headers) as response:
                found = await response.json(content_type=None)
                answer = Answer(response.status, found or {}, dict(response.headers))
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            never_came = isinstance(error, aiohttp.ClientConnectorError)
            diary.note(what, Outcome.REFUSED if never_came else Outcome.UNKNOWN)
            diary.seen.append(Seen(what, began, loop.time(), 0, type(error).__name__))
            if self._load.api_is_there:
                diary.troubles[f"{method} was not answered: {type(error).__name__}"] += 1
            return None
        diary.slowest = max(diary.slowest, loop.time() - began)
        diary.seen.append(Seen(what, began, loop.time(), answer.status, str(answer.body.get("code", ""))))
        return self._settled(what, method, answer)

    def _settled(self, what: str, method: str, answer: Answer) -> Answer | None:
        diary = self._load.diary
        code = str(answer.body.get("code", ""))
        if answer.status < 300:
            diary.note(what, Outcome.DONE)
            return answer
        diary.note(what, Outcome.REFUSED, code)
        if answer.status in {429, 503} or code == "idempotency_key_in_flight":
            if "Retry-After" not in answer.headers:
                diary.troubles[f"{method}: {answer.status} {code} without Retry-After"] += 1
            return None
        if answer.status != 409:
            # No request here breaks a rule or names an unknown order.
            diary.troubles[f"{method}: {answer.status} {code}"] += 1
        return answer if answer.status < 500 else None


@asynccontextmanager
async def clients(load: Load) -> AsyncIterator[None]:
    """Run all clients to their end. If one fails, the others are cancelled."""
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(DEADLINE + 2 * MARGIN)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        everyone = [
            _Client(load, http, random.Random(number), number >= load.clients)
            for number in range(load.clients + load.placers)
        ]
        tasks = [asyncio.create_task(client.live()) for client in everyone]
        try:
            yield
            load.over = True
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
