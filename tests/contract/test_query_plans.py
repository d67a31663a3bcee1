"""No query reads through a table that grows, whatever statement a repository sends.

Every method of every repository is called in every way that its signature allows, and what it sends is recorded: a new
one is asked for its arguments here, and a new way of calling an old one is found by itself.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, get_args
from uuid import UUID

import pytest
from attrs import evolve, frozen
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid_utils.compat import uuid7

from adapters.payments.simulated.ledger import MemoryLedger
from adapters.sql.core.compiled import compiled
from adapters.sql.core.engine import backend_of
from adapters.sql.tables import metadata
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Aborted
from application.jobs.kinds import SHORT_KINDS
from application.ports.audit import AuditEntry, Caller
from application.ports.catalogue import EarlierPrice
from application.ports.feed import FeedFilter, FeedRange, Position
from application.ports.files import StoredFile
from application.ports.idempotency import IdempotencyKey, StoredResponse
from application.ports.order_search import STRETCH, OrderFilter
from application.ports.outbox import Announcement, OutboxEntry
from application.ports.persistence import Transaction
from application.ports.sessions import Session
from application.ports.webhook_store import DeliveryFilter
from bench.growth import fill
from domain.catalogue.product import StockAdjustment
from domain.dead_letter import DeadMessage
from domain.ids import EndpointId, JobId, OrderId, PaymentId, ProductId, UserId, UserName
from domain.jobs.job import JobStatus, new_job
from domain.message import Message
from domain.orders.events import EventId, OrderPlaced
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from domain.payments.payment import Payment
from domain.webhooks.delivery import DeliveryId, DeliveryStatus, Undelivered
from domain.webhooks.progress import begun_after
from tests.contract.test_unit_of_work_webhooks import a_delivery, an_endpoint
from tests.engines import engine_on
from tests.simulation.points import REPOSITORIES, methods
from tests.unit.builders import NOW, a_line, a_product, an_api_key, euros, placed

# As many of everything as a busy batch has, among as many orders as make the difference plain.
BATCH = 50
ORDERS = 20_000

# A shop has as many products as it has; these tables don't grow with its orders.
SMALL = {
    *("products", "leases", "heartbeats", "consistency_checks", "feed_head", "shop"),
    *("webhook_endpoints", "webhook_progress"),
}
GROWING = metadata.tables.keys() - SMALL
# What is done leaves these tables.
OFTEN_EMPTY = {"outbox", "waiting_work", "announcements", "feed_queue", "jobs", "files", "file_parts", "dead_letters"}
# To compare the stock with all that orders hold is to read all that orders hold.
COUNTS_EVERYTHING = {"products.stock_counts"}
# The check that SQLite would make if a new row could repair a broken foreign key. None is broken, so it is never run.
NEVER_DONE = {("products.add_many", "SCAN order_items"), ("orders.add_many", "SCAN payments")}

# The rows that are left by a relay that is down, and by years of decided dead letters.
MORE = (
    "INSERT INTO outbox (order_id, sequence, type, body) SELECT order_id, sequence, type, body FROM order_events",
    """
    INSERT INTO dead_letters
        (consumer, digest, body, reason, attempts, first_at, last_at, decision, decided_by, decided_at)
    SELECT 'payments', md5(i::text), '', 'bad', 1, now(), now(), 'DISCARDED', 'ana', now()
    FROM generate_series(1, 50000) AS i
    """,
    """
    INSERT INTO dead_letters (consumer, digest, body, reason, attempts, first_at, last_at)
    SELECT 'payments', md5(i::text), '', 'bad', 1, now(), now() FROM generate_series(1, 100) AS i
    """,
    """
    INSERT INTO stock_adjustments (product_id, change, reason, made_by, at)
    SELECT 1 + i % 1000, 0, 'counted', 'ana', now() FROM generate_series(1, 50000) AS i
    """,
    """
    INSERT INTO announcements (position, order_id, sequence, type, body, attempts, not_before, since)
    SELECT position, order_id, sequence, type, body, 1, now() + position * interval '1 s', now()
    FROM outbox WHERE position % 2 = 0
    """,
    "INSERT INTO waiting_work SELECT position, order_id, sequence, type, body FROM outbox WHERE position % 2 = 0",
    """
    INSERT INTO feed_queue (events)
    SELECT json_build_array(json_build_array(order_id, sequence, type))::text FROM order_events
    """,
    """
    INSERT INTO feed (position, order_id, sequence, type, given_at)
    SELECT row_number() OVER (ORDER BY at, order_id), order_id, sequence, type, now() FROM order_events
    WHERE NOT EXISTS (SELECT FROM feed)
    """,
    "UPDATE feed_head SET given = (SELECT count(*) FROM feed)",
    """
    INSERT INTO jobs (id, kind, arguments, order_id, status, attempts, failures, done, available_at, leased_until,
        created_at, finished_at)
    SELECT gen_random_uuid(), CASE i % 3 WHEN 0 THEN 'export' ELSE 'message' END, '{}', gen_random_uuid(), status, 1, 0,
        0, at, CASE status WHEN 'EXECUTING' THEN at END, at, CASE status WHEN 'COMPLETED' THEN at END
    FROM generate_series(1, 50000) AS i, LATERAL (
        SELECT CASE i % 500 WHEN 0 THEN 'AVAILABLE' WHEN 1 THEN 'EXECUTING' WHEN 2 THEN 'SCHEDULED' ELSE 'COMPLETED' END
            AS status, now() - i * interval '1 s' AS at
    ) AS one
    """,
    """
    INSERT INTO messages (id, order_id, content, created_at)
    SELECT gen_random_uuid(), gen_random_uuid(), 'hello', now() - i * interval '1 s' FROM generate_series(1, 50000) AS i
    """,
    """
    INSERT INTO files (job_id, name, size, state, changed_at)
    SELECT gen_random_uuid(), 'export', 500000, '{}', now() - i * interval '1 s' FROM generate_series(1, 5000) AS i
    """,
    "INSERT INTO file_parts SELECT job_id, name, start, 1, '' FROM files, generate_series(0, 9) AS start",
    "ANALYZE files, file_parts",
    """
    INSERT INTO webhook_deliveries (endpoint_id, position, order_id, sequence, type, at, status, reason, tries,
        attempts, outcome, next_at, finished_at, log)
    SELECT endpoint_id::uuid, position, order_id, sequence, type, given_at, status, NULL, 1, 1, 'status 200',
        CASE WHEN status = 'RETRYING' THEN given_at END, CASE WHEN status <> 'RETRYING' THEN given_at END, ''
    FROM feed, generate_series(1, 5) AS number, LATERAL (
        SELECT lpad(number::text, 32, '0') AS endpoint_id,
            CASE position % 1000 WHEN 0 THEN 'RETRYING' WHEN 1 THEN 'EXHAUSTED' ELSE 'DELIVERED' END AS status
    ) AS one
    """,
    "ANALYZE webhook_deliveries",
    "INSERT INTO ended_sessions (id, until) SELECT lpad(i::text, 64, 'x'), now() FROM generate_series(1, 50000) AS i",
    "ANALYZE ended_sessions",
    "ANALYZE feed, feed_queue, jobs, messages, announcements, waiting_work, outbox, dead_letters, stock_adjustments",
)

# One of those that have deliveries.
ENDPOINT = EndpointId(UUID(int=1))

Arguments = Mapping[str, Any]
Call = Callable[[Transaction], Any]


class Several(list[Any]):
    """Examples of one argument, of which each makes another statement."""


# What a search may be led by, and what it may ask beside it.
LEADING: tuple[dict[str, Any], ...] = (
    {},
    {"order_id": OrderId(uuid7())},
    {"external_id": "7"},
    {"email": "ana@example.org"},
    {"user_id": UserId(7)},
    {"user_id": UserName("ana")},
    {"statuses": frozenset({OrderStatus.COMPLETED})},
    {"placed_after": NOW, "placed_before": NOW + timedelta(days=365)},
)
OTHERS: dict[str, Any] = {"product_ids": frozenset({ProductId(7)}), "total_max": 10**6}


class Undone(Exception):
    """Leaves a block without a trace."""


@frozen
class Sent:
    """A statement as the driver was given it, and the call that it is part of."""

    call: str
    statement: str
    parameters: Sequence[Any]


def calls(samples: Arguments) -> Iterator[tuple[str, Call]]:
    """Every way to call each method: with and without what may be left out, and both ways what is yes or no."""
    for name, port in REPOSITORIES.items():
        for method in methods(port):
            parameters = list(inspect.signature(getattr(port, method)).parameters.values())[1:]
            choices = [choices_of(f"{name}.{method}", parameter, samples) for parameter in parameters]
            for chosen in product(*choices):
                yield f"{name}.{method}", call_of(name, method, parameters, chosen)


def choices_of(call: str, parameter: inspect.Parameter, samples: Arguments) -> list[Any]:
    if parameter.annotation is bool:
        return [False, True]
    names = (f"{call}.{parameter.name}", f"{call.partition('.')[0]}.{parameter.name}", parameter.name)
    found = [samples[name] for name in names if name in samples]
    if found and isinstance(found[0], Several):
        return list(found[0])
    assert found, f"{call} has a new argument {parameter.name}: give this test an example of it"
    return [None, found[0]] if type(None) in get_args(parameter.annotation) else found[:1]


def call_of(name: str, method: str, parameters: Sequence[inspect.Parameter], chosen: Sequence[Any]) -> Call:
    positional = [value for p, value in zip(parameters, chosen, strict=True) if p.kind is not p.KEYWORD_ONLY]
    named = {p.name: value for p, value in zip(parameters, chosen, strict=True) if p.kind is p.KEYWORD_ONLY}
    return lambda tx: getattr(getattr(tx, name), method)(*positional, **named)


def samples_of(known: Sequence[Order]) -> Arguments:
    """An example for each argument, by its name, by that of its repository, or by that of its method."""
    new: list[tuple[Order, OrderPlaced]] = [
        (evolve(order, id=id_), evolve(placed_event, order_id=id_))
        for order, placed_event in (placed(a_line(number), a_line(number + 1)) for number in range(1, BATCH + 1))
        for id_ in [OrderId(uuid7())]
    ]
    orders, events = [order for order, _ in new], [placed_event for _, placed_event in new]
    ids = [order.id for order in known] or [order.id for order in orders]
    keys = [IdempotencyKey(f"customer {order.user_id}", str(order.id)) for order in [*known, *orders]]
    entries = [type("Entry", (), {"position": number}) for number in range(1, BATCH + 1)]
    return {
        "limit": BATCH,
        "most": BATCH,
        "longest_gap": timedelta(minutes=1),
        "within": timedelta(0),
        "recorded_after": datetime.now(UTC) - timedelta(minutes=30),
        "moment": datetime.now(UTC) - timedelta(minutes=10),
        "ahead": datetime.now(UTC) + timedelta(minutes=10),
        "user_id": UserId(7),
        "status": OrderStatus.COMPLETED,
        "consumer": "payments",
        "by": "relay 1",
        "events": events,
        "ids": ids,
        "before": ids[0],
        "orders.after": ids[0],
        "orders.waiting_since.after": (NOW, ids[0]),
        "orders.orders": orders,
        "orders.search.wanted": Several(
            OrderFilter(**leading, **others) for leading, others in product(LEADING, ({}, {"total_min": 10**9}, OTHERS))
        ),
        "orders.search.stretch": STRETCH,
        "orders.first": min(ids),
        "orders.last": max(ids),
        "orders.search_ids.wanted": Several(
            OrderFilter(**leading, **others) for leading, others in product(LEADING, ({}, {"total_min": 10**9}, OTHERS))
        ),
        "orders.search_ids.stretch": STRETCH,
        "orders.with_external_ids.wanted": {(order.user_id, str(order.id)) for order in orders},
        "products.after": ProductId(10),
        "products.active": True,
        "products.names": [f"Product {number}" for number in range(1, BATCH)],
        "products.skus": [f"sku {number}" for number in range(1, BATCH)],
        "earlier_prices.ids": [ProductId(number) for number in range(1, BATCH)],
        "earlier_prices.prices": [EarlierPrice(ProductId(number), euros(number), NOW) for number in range(1, BATCH)],
        "stock_adjustments.product_id": ProductId(7),
        "stock_adjustments.before": 10**6,
        "products.ids": [ProductId(number) for number in range(1, BATCH)],
        "products.products": [a_product(100_000 + number) for number in range(BATCH)],
        "stock_adjustments.ids": [ProductId(number) for number in range(1, 10)],
        "stock_adjustments.adjustments": [
            StockAdjustment(product_id=ProductId(1), change=1, reason="found", made_by="ana", at=NOW)
        ],
        "payments.ids": [order.payment_id for order in known if order.payment_id] or [PaymentId(uuid7())],
        "payments.payments": [
            Payment(id=PaymentId(uuid7()), order_id=OrderId(uuid7()), amount=euros(1)) for _ in range(BATCH)
        ],
        "outbox.after": 10,
        "outbox.entries": entries,
        "announcements.entries": entries,
        "of": FeedRange(
            after=Position(1000),
            until=Position(2000),
            only=FeedFilter(types=frozenset({"order.paid"}), user_id=UserId(7), order_id=ids[0]),
        ),
        "older_than": timedelta(seconds=-1),
        "type_": "order.payment_requested",
        "waiting_work.after": 10,
        "waiting_work.remove.entries": entries,
        "waiting_work.put_off.entries": [
            OutboxEntry(10**9 + number, EventId(OrderId(uuid7()), 1), "order.payment_requested", b"{}")
            for number in range(BATCH)
        ],
        "announcements.announcements": [
            Announcement(
                entry=OutboxEntry(10**9 + number, EventId(OrderId(uuid7()), 1), "order.placed", b"{}"),
                attempts=1,
                since=NOW,
            )
            for number in range(BATCH)
        ],
        "idempotency_keys.after": keys[0],
        "idempotency_keys.older_than": timedelta(days=-1),
        "idempotency_keys.keys": keys[:BATCH],
        "idempotency_keys.kept": [
            StoredResponse(IdempotencyKey("customer 1", str(order.id)), "asked", order) for order in orders
        ],
        "audit.entries": [
            AuditEntry(at=NOW, by=Caller("ana", "r1"), action="stock.adjusted", subject="product 7") for _ in range(3)
        ],
        "audit.subject": "product 7",
        "audit.request_id": "r1",
        "audit.action": "stock.adjusted",
        "audit.before": 100,
        "consistency_checks.found": {"stock": 1, "charge": 0},
        "ended_sessions.sessions": [Session(f"{number:064}", NOW) for number in range(BATCH)],
        "ended_sessions.ids": [f"{number:064}" for number in range(BATCH)],
        "api_keys.keys": [an_api_key(f"{number:012}") for number in range(3)],
        "api_keys.ids": [f"{number:012}" for number in range(BATCH)],
        "api_keys.after": f"{1:012}",
        "api_keys.at": NOW,
        "api_keys.every": timedelta(minutes=1),
        "since": datetime.now(UTC) - timedelta(hours=1),
        "kind": "export",
        "jobs.kinds": SHORT_KINDS,
        "jobs.status": JobStatus.COMPLETED,
        "jobs.ids": [JobId(uuid7()) for _ in range(BATCH)],
        "jobs.before": (NOW, JobId(uuid7())),
        "jobs.order_ids": [OrderId(uuid7()) for _ in range(BATCH)],
        "jobs.jobs": [new_job(id=JobId(uuid7()), kind="message", arguments={}, now=NOW) for _ in range(BATCH)],
        "order_id": ids[0],
        "messages.messages": [
            Message(id=JobId(uuid7()), content="hello", order_id=None, created_at=NOW) for _ in range(BATCH)
        ],
        "files.file": StoredFile(job_id=JobId(uuid7()), name="export"),
        "files.job_ids": [JobId(uuid7()) for _ in range(BATCH)],
        "files.content": b"rows",
        "files.state": {},
        "files.at": 300_000,
        "job_id": JobId(uuid7()),
        "name": "export",
        "webhook_endpoints.endpoints": [an_endpoint() for _ in range(BATCH)],
        "webhook_endpoints.ids": [an_endpoint().id for _ in range(BATCH)],
        "webhook_endpoints.after": EndpointId(uuid7()),
        "webhook_progress.progress": [begun_after(an_endpoint().id, 0) for _ in range(BATCH)],
        "webhook_progress.after": EndpointId(uuid7()),
        "webhook_progress.newest": 10**6,
        "webhook_deliveries.deliveries": [a_delivery(ENDPOINT, 10**9 + number) for number in range(BATCH)],
        "webhook_deliveries.attempts": {},
        "endpoint_id": ENDPOINT,
        "positions": list(range(1000, 1000 + BATCH)),
        "webhook_deliveries.why": Undelivered.ENDPOINT_DELETED,
        "webhook_deliveries.at": NOW,
        "order_ids": ids[:BATCH],
        "id_": DeliveryId(ENDPOINT, 1000),
        "webhook_deliveries.only": Several(
            [
                DeliveryFilter(undelivered=True),
                DeliveryFilter(undelivered=True, reason=Undelivered.EXHAUSTED),
                *(
                    DeliveryFilter(endpoint_id=ENDPOINT, **more)
                    for more in (
                        {},
                        {"status": DeliveryStatus.RETRYING},
                        {"status": DeliveryStatus.DELIVERED},
                        {"type": "order.paid", "reason": Undelivered.EXHAUSTED, "undelivered": True},
                        {"order_id": ids[0]},
                    )
                ),
            ]
        ),
        "webhook_deliveries.before": DeliveryId(ENDPOINT, 1000),
        "webhook_deliveries.after": 1000,
        "webhook_deliveries.until": 2000,
        "webhook_deliveries.delivered": Several([None, True, False]),
        "dead_letters.ids": list(range(1, 20)),
        "dead_letters.after": 10,
        "dead_letters.messages": [
            DeadMessage(body=b"%d" % number, reason="bad", attempts=1, first_at=NOW, last_at=NOW) for number in range(3)
        ],
        "dead_letters.letters": [
            type("Letter", (), {"id": number, "decision": None, "decided_by": None, "decided_at": None})
            for number in range(3)
        ],
    }


@contextmanager
def recording(engine: AsyncEngine) -> Iterator[list[tuple[str, tuple[Any, ...]]]]:
    """What reaches the driver of the database."""
    recorded: list[tuple[str, tuple[Any, ...]]] = []

    def listening(ask: Callable[..., Any]) -> Callable[..., Any]:
        async def asked(self: object, connection: object, made: Any, arguments: Sequence[Any]) -> Any:
            recorded.append((made.sql, tuple(arguments)))
            return await ask(self, connection, made, arguments)

        return asked

    with pytest.MonkeyPatch.context() as patch:
        driver = type(backend_of(engine).dialect.driver)
        for method in ("fetch", "change"):
            patch.setattr(driver, method, listening(getattr(driver, method)))
        yield recorded


async def everything_sent(engine: AsyncEngine, known: Sequence[Order] = ()) -> list[Sent]:
    unit_of_work, sent = SqlUnitOfWork(engine), []
    for name, call in calls(samples_of(known)):
        # The tables refuse some of the examples, which were sent all the same.
        with recording(engine) as recorded, suppress(Undone, Aborted, DBAPIError):
            async with unit_of_work() as tx:
                await call(tx)
                raise Undone
        assert recorded, f"{name} sends nothing"
        sent += [Sent(name, statement, parameters) for statement, parameters in recorded]
    return sent


@pytest.fixture(scope="module")
def grown_database(new_migrated_database: Callable[[], str]) -> str:
    """Some business, with more in the outbox and among the dead letters than there should be. No test changes it."""
    url = new_migrated_database()

    async def grow() -> None:
        async with engine_on(url, statement_timeout=60) as engine:
            await fill(engine, MemoryLedger(), count=ORDERS)
            async with engine.begin() as connection:
                for statement in MORE:
                    await connection.execute(text(statement))

    # In a thread of its own, so that no event loop of a test is disturbed.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, grow()).result(timeout=600)
    return url


@pytest.fixture
async def grown(grown_database: str) -> AsyncIterator[AsyncEngine]:
    async with engine_on(grown_database, statement_timeout=60) as engine:
        yield engine


async def test_no_query_reads_through_a_table_that_grows_on_postgresql(grown: AsyncEngine) -> None:
    async with SqlUnitOfWork(grown).reading() as tx:
        known = await tx.orders.page(user_id=None, status=None, before=None, limit=2 * BATCH)
        known += await tx.orders.page(user_id=None, status=OrderStatus.PAID, before=known[-1].id, limit=BATCH)
    findings = await found_on_postgresql(grown, known[-BATCH:])
    assert {found for found in findings if found.partition(":")[0] not in COUNTS_EVERYTHING} == set()
    # It would be no test if it found nothing where there is something.
    assert {found.partition(":")[0] for found in findings} == COUNTS_EVERYTHING


async def test_a_page_of_all_orders_is_not_planned_anew(grown_database: str) -> None:
    """To plan it takes longer than to read it."""
    async with engine_on(grown_database, pool_size=1) as engine:
        for limit in (2, 11, 51, 201):
            for _ in range(10):
                async with SqlUnitOfWork(engine).reading() as tx:
                    first = await tx.orders.page(user_id=None, status=None, before=None, limit=limit)
                    await tx.orders.page(user_id=None, status=None, before=first[-1].id, limit=limit)
        async with engine.connect() as connection:
            planned = await connection.execute(
                text("SELECT statement, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%order_items%'")
            )
            found = planned.all()
    # What is prepared is planned for its parameters five times at first, whatever it is.
    assert [row for row in found if row.custom_plans > 5] == []
    assert found


async def test_no_query_is_planned_for_a_shop_without_orders(new_migrated_database: Callable[[], str]) -> None:
    """A connection keeps its plan while the first thousands of orders come, until the tables are analysed.

    What it does before it keeps a plan is planned each time, for as many rows as there are by then. A table whose rows
    come and go is often analysed while it is empty, and then looks smaller than one that never was.
    """
    async with engine_on(new_migrated_database()) as engine:
        async with engine.begin() as connection:
            for table in metadata.tables:
                await connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)"))
            await connection.execute(text(f"ANALYZE {', '.join(sorted(OFTEN_EMPTY))}"))
        findings = await found_on_postgresql(engine, kept_alone=True)
    assert {found for found in findings if found.partition(":")[0] not in COUNTS_EVERYTHING} == set()


async def found_on_postgresql(
    engine: AsyncEngine, known: Sequence[Order] = (), *, kept_alone: bool = False
) -> set[str]:
    sent = await everything_sent(engine, known)
    findings = set()
    async with engine.connect() as connection:
        for each in sent:
            at_first, kept = await plans(connection, each)
            for plan in [kept] if kept_alone else [at_first, kept]:
                findings |= {f"{each.call}: {found} in {each.statement}" for found in reading_through(plan)}
    return findings


async def plans(connection: AsyncConnection, sent: Sent) -> list[dict[str, Any]]:
    """What the server does with a prepared statement at first, and what it settles on when it has seen it often.

    That may be a plan for any parameters: it is taken from the sixth time on, where it looks no worse.
    """
    driver: Any = (await connection.get_raw_connection()).driver_connection
    types = [parameter.name for parameter in (await driver.prepare(sent.statement)).get_parameters()]
    execute = f"EXPLAIN (FORMAT JSON) EXECUTE plan {await literals(driver, types, sent.parameters)}"
    await driver.execute(f"PREPARE plan AS {sent.statement}")
    try:
        seen = [(await driver.fetchval(execute))[0]["Plan"] for _ in range(8)]
    finally:
        await driver.execute("DEALLOCATE plan")
    return [seen[0], seen[-1]]


async def literals(driver: Any, types: Sequence[str], values: Sequence[Any]) -> str:
    """The parameters in SQL, since EXPLAIN takes none for what was prepared."""
    if not types:
        return ""
    texts = await driver.fetchrow(
        "SELECT " + ", ".join(f"${number}::{type_}::text" for number, type_ in enumerate(types, 1)), *values
    )
    quoted = ("NULL" if value is None else "'" + value.replace("'", "''") + "'" for value in texts)
    return "(" + ", ".join(f"{value}::{type_}" for value, type_ in zip(quoted, types, strict=True)) + ")"


def reading_through(plan: dict[str, Any], *, bounded: bool = False) -> Iterator[str]:
    """The scans below a node that read a table that grows without a condition that the index knows.

    A walk along an index is no harm where a limit ends it, unless something between the two wants everything first.
    """
    kind, table = plan["Node Type"], plan.get("Relation Name")
    if table in GROWING and kind == "Seq Scan":
        yield f"a sequential scan of {table}"
    if table in GROWING and kind in {"Index Scan", "Index Only Scan"} and not bounded and "Index Cond" not in plan:
        yield f"the whole of {plan['Index Name']}"
    bounded = kind == "Limit" or (bounded and kind in {"LockRows", "Nested Loop", "Result", "Subquery Scan"})
    for below in plan.get("Plans", []):
        yield from reading_through(below, bounded=bounded)


async def test_no_query_reads_through_a_table_that_grows_on_sqlite(sqlite_engine: AsyncEngine) -> None:
    """SQLite decides by the indexes alone, however many rows there are."""
    findings = set()
    sent = await everything_sent(sqlite_engine)
    async with sqlite_engine.connect() as connection:
        for each in sent:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each.statement}", each.parameters)
            steps = [row.detail for row in plan]
            walked = [step for step in steps if is_a_walk(step, each) and (each.call, step) not in NEVER_DONE]
            everything_first = any("USE TEMP B-TREE" in step for step in steps)
            if walked and ("LIMIT" not in each.statement or everything_first):
                findings.add(f"{each.call}: {steps} in {each.statement}")
    assert {found for found in findings if found.partition(":")[0] not in COUNTS_EVERYTHING} == set()
    assert {found.partition(":")[0] for found in findings} == COUNTS_EVERYTHING


def is_a_walk(step: str, sent: Sent) -> bool:
    # A step may be one word, as that of the left half of a merge.
    kind, name, *_ = [*step.split(), ""]
    return kind == "SCAN" and (name in GROWING or any(f"{table} AS {name}" in sent.statement for table in GROWING))


async def test_no_statement_is_made_anew_for_each_call(sql_engine: AsyncEngine) -> None:
    """To compile one takes longer than to run it."""
    await everything_sent(sql_engine)
    made = compiled.cache_info
    before = made().misses
    await everything_sent(sql_engine)
    assert made().misses == before
