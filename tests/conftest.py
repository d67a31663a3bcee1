import asyncio
import gc
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.migrate import migrate
from tests.engines import engine_on, patient_engine
from tests.servers import PostgresServer, RabbitServer, RedisServer, ServerMissing, TlsRedisServer
from tests.servers.fleet import Fleet, Harbour, is_ours
from tests.servers.packages import PACKAGES
from tests.servers.process import SLOWEST, end_with_parent, hear_signals

T = TypeVar("T")

_FLEET: Final = pytest.StashKey[Fleet]()
_HARBOUR: Final = pytest.StashKey[Harbour]()
# The servers that each fixture needs, so that they can be started while other tests run.
_NEEDS: Final = {
    "postgres_url": ("url", "PostgreSQL"),
    "redis_url": ("url", "Redis"),
    "amqp_url": ("url", "RabbitMQ"),
    "own_postgres": ("program", "PostgreSQL"),
    "own_redis": ("program", "Redis"),
    "own_rabbitmq": ("program", "RabbitMQ"),
    "nginx_program": ("program", "nginx"),
    "curl_program": ("program", "curl"),
    "openssl_program": ("program", "openssl"),
    "wrk_program": ("program", "wrk"),
    "prometheus_program": ("program", "Prometheus"),
    "chromium_program": ("program", "Chromium"),
    "pgbouncer_program": ("program", "PgBouncer"),
    "pgbackrest_program": ("program", "pgBackRest"),
}
# What takes long comes first: pytest-xdist gives each worker a stretch of the tests, and whoever is done takes from the
# end of another's. So the last tests are short ones, and no worker goes on alone for a minute.
_FIRST: Final = (
    "tests/simulation",
    "tests/integration/test_rollout.py",
    "tests/integration/test_intake_outages.py",
    "tests/integration/faults",
    "tests/bench",
    "tests/servers",
    "tests/integration",
)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a test that waits for a server or a process leaves its core to another."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    given: dict[str, str] | None = getattr(config, "workerinput", None)
    hear_signals()
    if given is None:
        config.stash[_FLEET] = Fleet(say=lambda line: _say(config, line))
        config.stash[_HARBOUR] = Harbour(config.stash[_FLEET].address)
    else:
        end_with_parent()
        config.stash[_HARBOUR] = Harbour(given["holdfast_fleet"])


