"""Clients that place, pay, read, cancel and ask for refunds; they ask again until they are told, and write it down."""

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

from tests.integration.faults.house import DEADLINE, House

# Beyond its deadline, a reply may take so many seconds more on a busy machine.
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
    """An order as a client was told of it."""

    order_id: str
    customer: int
    version: int
    status: str


@frozen
class Answer:
    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]


class NeverTold(Exception):
    """A client asked again until its time was over."""


@define(eq=False)
class Diary:
    """What all clients asked for, and what they were told."""

    outcomes: Counter[Outcome] = field(factory=Counter)
    meanwhile: Counter[tuple[str, Outcome]] = field(factory=Counter)
    """While the fault lasted, by what was asked for."""
    reasons: defaultdict[str, Counter[str]] = field(factory=lambda: defaultdict(Counter))
    """Why it was refused meanwhile, by what was asked for."""
    told: list[Told] = field(factory=list)
    wanted: set[int] = field(factory=set)
    """Each wish for an order is of a customer of its own."""
    troubles: Counter[str] = field(factory=Counter)
    """What no client may ever see."""
    slowest: float = 0.0
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
    """Many clients at once. When it is over, each brings to an end what it has begun, by the deadline."""

    house: House
    diary: Diary
    api_is_there: bool
    """Whether every request has to be answered, since nobody touches the API."""
    clients: int = 12
    over: bool = False
    deadline: float | None = None


@define(eq=False)
class _Client:
    _load: Load
    _http: aiohttp.ClientSession
    _chance: random.Random
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
        if self._chance.random() < 0.7:
            path = f"/orders/{told.order_id}/pay"
            self._told(await self._insist("pay", "POST", path, key=f"pay {key}"))
            if self._chance.random() < 0.3:
                # Impatient: once more, as something new.
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
        """Whoever was told of a version is never told of an older one, but by an answer that is given again."""
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
        """Ask until there is an answer that stays. Raise `NeverTold`."""
        while True:
            answer = await self._ask(what, method, path, key=key, body=body)
            if answer is not None:
                return answer
            deadline = self._load.deadline
            if deadline is not None and asyncio.get_running_loop().time() > deadline:
                self._load.diary.troubles[f"{method} was never answered for good"] += 1
                raise NeverTold
            await asyncio.sleep(_ASK_AGAIN * self._chance.uniform(0.5, 1.5))

    async def _ask(
        self, what: str, method: str, path: str, *, key: str | None, body: Mapping[str, Any] | None
    ) -> Answer | None:
        """Ask once. None where it has to be asked again."""
        diary = self._load.diary
        loop = asyncio.get_running_loop()
        began = loop.time()
        headers = {"Idempotency-Key": key} if key else {}
        try:
            url = f"{self._load.house.service.url}{path}"
            async with self._http.request(method, url, json=body, headers=headers) as response:
                found = await response.json(content_type=None)
                answer = Answer(response.status, found or {}, dict(response.headers))
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            never_came = isinstance(error, aiohttp.ClientConnectorError)
            diary.note(what, Outcome.REFUSED if never_came else Outcome.UNKNOWN)
            if self._load.api_is_there:
                diary.troubles[f"{method} was not answered: {type(error).__name__}"] += 1
            return None
        diary.slowest = max(diary.slowest, loop.time() - began)
        return self._settled(what, method, answer)

    def _settled(self, what: str, method: str, answer: Answer) -> Answer | None:
        diary = self._load.diary
        code = str(answer.body.get("type", "")).rpartition(":")[2]
        if answer.status < 300:
            diary.note(what, Outcome.DONE)
            return answer
        diary.note(what, Outcome.REFUSED, code)
        if answer.status in {429, 503} or code == "idempotency_key_in_flight":
            if "Retry-After" not in answer.headers:
                diary.troubles[f"{method}: {answer.status} {code} without Retry-After"] += 1
            return None
        if answer.status != 409:
            # Nothing that is asked for here breaks a rule, and nobody asks for an order that is not there.
            diary.troubles[f"{method}: {answer.status} {code}"] += 1
        return answer if answer.status < 500 else None


@asynccontextmanager
async def clients(load: Load) -> AsyncIterator[None]:
    """All of them, until they have come to their end. Whoever leaves with an error leaves no client behind."""
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(DEADLINE + 2 * MARGIN)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        tasks = [
            asyncio.create_task(_Client(load, http, random.Random(number)).live()) for number in range(load.clients)
        ]
        try:
            yield
            load.over = True
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
