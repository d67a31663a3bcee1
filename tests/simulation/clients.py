import asyncio
import json
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Final

from attrs import define, field, frozen

from application.access.principal import SYSTEM, AccessDenied, Principal, the_system
from application.access.scopes import CUSTOMER_SCOPES
from application.assembly.use_cases import UseCases
from application.catalogue.add_products import NewProduct
from application.catalogue.adjust_stock import StockCall
from application.catalogue.change_product import ProductCall
from application.errors import NotDone, Trouble
from application.execution.conditional import OnlyIf, OrderCall
from application.execution.idempotency import Keyed, Replayed
from application.exports.request import ExportRequest
from application.imports.request import ImportRequest
from application.intake.order_request import OrderRequest, RequestedItem
from application.intake.place_order import is_of_the_moment
from application.intake.queue_orders import Queued
from application.intake.unrecorded import NotYetRecorded
from application.jobs.add_job import StartedJob
from application.operations.bulk import BulkRequest, ChosenOrders
from application.orders.change_details import DetailsChange
from application.orders.change_jobs import ChangeQueued
from application.ports.idempotency import IdempotencyKey, scope_of
from application.ports.order_search import OrderFilter, OrdersFound
from domain.catalogue.product import Product, ProductEdit
from domain.dead_letter_groups import CauseFilter
from domain.errors import DomainError, UnknownOrder
from domain.ids import MAX_ID, JobId, OrderId, ProductId, UserId
from domain.jobs.job import Job
from domain.money import Money
from domain.orders.details import OrderDetails
from domain.orders.events import Event
from domain.orders.order import Order
from tests.simulation.faults import Faults
from tests.simulation.house import House
from tests.simulation.loop import ended

# In seconds: longer than any call takes that ends at all.
_TIMEOUT: Final = 30.0
# The share of requests under a key that are not repeated after a response.
_IS_SATISFIED: Final = 0.8
# The share of orders that are to be paid for in the same request.
_PAYS_AT_ONCE: Final = 0.2
_HAS_DETAILS: Final = 0.2

# What clients ask for by name begins with this.
BY_NAME: Final = "named by"

Operation = Callable[[UseCases], Coroutine[Any, Any, Any]]


@frozen
class Refused:
    """The shop refused the request: nothing was done."""

    error: DomainError | AccessDenied


@frozen
class Unknown:
    """No answer, or one that does not say whether it was done."""

    reason: str


@frozen
class NothingDone(Unknown):
    """An answer that only says that nothing was done."""


# Two who have no business with an order: another customer than its own, and somebody who may do nothing.
_STRANGER: Final = Principal("a stranger", user_id=UserId(MAX_ID), scopes=CUSTOMER_SCOPES)
_POWERLESS: Final = Principal("without scopes", scopes=frozenset())
_ABOUT_AN_ORDER: Final = ("get_order", "get_history", "request_payment", "cancel_order", "delete_order")

# The answer to a request to place an order.
Answer = Order | Queued | Refused


@define(eq=False)
class Diary:
    """The responses to all clients, to be compared with the data."""

    tell: Callable[[str], None]
    wanted: list[tuple[OrderRequest, Order | Refused | Unknown]] = field(factory=list)
    told: list[Order] = field(factory=list)
    # All answers under one key, and how many payments the clients of an order intended.
    answers: defaultdict[IdempotencyKey, list[Answer]] = field(factory=lambda: defaultdict(list))
    meant_to_pay: Tally[OrderId] = field(factory=Tally)
    # The orders that were in a response, and were then answered as unknown.
    unknown: set[OrderId] = field(factory=set)
    # What was said, and the job that was answered, if there was an answer.
    said: dict[str, JobId | None] = field(factory=dict)
    # The orders that were in the database, and were then not found by a search.
    not_found: set[OrderId] = field(factory=set)
    # How many rows each import had, and its job, if there was an answer.
    imported: dict[str, tuple[int, JobId | None]] = field(factory=dict)
    # The operations that were answered under each key.
    operations: defaultdict[IdempotencyKey, set[JobId]] = field(factory=lambda: defaultdict(set))
    # Changes that were accepted before their order was recorded.
    waiting: dict[JobId, OrderId] = field(factory=dict)
    # What the one client of an order has asked to become of it, in sequence, and whether it was taken.
    hurried: defaultdict[OrderId, list[tuple[str, bool]]] = field(factory=lambda: defaultdict(list))
    # Whether anybody has changed a price.
    prices_changed: bool = False
    complaints: list[str] = field(factory=list)

    def complain(self, what: str) -> None:
        self.tell(f"WRONG: {what}")
        self.complaints.append(what)