def _say(config: pytest.Config, line: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.ensure_newline()
        reporter.write_line(line)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of pytest-xdist, in the first process, before it starts a worker."""
    node.workerinput["holdfast_fleet"] = node.config.stash[_FLEET].address


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [not item.nodeid.startswith(path) for path in _FIRST])


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    asked = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for name in sorted(asked & _NEEDS.keys()):
        session.config.stash[_HARBOUR].call_for(*_NEEDS[name])
    # What was imported and collected is there to stay. The garbage collector need not look through it again and again.
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    if (fleet := config.stash.get(_FLEET, None)) is not None:
        fleet.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report missing servers, so that an incomplete run is not taken for a complete one."""
    missing = config.stash[_FLEET].missing()
    not_run = [report for kind in ("skipped", "error") for report in terminalreporter.getreports(kind)]
    if not missing and not terminalreporter.getreports("skipped"):
        return
    terminalreporter.section("TESTS THAT DID NOT RUN", sep="=", red=True, bold=True)
    for name, reason in missing.items():
        terminalreporter.write_line(f"{name} could not be started: {reason}", red=True, bold=True)
    for report in not_run:
        terminalreporter.write_line(f"  {report.nodeid}: {_reason(report)}", red=True)
    for name in missing:
        terminalreporter.write_line(
            f"To run them, install {name} (on Debian: apt-get install {PACKAGES[name]})", bold=True
        )


def _reason(report: Any) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.strip().splitlines()[-1].removeprefix("Skipped: ")


def _needed(config: pytest.Config, fixture: str) -> str:
    what, name = _NEEDS[fixture]
    try:
        return config.stash[_HARBOUR].ask(what, name)
    except ServerMissing as missing:
        # In CI a skipped test would go unnoticed.
        give_up = pytest.fail if os.environ.get("CI", "").lower() in {"true", "1"} else pytest.skip
        give_up(f"{name} is missing: {missing}", **({"pytrace": False} if give_up is pytest.fail else {}))
    except ConnectionError as failure:
        pytest.fail(f"{name} doesn't work: {failure}", pytrace=False)


def _run(work: Callable[[], Awaitable[T]]) -> T:
    """In a thread of its own, so that no event loop of a test is disturbed."""

    async def wait() -> T:
        async with asyncio.timeout(SLOWEST * 60):
            return await work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, wait()).result()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg", "postgresql"), timeout=SLOWEST * 30)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def new_database(pytestconfig: pytest.Config) -> Iterator[Callable[..., str]]:
    """Makes an empty database on the shared PostgreSQL and gives its URL; none outlives the run.

    One that is `like` another is a copy of it. Nobody may be connected to the other.
    """
    server = _needed(pytestconfig, "postgres_url")
    made: list[str] = []

    def make(*, like: str | None = None, encoding: str | None = None) -> str:
        name = f"holdfast_test_{secrets.token_hex(6)}"
        template = "template0" if like is None else urlsplit(like).path.strip("/")
        characters = "" if encoding is None else f" ENCODING '{encoding}' LOCALE 'C'"
        _run(partial(_execute, server, f"CREATE DATABASE {name} TEMPLATE {template}{characters}"))
        made.append(name)
        return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))

    yield make
    if is_ours("PostgreSQL"):
        # It goes with its databases. To drop hundreds of them one by one took half a minute of each worker.
        return
    for name in made:
        # A test that left a connection open must not keep its database alive.
        _run(partial(_execute, server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def new_migrated_database(new_database: Callable[..., str]) -> Callable[[], str]:
    """As `new_database`, with the shop's tables. A copy of a migrated database costs less than its migrations."""
    migrated = new_database()
    _run(partial(_migrate, migrated))
    return partial(new_database, like=migrated)


async def _migrate(url: str) -> None:
    async with engine_on(url) as engine:
        await migrate(engine)


@pytest.fixture(scope="module", autouse=True)
def _leaks_are_told_of_here() -> Iterator[None]:
    """Whatever a test has left open fails the last test of its own module, and none of another."""
    yield
    gc.collect()


@pytest.fixture
async def open_engines() -> AsyncIterator[Callable[[str], AsyncEngine]]:
    """Opens engines that are closed after the test."""
    opened: list[AsyncEngine] = []

    def open_engine(url: str) -> AsyncEngine:
        # Longer than any test waits.
        opened.append(patient_engine(url, statement_timeout=600))
        return opened[-1]

    yield open_engine
    for engine in opened:
        await engine.dispose()


@pytest.fixture(scope="session")
def postgres_url(new_database: Callable[[], str]) -> str:
    """An empty database of this worker's own, shared by its tests: tables are theirs to make."""
    return new_database()


@pytest.fixture(scope="session")
def redis_url(pytestconfig: pytest.Config) -> str:
    """Shared by all workers: use keys under a namespace of the test's own."""
    return _needed(pytestconfig, "redis_url")


@pytest.fixture(scope="session")
def amqp_url(pytestconfig: pytest.Config) -> str:
    """Shared by all workers: use exchanges and queues under a namespace of the test's own."""
    return _needed(pytestconfig, "amqp_url")


@pytest.fixture
def own_postgres(pytestconfig: pytest.Config) -> Iterator[PostgresServer]:
    """A server for this test alone, which it may kill, freeze and restart."""
    _needed(pytestconfig, "own_postgres")
    with PostgresServer() as server:
        yield server


@pytest.fixture
def own_redis(pytestconfig: pytest.Config) -> Iterator[RedisServer]:
    """As `own_postgres`."""
    _needed(pytestconfig, "own_redis")
    with RedisServer() as server:
        yield server


@pytest.fixture
def tls_redis(pytestconfig: pytest.Config) -> Iterator[TlsRedisServer]:
    """As `own_postgres`."""
    _needed(pytestconfig, "own_redis")
    with TlsRedisServer(openssl=Path(_needed(pytestconfig, "openssl_program"))) as server:
        yield server


@pytest.fixture
def own_rabbitmq(pytestconfig: pytest.Config) -> Iterator[RabbitServer]:
    """As `own_postgres`."""
    _needed(pytestconfig, "own_rabbitmq")
    with RabbitServer() as server:
        yield server


@pytest.fixture(scope="session")
def server_programs(pytestconfig: pytest.Config) -> None:
    """For a test that starts private servers itself."""
    for fixture in ("own_postgres", "own_redis", "own_rabbitmq"):
        _needed(pytestconfig, fixture)


@pytest.fixture(scope="session")
def nginx_program(pytestconfig: pytest.Config) -> Path:
    return Path(_needed(pytestconfig, "nginx_program"))


@pytest.fixture(scope="session")
def curl_program(pytestconfig: pytest.Config) -> Path:
    return Path(_needed(pytestconfig, "curl_program"))


@pytest.fixture(scope="session")
def openssl_program(pytestconfig: pytest.Config) -> Path:
    return Path(_needed(pytestconfig, "openssl_program"))


@pytest.fixture(scope="session")
def wrk_program(pytestconfig: pytest.Config) -> Path:
    return Path(_needed(pytestconfig, "wrk_program"))


@pytest.fixture(scope="session")
def prometheus_program(pytestconfig: pytest.Config) -> Path:
    """The folder with `prometheus` and `promtool`."""
    return Path(_needed(pytestconfig, "prometheus_program"))


@pytest.fixture(scope="session")
def pgbouncer_program(pytestconfig: pytest.Config) -> Path:
    return Path(_needed(pytestconfig, "pgbouncer_program"))


@pytest.fixture(scope="session")
def pgbackrest_program(pytestconfig: pytest.Config) -> Path:
    return Path(_needed(pytestconfig, "pgbackrest_program"))


@pytest.fixture(scope="session")
def chromium_program(pytestconfig: pytest.Config) -> Path:
    return Path(_needed(pytestconfig, "chromium_program"))
