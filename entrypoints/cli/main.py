"""The command line: `holdfast --help`."""

import gc
import os
import sys
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Annotated

import uvloop
from cyclopts import App, CycloptsError, Parameter
from iso4217 import Currency

from adapters.rabbitmq.topology import Topology, declare_topology
from application.catalogue.add_products import NewProduct
from application.errors import Trouble
from domain.catalogue.product import Product
from domain.errors import DomainError
from domain.ids import ProductId
from domain.money import Money
from entrypoints.cli import dead_letters
from entrypoints.cli import reconcile as reconciling
from entrypoints.cli.common import CommandError, Count, Data, Whole, command_settings, with_container, with_tables
from entrypoints.connections import NotReady
from entrypoints.container import Container
from entrypoints.demo import CATALOGUE
from entrypoints.health import ServerHealth
from entrypoints.http.server.server import CannotListen
from entrypoints.programs.api import run_api
from entrypoints.programs.relay import run_relay
from entrypoints.programs.running import CutOff, Program, run_until_signalled
from entrypoints.programs.up import run_up
from entrypoints.programs.worker import run_worker
from entrypoints.settings import InvalidSettings, Settings, redacted

Host = Annotated[str | None, Parameter(help="Address to listen on. Default: 127.0.0.1")]
Port = Annotated[Whole | None, Parameter(help="Port to listen on. Default: 8000")]


# New objects after which garbage is looked for among them, and how often that is done before it is looked for among
# older ones. A request takes a sixth less time with these than with Python's 700 and 10, for some megabytes.
_NEW_OBJECTS = 20_000
_GENERATIONS = 50

# What is told as it is: the message says what to do, and a stack trace would say nothing more.
_REFUSALS = (CannotListen, CommandError, CutOff, DomainError, NotReady, Trouble)


def main() -> None:
    """Run the command that the arguments name, and exit: 0 done, 1 not done, 2 asked for wrongly."""
    try:
        try:
            _make_app()(exit_on_error=False, print_error=False)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough, as in `| head`; nor is there anybody to tell at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (CycloptsError, InvalidSettings) as error:
        _say(str(error))
        sys.exit(2)
    except _REFUSALS as error:
        _say(str(error))
        sys.exit(1)
    except ExceptionGroup as group:
        refusals, others = group.split(_REFUSALS)
        if refusals is None or others is not None:
            raise
        _say(str(_first(refusals)))
        sys.exit(1)


def _make_app() -> App:
    app = App(name="holdfast", help="An order engine.", version="0.1.0", help_format="plaintext")
    for command in (up, api, worker, relay, seed, doctor, simulate, faults):
        app.command(command)
    app.command(migrate_database, name="migrate")
    products = App(name="products", help="Look after the catalogue.")
    products.command(add)
    products.command(restock)
    products.command(list_catalogue, name="list")
    app.command(products)
    app.command(dead_letters.make_app())
    app.command(reconciling.reconcile)
    return app


def up(*, host: Host = None, port: Port = None, data: Data = None) -> None:
    """Run the whole service in this process, with a demo catalogue where no database is named."""
    settings = command_settings(host=host, port=port, data=data)
    _run(settings, partial(run_up, settings, on_started=lambda url: print(_WELCOME.format(url=url), flush=True)))


def api(*, host: Host = None, port: Port = None) -> None:
    """Run the HTTP interface against the servers."""
    settings = _server_settings("api", host=host, port=port)
    _run(settings, partial(run_api, settings, on_started=lambda url: print(f"Listening on {url}", flush=True)))


def worker() -> None:
    """Run the worker: payments, refunds, expiry."""
    settings = _server_settings("worker")
    _run(settings, partial(run_worker, settings))


def relay() -> None:
    """Run the relay, which hands events to the broker."""
    settings = _server_settings("relay")
    _run(settings, partial(run_relay, settings))


def migrate_database(*, data: Data = None) -> None:
    """Bring the tables, and the queues, up to date. Safe at any time, and from several places at once."""
    # Alembic takes half a second to be imported, which no other command has to wait for.
    from adapters.sql.migrate import migrate  # noqa: PLC0415

    settings = command_settings(data=data)

    async def work(container: Container) -> None:
        applied = await migrate(container.engine())
        print(f"applied {', '.join(applied)}" if applied else "the tables are up to date")
        if settings.amqp_url:
            try:
                await declare_topology(settings.amqp_url, Topology(settings.namespace))
            except Trouble as error:
                # No reason to hold anybody up: worker and relay declare them as soon as the broker is there.
                _say(f"the queues are declared later: {error}")
            else:
                print("the queues are declared")

    with_container(settings, work)


def seed(*, data: Data = None) -> None:
    """Put the demo catalogue into the shop. What is there already stays as it is."""

    async def work(container: Container) -> None:
        outcomes = await container.use_cases().add_products(CATALOGUE, made_by="holdfast seed")
        added = [outcome for outcome in outcomes if isinstance(outcome, Product)]
        print(f"added {len(added)} products, {len(outcomes) - len(added)} were there already")

    with_tables(command_settings(data=data), work)


