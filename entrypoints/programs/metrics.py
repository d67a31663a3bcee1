"""Serves the metrics of this process to Prometheus, and takes those that nobody else does.

The server is a few lines of its own: a request and a response, apart from the API, whose load can't keep it waiting.
"""

import asyncio
import platform
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.metadata import version
from typing import Final

from adapters.sql.core.engine import measure
from adapters.sql.samples import SqlSamples
from adapters.sql.stuck_orders import StuckOrders
from adapters.telemetry.prometheus import CONTENT_TYPE, PrometheusTelemetry
from application.reconciliation.discrepancies import KINDS
from application.telemetry import metrics
from entrypoints.alive import API
from entrypoints.container import Container
from entrypoints.errors import CannotGoOn
from entrypoints.loops import repeated
from entrypoints.settings import Settings

# The programs that answer HTTP.
_WITH_API: Final = (API, "up")
_PATH: Final = b"/metrics"
# Bytes of a request's head, and seconds for a whole exchange.
_MAX_HEAD: Final = 8192
_TIMEOUT: Final = 10.0
# Seconds between two looks: at the event loop, and at the database. The last one reads an index of what waits.
_LOOP_EVERY: Final = 0.5
_SAMPLE_EVERY: Final = 15.0
_STUCK_EVERY: Final = 4


class CannotServeMetrics(CannotGoOn):
    """The port is taken, or is not ours to take."""


@asynccontextmanager
async def metrics_served(container: Container, program: str) -> AsyncGenerator[None, None]:
    """Serve `/metrics` beside the block, if a port is set. Raise `CannotServeMetrics`."""
    settings, telemetry = container.settings(), container.telemetry()
    if not isinstance(telemetry, PrometheusTelemetry):
        yield
        return
    telemetry.of(metrics.BUILD_INFO, version=version("holdfast"), python=platform.python_version(), program=program)(1)
    measure(container.engine(), telemetry)
    use_cases = container.use_cases()
    telemetry.watch(metrics.EVENT_STREAMS, lambda: use_cases.waiting)
    async with AsyncExitStack() as stack:
        if not (program in _WITH_API and are_on_one_port(settings)):
            await stack.enter_async_context(_serving(settings, telemetry))
        await stack.enter_async_context(repeated(_loop_lag(telemetry), name="metrics"))
        yield


def are_on_one_port(settings: Settings) -> bool:
    """Whether the API serves its metrics itself, for callers with a key: they have no port of their own."""
    return settings.metrics_port == settings.port


@asynccontextmanager
async def database_sampled(container: Container) -> AsyncGenerator[None, None]:
    """Look at the database beside the block: once for all, in the relay."""
    telemetry = container.telemetry()
    if not isinstance(telemetry, PrometheusTelemetry):
        yield
        return
    samples, stuck_orders = SqlSamples(container.engine()), StuckOrders(container.engine())
    relay, after = container.relay_name(), container.settings().stuck_after
    pending, age = telemetry.of(metrics.OUTBOX_PENDING), telemetry.of(metrics.OUTBOX_AGE)
    position, letters = telemetry.of(metrics.FEED_POSITION), telemetry.of(metrics.DEAD_WAITING)
    leads, lag = telemetry.of(metrics.RELAY_LEADER), telemetry.of(metrics.WEBHOOK_LAG)
    unsigned, has_key = telemetry.of(metrics.WEBHOOKS_UNSIGNED), bool(container.settings().signing_keys)
    disabled = telemetry.of(metrics.WEBHOOKS_DISABLED)
    stuck = {reason: telemetry.of(metrics.STUCK, reason=reason) for reason in ("PROCESSING", "REFUND")}
    found = {kind: telemetry.of(metrics.DISCREPANCIES, kind=kind) for kind in KINDS}
    compared = telemetry.of(metrics.RECONCILED)
    looks = 0

    async def look() -> float:
        nonlocal looks
        sample = await samples.take(relay=relay)
        pending(sample.outbox_pending)
        age(sample.outbox_oldest_age)
        position(sample.feed_position)
        letters(sample.dead_letters)
        leads(sample.leads)
        lag(sample.webhook_lag)
        unsigned(0 if has_key else sample.signed_by_shop)
        disabled(sample.webhooks_disabled)
        for kind, note in found.items():
            note(sample.discrepancies.get(kind, 0))
        compared(sample.compared_at.timestamp() if sample.compared_at else 0)
        if looks % _STUCK_EVERY == 0:
            for reason, count in (await stuck_orders.count(after=after)).items():
                stuck[reason](count)
        looks += 1
        return _SAMPLE_EVERY

    async with repeated(look, name="metrics"):
        yield


def _loop_lag(telemetry: PrometheusTelemetry) -> Callable[[], Awaitable[float]]:
    note = telemetry.of(metrics.LOOP_LAG)
    loop = asyncio.get_running_loop()

    async def look() -> float:
        begun = loop.time()
        await asyncio.sleep(_LOOP_EVERY)
        note(max(0.0, loop.time() - begun - _LOOP_EVERY))
        return 0

    return look


@asynccontextmanager
async def _serving(settings: Settings, telemetry: PrometheusTelemetry) -> AsyncGenerator[None, None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever hangs up, is too slow or sends nonsense gets no answer.
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
                path = rest.partition(b" ")[0].partition(b"?")[0]
                if (method, path) == (b"GET", _PATH):
                    # Prometheus asks every few seconds, and rendering takes milliseconds.
                    body = await asyncio.to_thread(telemetry.rendered)
                    writer.write(_response("200 OK", CONTENT_TYPE, body))
                else:
                    writer.write(_response("404 Not Found", "text/plain", b"GET /metrics is all there is here\n"))
                await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, settings.metrics_host, settings.metrics_port, limit=_MAX_HEAD)
    except OSError as error:
        raise CannotServeMetrics(
            f"HOLDFAST_METRICS_PORT: {settings.metrics_host}:{settings.metrics_port} can't be listened on:"
            f" {error.strerror}; choose another port for each process"
        ) from None
    async with server:
        yield


def _response(status: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