@define(eq=False)
class Client:
    """A client that orders, pays, cancels, hangs up and retries."""

    _name: str
    _chance: Random
    _faults: Faults
    _diary: Diary
    # The processes that answer, as they are when they are called.
    _open: Callable[[], Sequence[House]]
    _products: list[ProductId]
    # Whether an order is in the database, or was put into the intake queue.
    _is_accepted: Callable[[OrderId], bool]
    _mine: list[OrderId] = field(factory=list)
    _seen: dict[OrderId, int] = field(factory=dict)
    # Those of its orders that were in the database when it got the answer.
    _recorded: set[OrderId] = field(factory=set)

    async def run(self, *, visits: int) -> None:
        await self._place()
        for _ in range(visits):
            await asyncio.sleep(self._chance.choice((0.0, 0.05, 1.0)) * self._chance.random())
            errand = _ERRANDS.get(self._faults.weather.errand) if self._chance.random() < 0.8 else None
            await (errand or self._chance.choice(_VISITS))(self)
        await asyncio.sleep(0.6)
        await self._refund()

    async def _place(self) -> None:
        some = self._chance.sample(self._products, self._chance.randint(1, len(self._products)))
        if self._chance.random() < 0.05:
            some.append(ProductId(999))
        items = tuple(RequestedItem(id_, self._chance.randint(1, 3)) for id_ in some)
        # Each request has a user of its own, so that the data shows how many orders it became.
        pay = self._chance.random() < _PAYS_AT_ONCE
        details = OrderDetails(external_id=self._name, note="first") if self._chance.random() < _HAS_DETAILS else None
        request = OrderRequest(UserId(len(self._diary.wanted) + 1), items, pay, details)
        number = len(self._diary.wanted)
        self._diary.wanted.append((request, Unknown("not answered yet")))
        if self._chance.random() < self._faults.weather.keys:
            key = IdempotencyKey(f"customer {request.user_id}", self._name)
            answer = await self._insist("place", "place_order", Keyed(request, key, "the same"))
        else:
            answer = await self._ask("place", lambda shop: shop.place_order(SYSTEM, request))
        await self._got(number, request, answer)

    async def _got(self, number: int, request: OrderRequest, answer: Any) -> None:
        """Record the answer to a request. A queued order is read at once."""
        order = answer.order if isinstance(answer, Queued) else answer
        self._diary.wanted[number] = (request, order)
        if isinstance(order, Order) and order.id not in self._mine:
            self._mine.append(order.id)
        if isinstance(answer, Order):
            self._recorded.add(answer.id)
            await self._search()
        if isinstance(answer, Queued):
            await self._ask(f"look at {_short(order.id)}", lambda shop: shop.get_order(SYSTEM, order.id), order.id)

    async def _order_too_early(self) -> None:
        """An order that is refused under a key, because its product does not exist yet, may be accepted later."""
        number, product = len(self._diary.wanted), ProductId(1000 + len(self._diary.wanted))
        request = OrderRequest(UserId(number + 1), (RequestedItem(product, 1),))
        call = Keyed(request, IdempotencyKey(f"customer {request.user_id}", self._name), "the same")
        self._diary.wanted.append((request, Unknown("not answered yet")))
        await self._insist("place too early", "place_order", call)
        new = NewProduct(id=product, name="new", price=Money(100, "EUR"), stock=5)
        await self._ask("add a product", lambda shop: shop.add_products(the_system(self._name), [new]))
        # By then every process knows its price.
        await asyncio.sleep(6)
        await self._got(number, request, await self._insist("place again", "place_order", call))

    async def _insist(self, what: str, verb: str, call: Keyed[Any]) -> Any:
        """Repeat a request under a key until there is an answer, sometimes twice at once, and sometimes once more."""
        known: Any = Unknown("not answered yet")
        for _ in range(4):
            accepted = verb == "place_order" and self._is_accepted(call.key.order_id)
            times = 2 if self._chance.random() < self._faults.weather.concurrent_repeats else 1
            asked = [self._ask(f"{what}, by a key", partial(_call, verb, call)) for _ in range(times)]
            told = await asyncio.gather(*asked) if times > 1 else [await asked[0]]
            answers = [answer for answer in told if not isinstance(answer, Unknown)]
            self._diary.answers[call.key] += answers
            self._expect_no_refusal(answers, accepted=accepted)
            if answers:
                known = answers[0]
                if self._chance.random() < _IS_SATISFIED:
                    break
            await asyncio.sleep(self._chance.random())
        return known

    def _expect_no_refusal(self, answers: Sequence[Any], *, accepted: bool) -> None:
        """Nobody is told that an order is refused which was accepted before she asked."""
        for answer in answers if accepted else ():
            if isinstance(answer, Refused) and is_of_the_moment(answer.error):
                self._diary.complain(f"an accepted order is refused: {answer.error}")

    async def _order_at_a_shown_price(self) -> None:
        """Order under a key at the price that was shown, and again after the product has changed."""
        product = await self._ask("look at a price", lambda shop: shop.get_product(SYSTEM, self._products[0]))
        if not isinstance(product, Product):
            return
        number = len(self._diary.wanted)
        items = (RequestedItem(product.id, 1, unit_price=product.price.minor),)
        request = OrderRequest(UserId(number + 1), items)
        call = Keyed(request, IdempotencyKey(f"customer {request.user_id}", self._name), "the same")
        self._diary.wanted.append((request, Unknown("not answered yet")))
        await self._insist("place as shown", "place_order", call)
        other = ProductEdit(active=False) if self._chance.random() < 0.3 else ProductEdit(price=product.price.minor + 7)
        await self._edit(product.id, other)
        # By then other processes know of it as well, or not yet.
        await asyncio.sleep(self._chance.choice((0, 6)))
        await self._got(number, request, await self._insist("place as shown, again", "place_order", call))
        await self._edit(product.id, ProductEdit(active=True))

    async def _edit(self, product: ProductId, edit: ProductEdit) -> None:
        self._diary.prices_changed = True
        call = ProductCall(product_id=product, edit=edit)
        await self._ask(f"change product {product}", lambda shop: shop.change_product(SYSTEM, call))

    async def _change(self, verb: str, *, first: bool = False) -> None:
        """Request a change of an order, and retry when there is no answer."""
        if not self._mine:
            return
        order_id = self._one_of_the_orders(first=first)
        for _ in range(3):
            version = self._seen.get(order_id, 0)
            # Half of the orders are changed only in the version that the client has seen.
            guarded = verb != "get_order" and version > 0 and order_id.int % 2 == 0
            call = OnlyIf(order_id, partial(_has_version, version)) if guarded else order_id
            answer = await self._ask(f"{verb} {_short(order_id)}", partial(_call, verb, call), order_id)
            if guarded and isinstance(answer, Order) and answer.version > version + 1:
                self._diary.complain(f"{verb} of version {version} of order {order_id} made version {answer.version}")
            if not isinstance(answer, Unknown):
                return
            await asyncio.sleep(self._chance.random())

    def _one_of_the_orders(self, *, first: bool) -> OrderId:
        if first:
            return self._mine[0]
        # Employees of the shop change the orders of any customer.
        whose = [order.id for order in self._diary.told] if self._chance.random() < 0.1 else self._mine
        return self._chance.choice([id_ for id_ in whose if id_ not in self._diary.hurried] or self._mine[:1])

    async def _pay(self, *, first: bool = False) -> None:
        if self._mine:
            await self._pay_for(self._one_of_the_orders(first=first))

    async def _pay_for(self, order_id: OrderId) -> None:
        self._diary.meant_to_pay[order_id] += 1
        if self._chance.random() < self._faults.weather.keys:
            key = IdempotencyKey(f"order {order_id}", f"{self._name} {self._diary.meant_to_pay[order_id]}")
            await self._insist(f"pay {_short(order_id)}", "request_payment", Keyed(order_id, key, "the same"))
        else:
            await self._ask(f"pay {_short(order_id)}", lambda shop: shop.request_payment(SYSTEM, order_id), order_id)

    async def _pay_and_watch(self) -> None:
        """Read an order through every process while it changes: a stale version after a newer one would show."""
        await self._place()
        if self._mine:
            await asyncio.gather(self._pay_for(self._mine[-1]), self._watch(self._mine[-1]))

    async def _watch(self, order_id: OrderId) -> None:
        for _ in range(6):
            await asyncio.sleep(0.1 * self._chance.random())
            await self._ask("history", lambda shop: shop.get_history(SYSTEM, order_id), order_id)
            await self._ask("why", lambda shop: shop.explain_order(SYSTEM, order_id), order_id)
            # What was read or written before may come to the caches meanwhile.
            await asyncio.sleep(0.5 * self._chance.random())
            await self._ask(f"look at {_short(order_id)}", lambda shop: shop.get_order(SYSTEM, order_id), order_id)

    async def _hurry(self) -> None:
        """Order, pay and cancel at once, so that the order may not be recorded by then: what came first counts."""
        await self._place()
        if not self._mine:
            return
        order_id, hurried = self._mine[-1], self._diary.hurried[self._mine[-1]]
        for verb in self._chance.choices(("request_payment", "cancel_order", "change_details"), k=3):
            if verb == "change_details":
                call: Any = DetailsChange(order_id, changes={"note": f"{self._chance.random()}"})
            else:
                call = order_id
            self._diary.meant_to_pay[order_id] += verb == "request_payment"
            answer = await self._ask(f"{verb} {_short(order_id)} in a hurry", partial(_call, verb, call), order_id)
            hurried.append((verb, isinstance(answer, Order | ChangeQueued)))

    async def _cancel(self) -> None:
        await self._change("cancel_order")

    async def _refund(self) -> None:
        # The first order is the most likely to be paid by now.
        await self._change("request_refund", first=True)

    async def _complete(self) -> None:
        await self._change("complete_order")

    async def _ask_again(self) -> None:
        """A person on duty has a request sent again that may be on its way, or done."""
        await self._change("republish_request")

    async def _search(self) -> None:
        """Look for an order that is recorded: it is found at once."""
        recorded = [order for order in self._mine if order in self._recorded]
        if recorded:
            order_id = self._chance.choice(recorded)
            wanted = OrderFilter(order_id=order_id, total_min=0)
            found = await self._ask(
                f"search for {_short(order_id)}", lambda shop: shop.search_orders(SYSTEM, wanted, limit=5)
            )
            if isinstance(found, OrdersFound) and not found.orders:
                self._diary.not_found.add(order_id)

    async def _annotate(self) -> None:
        if self._mine:
            order_id = self._chance.choice(self._mine)
            call = DetailsChange(order_id, changes={"note": f"{self._chance.random()}"})
            await self._ask(f"annotate {_short(order_id)}", lambda shop: shop.change_details(SYSTEM, call), order_id)

    async def _delete(self) -> None:
        await self._change("delete_order")

    async def _read(self) -> None:
        await self._change("get_order")

    async def _buy_and_give_back(self) -> None:
        await self._pay(first=True)
        await asyncio.sleep(0.6)
        await self._refund()

    async def _trespass(self) -> None:
        """Somebody else tries an order, maybe under the very key that its customer has used."""
        if not self._mine:
            return
        by, verb = self._chance.choice((_STRANGER, _POWERLESS)), self._chance.choice(_ABOUT_AN_ORDER)
        order_id = self._chance.choice(self._mine)
        call: Any = order_id
        if verb == "request_payment" and self._chance.random() < 0.5:
            key = IdempotencyKey(f"order {order_id}", f"{self._name} {self._diary.meant_to_pay[order_id]}")
            call = Keyed(order_id, key, "the same")

        async def trespass(shop: UseCases) -> Any:
            return await getattr(shop, verb)(by, call)

        answer = await self._ask(f"{verb} {_short(order_id)}, by {by.key_id}", trespass)
        knows = isinstance(answer, NothingDone) and answer.reason.startswith(NotYetRecorded.__name__)
        if knows or not isinstance(answer, Refused | Unknown):
            self._diary.complain(f"{by.key_id} is answered about order {order_id}: {_told(answer)}")

    async def _say(self) -> None:
        """Post a message under a key until it is accepted, and look at the job."""
        content = f"{self._name} says {len(self._diary.said)}"
        self._diary.said[content] = None
        call = Keyed(content, IdempotencyKey("message in general", content), "the same")
        about = self._chance.choice(self._mine) if self._mine and self._chance.random() < 0.5 else None
        for _ in range(3):
            answer = await self._ask("say", lambda shop: shop.post_message(SYSTEM, call, order_id=about))
            if isinstance(answer, StartedJob):
                self._diary.said[content] = answer.id
                await self._follow(answer.id)
                return
            await asyncio.sleep(self._chance.random())

    async def _export(self) -> None:
        """Ask for an export of all orders, and look at the job. Whether it has all is seen at the end."""
        wanted = ExportRequest(what="orders", format="ndjson")
        answer = await self._ask("export", lambda shop: shop.start_export(SYSTEM, wanted))
        if isinstance(answer, StartedJob):
            await self._follow(answer.id)

    async def _import(self) -> None:
        """Import changes of stock. Whether each of them is made once is seen at the end."""
        name = f"import {len(self._diary.imported)}"
        rows = [
            {"product_id": self._chance.choice(self._products), "delta": 1, "reason": name}
            | ({"reference": f"{name}/{number}"} if number % 2 else {})
            for number in range(self._chance.randint(1, 5))
        ]
        wanted = ImportRequest(what="stock", format="ndjson", on_error=self._chance.choice(("stop", "skip")))
        self._diary.imported[name] = (len(rows), None)

        async def parts() -> AsyncIterator[bytes]:
            for row in rows:
                yield json.dumps(row).encode() + b"\n"

        answer = await self._ask("import", lambda shop: shop.start_import(SYSTEM, wanted, parts()))
        if isinstance(answer, StartedJob):
            self._diary.imported[name] = (len(rows), answer.id)
            await self._follow(answer.id)

    async def _decide(self) -> None:
        """Make some orders, of whose messages some are dead letters, and decide about all of these at once."""
        await self._buy_and_give_back()
        wanted = BulkRequest(
            act=self._chance.choice(("discard", "discard", "replay")), only=CauseFilter(), reason="simulated"
        )
        call = Keyed(wanted, IdempotencyKey("bulk", f"{self._name} {self._chance.random()}"), "the same")
        # Until there is an answer, and now and then once more: under its key it is one operation.
        for _ in range(8):
            answer = await self._ask("decide", lambda shop: shop.start_bulk(SYSTEM, call))
            if isinstance(answer, StartedJob):
                self._diary.operations[call.key].add(answer.id)
                if self._chance.random() < _IS_SATISFIED:
                    break
            await asyncio.sleep(0.2 * self._chance.random())
        pending = BulkRequest(act="cancel", only=ChosenOrders(only={"status": ["PENDING"]}))
        await self._ask("count orders", lambda shop: shop.measure_bulk(SYSTEM, pending))
        await self._ask("list operations", lambda shop: shop.list_bulk(SYSTEM, limit=5))
        if isinstance(answer, StartedJob):
            await self._follow(answer.id)

    async def _check(self) -> None:
        """Have the shop checked while it is open, and what is found repaired at once, or after a look at it."""
        await self._buy_and_give_back()
        at_once = self._chance.random() < 0.5
        answer = await self._ask("check", lambda shop: shop.start_reconciliation(SYSTEM, repair_all=at_once))
        if isinstance(answer, Job):
            await asyncio.sleep(2 * self._chance.random())
            await self._follow(answer.id)
            await self._ask("repair", lambda shop: shop.repair_discrepancies(SYSTEM, answer.id))

    async def _follow(self, job_id: JobId) -> None:
        job = await self._ask("look at a job", lambda shop: shop.get_job(SYSTEM, job_id))
        if isinstance(job, Refused):
            self._diary.complain(f"job {job_id} was accepted, and then: {job.error}")
        listed = {"before": None, "limit": 5}
        await self._ask("list jobs", lambda shop: shop.list_jobs(SYSTEM, kind=None, status=None, **listed))
        await self._ask("list messages", lambda shop: shop.list_messages(SYSTEM, order_id=None, **listed))

    async def _list_orders(self) -> None:
        await self._ask("list orders", lambda shop: shop.list_orders(SYSTEM, limit=50))
        await self._ask("count orders", lambda shop: shop.count_orders(SYSTEM, most=50))

    async def _look_around(self) -> None:
        await self._list_products()
        await self._list_adjustments()

    async def _list_products(self) -> None:
        await self._ask("list products", lambda shop: shop.list_products(SYSTEM, limit=50))

    async def _look_at_a_product(self) -> None:
        await self._ask("get product", lambda shop: shop.get_product(SYSTEM, self._products[0]))
        # There is none of this name until one of these two adds it.
        call = partial(_by_name, f"{BY_NAME} {self._name}")
        await asyncio.gather(self._ask("name a product", call), self._ask("name it, too", call))

    async def _look_back(self) -> None:
        if self._mine:
            await self._ask("history", lambda shop: shop.get_history(SYSTEM, self._mine[0]))
            await self._ask("why", lambda shop: shop.explain_order(SYSTEM, self._mine[-1]))

    async def _restock(self) -> None:
        product, change = self._chance.choice(self._products), self._chance.choice((-2, 1, 3))
        await self._ask(
            f"restock {product} {change:+}",
            lambda shop: shop.adjust_stock(
                the_system(self._name), [StockCall(product_id=product, delta=change, reason="counted")]
            ),
        )

    async def _order_a_cart(self) -> None:
        """Fill the cart of a new customer, who orders it until she is told of an order, or of an empty cart."""
        product, quantity = self._chance.choice(self._products), self._chance.randint(1, 3)
        number = len(self._diary.wanted)
        request = OrderRequest(UserId(number + 1), (RequestedItem(product, quantity),))
        self._diary.wanted.append((request, Unknown("not answered yet")))
        owner = request.user_id
        await self._ask("fill a cart", lambda shop: shop.put_item(SYSTEM, owner, product, quantity))
        for key in self._chance.choices(("one", "another"), k=5):
            if self._chance.random() < 0.1:
                await self._edit(product, ProductEdit(price=self._chance.randint(1, 9) * 100))
            accepted = self._is_accepted(IdempotencyKey(scope_of(owner), key).order_id)
            answer = await self._ask(
                f"order a cart, {key}", lambda shop, key=key: shop.order_cart(SYSTEM, owner, key=key)
            )
            self._expect_no_refusal([answer], accepted=accepted)
            if isinstance(answer, Order | Queued):
                await self._got(number, request, answer)
            if isinstance(answer, Order | Queued | Refused):
                break
        await self._ask("look into a cart", lambda shop: shop.get_cart(SYSTEM, owner))

    async def _change_a_price(self) -> None:
        """Then order it: the process that takes the order may know the old price only."""
        product, price = self._chance.choice(self._products), self._chance.randint(1, 9) * 100
        await self._edit(product, ProductEdit(price=price))
        await self._place()

    async def _list_adjustments(self) -> None:
        product = self._chance.choice(self._products)
        await self._ask("list adjustments", lambda shop: shop.list_adjustments(SYSTEM, product, limit=50))

    async def _ask(self, what: str, operation: Operation, about: OrderId | None = None) -> Any:
        houses = self._open()
        if not houses:
            await asyncio.sleep(0.5)
            return Unknown("nobody answers")
        house, seen = self._chance.choice(houses), self._seen.copy()
        handling = house.process.begin(operation(house.use_cases))
        hangs_up = self._faults.happens(self._faults.weather.hang_ups)
        await ended(handling, within=0.1 * self._chance.random() if hangs_up else _TIMEOUT)
        answer = self._outcome(handling)
        self._diary.tell(f"{self._name}: {what}: {_told(answer)}")
        if isinstance(answer, Replayed):
            return self._replayed(answer)
        if isinstance(answer, Queued):
            self._note(answer.order, {} if answer.replayed else seen)
            return answer
        if isinstance(answer, ChangeQueued):
            self._diary.waiting[answer.job.id] = answer.order.id
            self._note(answer.order, seen if answer.is_current else {})
            return answer
        if about and isinstance(answer, Refused) and isinstance(answer.error, UnknownOrder):
            self._diary.unknown.add(about)
        for one in answer if isinstance(answer, list) else [answer]:
            if isinstance(one, Order):
                self._note(one, seen)
            elif isinstance(one, Event):
                self._see(one.order_id, one.sequence)
        return answer

    def _replayed(self, replayed: Replayed) -> Order | Refused:
        """A stored response: the order may have changed since."""
        if isinstance(replayed.answer, DomainError):
            return Refused(replayed.answer)
        self._diary.told.append(replayed.answer)
        return replayed.answer

    def _outcome(self, handling: "asyncio.Task[Any]") -> Any:
        if not handling.done():
            handling.cancel()
            return Unknown("hung up")
        if handling.cancelled():
            return Unknown("the connection was reset")
        error = handling.exception()
        if error is not None:
            # The traceback would keep all local variables alive until a garbage collection.
            error.__traceback__ = None
        if isinstance(error, DomainError | AccessDenied):
            return Refused(error)
        if isinstance(error, Trouble):
            kind = NothingDone if isinstance(error, NotDone) else Unknown
            return kind(f"{type(error).__name__}: {error}")
        if error is not None:
            self._diary.complain(f"a client is told of {error!r}")
            return Unknown(repr(error))
        return handling.result()

    def _note(self, order: Order, seen: Mapping[OrderId, int]) -> None:
        """An answer is no older than the newest version that had been seen before the request."""
        self._diary.told.append(order)
        if order.version < (version := seen.get(order.id, 0)):
            self._diary.complain(
                f"{self._name} has seen version {version} of order {order.id}, and then version {order.version}"
            )
        self._see(order.id, order.version)

    def _see(self, order_id: OrderId, version: int) -> None:
        self._seen[order_id] = max(self._seen.get(order_id, 0), version)