def doctor(*, data: Data = None) -> None:
    """Say of each server whether it is reached, which version it is, and what is wrong with it."""
    settings = command_settings(data=data)
    named = {
        "database": settings.database_url or str(settings.database_file),
        "cache": settings.redis_url,
        "broker": settings.amqp_url,
    }

    async def work(container: Container) -> None:
        servers: list[ServerHealth] = list(await container.check_health()())
        for server in servers:
            state = "works" if server.works else "FAILS"
            print(
                f"{server.name:9} {state}  {server.version or server.problem}  {redacted(named[server.name])}".rstrip()
            )
        if not all(server.works for server in servers):
            raise CommandError("not every server works; see above")

    with_container(settings, work)


def simulate(
    *,
    seeds: Annotated[Count, Parameter(help="How many runs.")] = 1000,
    seed: Annotated[Whole | None, Parameter(help="Run this one alone, and tell its story.")] = None,
    mutations: Annotated[
        bool, Parameter(help="Break one part after the other: each must be found.", negative="")
    ] = False,
) -> None:
    """Run the whole shop in memory, where chance decides what breaks and when, and look through its books."""
    simulation = _of_the_tests("tests.simulation.command")
    if mutations:
        well = simulation.simulate_mutations()
    else:
        well = simulation.simulate_many(seeds) if seed is None else simulation.simulate_one(seed)
    if not well:
        sys.exit(1)


def faults(
    *,
    keyword: Annotated[str, Parameter(name=["--keyword", "-k"], help="Only those with all these words.")] = "",
    only_list: Annotated[bool, Parameter(name="--list", help="Only name them.", negative="")] = False,
    houses: Annotated[Count, Parameter(help="How many are tried at once, each on servers of its own.")] = 3,
) -> None:
    """Break private servers and the processes on them, some at once, under load; print what came of it."""
    if not _of_the_tests("tests.integration.faults.command").faults(
        keyword=keyword, only_list=only_list, houses=houses
    ):
        sys.exit(1)


def _of_the_tests(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise CommandError(
            f"this is one of the tests, which are not installed here ({error}); run it in a checkout"
        ) from error


def add(
    *,
    name: str,
    price: Annotated[Whole, Parameter(help="In minor units: 1250 is 12.50 EUR, or 1250 JPY.")],
    currency: Annotated[str, Parameter(help="ISO 4217 code.")],
    stock: Whole,
    id: Whole | None = None,  # noqa: A002 - it becomes the option --id
    data: Data = None,
) -> None:
    """Begin to sell something, and print its id."""
    if currency not in {known.code for known in Currency}:
        raise CommandError(f"{currency!r} is no currency of ISO 4217; write its code, as in EUR, USD or JPY")

    async def work(container: Container) -> None:
        new = NewProduct(id=None if id is None else ProductId(id), name=name, price=Money(price, currency), stock=stock)
        [product] = await container.use_cases().add_products([new], made_by="holdfast products")
        if isinstance(product, Exception):
            raise product
        print(product.id)

    with_tables(command_settings(data=data), work)


def restock(product: Whole, change: Whole, *, reason: str, data: Data = None) -> None:
    """Count units in, or out with a negative change, and print what is left."""

    async def work(container: Container) -> None:
        adjust = container.use_cases().adjust_stock
        changed = await adjust(ProductId(product), change, reason=reason, made_by="holdfast products")
        print(changed.stock)

    with_tables(command_settings(data=data), work)


def list_catalogue(*, data: Data = None) -> None:
    """Print what is sold, and how much of it is left."""

    async def work(container: Container) -> None:
        last: ProductId | None = None
        while page := await container.use_cases().list_products(after=last, limit=200):
            for product in page:
                print(f"{product.id:>8}  {product.stock:>12}  {_shown(product.price):>16}  {product.name}")
            last = page[-1].id

    with_tables(command_settings(data=data), work)


_WELCOME = """
Holdfast listens on {url}

  place an order:  curl -s {url}/orders -H 'Content-Type: application/json' \\
                     -d '{{"user_id": 1, "items": [{{"product_id": 1, "quantity": 2}}]}}'
  pay for it:      curl -s -X POST {url}/orders/ORDER_ID/pay
  read it:         curl -s {url}/orders/ORDER_ID
  what is sold:    curl -s {url}/products

Ctrl-C ends it; what is in flight is finished, and nothing is lost.
"""


def _server_settings(command: str, **given: object) -> Settings:
    settings = command_settings(**given)
    if not settings.database_url:
        raise InvalidSettings(
            f"holdfast {command} is one process of several, which meet at their servers; set DATABASE_URL, REDIS_URL "
            "and AMQP_URL, or run everything in one process with `holdfast up`"
        )
    return settings


def _run(settings: Settings, program: Program) -> None:
    # What is here by now stays for good, and need not be looked through for garbage again and again; and what requests
    # leave behind mostly goes without any looking.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _GENERATIONS, _GENERATIONS)
    uvloop.run(run_until_signalled(program, graceful_timeout=settings.shutdown_timeout))


def _shown(money: Money) -> str:
    """As people write it: 1250 minor units are 12.50 EUR, and 1250 JPY."""
    digits = Currency(money.currency).exponent or 0
    whole, rest = divmod(money.minor, 10**digits)
    return f"{whole}.{rest:0{digits}} {money.currency}" if digits else f"{whole} {money.currency}"


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _say(message: str) -> None:
    for line in message.splitlines():
        print(f"holdfast: {line}", file=sys.stderr)