_Visit = Callable[[Client], Awaitable[None]]
_VISITS: Final[tuple[_Visit, ...]] = (
    *(Client._place,) * 4,  # noqa: SLF001 - the class's own, as below
    *(Client._pay,) * 6,  # noqa: SLF001
    *(Client._read,) * 3,  # noqa: SLF001
    Client._refund,  # noqa: SLF001
    Client._cancel,  # noqa: SLF001
    Client._complete,  # noqa: SLF001
    Client._delete,  # noqa: SLF001
    Client._annotate,  # noqa: SLF001
    Client._ask_again,  # noqa: SLF001
    Client._search,  # noqa: SLF001
    Client._restock,  # noqa: SLF001
    Client._trespass,  # noqa: SLF001
    Client._say,  # noqa: SLF001
    Client._export,  # noqa: SLF001
    *(Client._list_orders,) * 2,  # noqa: SLF001
    Client._list_products,  # noqa: SLF001
    Client._look_at_a_product,  # noqa: SLF001
    Client._look_back,  # noqa: SLF001
)
# The errands that the weather may make clients repeat.
_ERRANDS: Final[dict[str, _Visit]] = {
    "orders": Client._list_orders,  # noqa: SLF001
    "products": Client._look_around,  # noqa: SLF001
    "price": Client._change_a_price,  # noqa: SLF001
    "shown": Client._order_at_a_shown_price,  # noqa: SLF001
    "cart": Client._order_a_cart,  # noqa: SLF001
    "history": Client._look_back,  # noqa: SLF001
    "money": Client._buy_and_give_back,  # noqa: SLF001
    "place": Client._place,  # noqa: SLF001
    "new": Client._order_too_early,  # noqa: SLF001
    "hurry": Client._hurry,  # noqa: SLF001
    "watch": Client._pay_and_watch,  # noqa: SLF001
    "exports": Client._export,  # noqa: SLF001
    "imports": Client._import,  # noqa: SLF001
    "messages": Client._say,  # noqa: SLF001
    "decide": Client._decide,  # noqa: SLF001
    "check": Client._check,  # noqa: SLF001
    "trespass": Client._trespass,  # noqa: SLF001
}


def _call(verb: str, call: OrderCall | Keyed[Any], shop: UseCases) -> Any:
    return getattr(shop, verb)(SYSTEM, call)


def _by_name(name: str, shop: UseCases) -> Any:
    return shop.products_by_name(SYSTEM, [name], add_at=Money(100, "EUR"))


def _order_cart(owner: UserId, key: str, shop: UseCases) -> Any:
    return shop.order_cart(SYSTEM, owner, key=key)


def _has_version(version: int, order: Order) -> bool:
    return order.version == version


def _short(order_id: OrderId) -> str:
    return order_id.hex[-4:]


def _told(answer: Any) -> str:
    match answer:
        case Order():
            return f"{_short(answer.id)} is {answer.status.value}, version {answer.version}"
        case Queued() | ChangeQueued():
            return f"{_short(answer.order.id)} is queued{', a change' if isinstance(answer, ChangeQueued) else ''}"
        case Replayed(answer=answer):
            return f"as the first time: {answer if isinstance(answer, DomainError) else _told(answer)}"
        case Refused():
            return f"refused, {answer.error}"
        case Unknown():
            return f"unknown, {answer.reason}"
    return "done"
