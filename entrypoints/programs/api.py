"""The HTTP interface."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from adapters.telemetry.prometheus import CONTENT_TYPE, PrometheusTelemetry
from application.assembly.use_cases import UseCases
from entrypoints.alive import API
from entrypoints.broker import queues_declared
from entrypoints.connections import open_container
from entrypoints.container import Container
from entrypoints.heartbeat import heard_of, noted_alive
from entrypoints.http.app import create_app
from entrypoints.http.authentication import Bearer
from entrypoints.http.rate_limits import RateLimits
from entrypoints.http.routes.ancestors.entrance import Ancestors
from entrypoints.http.routes.metrics import metrics_routes
from entrypoints.http.routes.route import Route
from entrypoints.http.server.access_log import open_access_log
from entrypoints.http.server.server import serve
from entrypoints.identity_provider import token_callers
from entrypoints.loops import Stop
from entrypoints.programs.caches import caches_kept, fence_watched
from entrypoints.programs.metrics import are_on_one_port, metrics_served
from entrypoints.programs.outages import ready_for_outages
from entrypoints.programs.starting import expect_keys, freeze_objects, tell_of_open_api, tell_of_servers
from entrypoints.readiness import open_readiness
from entrypoints.schema import schema_expected
from entrypoints.settings import Settings

# Called with the URL when the server answers there.
OnStarted = Callable[[str], None]

# Seconds. A worker holds the lock of an order for less, unless it is frozen or cut off. A request for such an order
# would keep all others in its batch waiting.
_LOCK_TIMEOUT: Final = 0.25


async def run_api(settings: Settings, stop: Stop, *, on_started: OnStarted, shared_port: bool = False) -> None:
    async with AsyncExitStack() as stack:
        container = await stack.enter_async_context(open_container(settings, lock_timeout=_LOCK_TIMEOUT, program=API))
        if settings.intake != "direct":
            await stack.enter_async_context(queues_declared(settings))
        await tell_of_servers(container)
        await stack.enter_async_context(schema_expected(container, stop))
        await stack.enter_async_context(heard_of(container.heartbeats(), API, last=container.last_heartbeat()))
        await stack.enter_async_context(metrics_served(container, API))
        await serve_http(container, stop, on_started=on_started, shared_port=shared_port)


async def serve_http(container: Container, stop: Stop, *, on_started: OnStarted, shared_port: bool = False) -> None:
    """Answer requests until the stop, and finish those in progress."""
    settings, use_cases = container.settings(), container.use_cases()

    def started(url: str) -> None:
        on_started(url)
        tell_of_open_api(settings)

    async with AsyncExitStack() as stack:
        await expect_keys(container)
        await stack.enter_async_context(noted_alive(API))
        sign_in = Bearer(
            use_cases.authenticate,
            required=settings.keys_required,
            tokens=token_callers(settings),
            proxies=settings.proxies,
            admin_password=settings.admin_password,
        )
        app = create_app(
            use_cases,
            await stack.enter_async_context(open_readiness(settings, container.redis())),
            request_timeout=settings.request_timeout.total_seconds(),
            max_body=settings.max_body,
            max_import=settings.max_import,
            cors_origins=settings.cors_origins,
            authenticate=sign_in,
            console=sign_in if settings.console else None,
            now=container.now(),
            rate_limits=RateLimits(container.rate_limiter(), settings.quotas) if settings.quotas else None,
            cursor_secret=settings.cursor_secret,
            telemetry=container.telemetry(),
            tracer=container.tracer(),
            metrics=_metrics(container),
            namespace=settings.namespace,
            ancestors=_ancestors(settings),
        )
        if settings.redis_url or settings.intake != "direct":
            await stack.enter_async_context(caches_kept(container.keep_caches()))
        if settings.redis_url:
            await stack.enter_async_context(fence_watched(container.cache_fence()))
        if settings.intake != "direct":
            await stack.enter_async_context(ready_for_outages(use_cases.refresh_prices, use_cases.shop_secret))
        await stack.enter_async_context(_waiting_until(stop, use_cases))
        freeze_objects()
        await serve(
            app,
            host=settings.host,
            port=settings.port,
            shutdown_timeout=settings.shutdown_timeout.total_seconds() * 0.8,
            on_started=started,
            stop=stop,
            shared_port=shared_port,
            access_log=stack.enter_context(
                open_access_log(settings.access_log_file, settings.access_log_format, settings.proxies)
            ),
            long_lived=lambda: use_cases.waiting,
            telemetry=container.telemetry(),
        )
        await use_cases.drained()


def _metrics(container: Container) -> Sequence[Route]:
    telemetry = container.telemetry()
    if not isinstance(telemetry, PrometheusTelemetry) or not are_on_one_port(container.settings()):
        return ()
    return metrics_routes(telemetry.rendered, CONTENT_TYPE)


def _ancestors(settings: Settings) -> Ancestors | None:
    if not settings.ancestors:
        return None
    return Ancestors(create=settings.ancestors_create, currency=settings.ancestors_currency)


@asynccontextmanager
async def _waiting_until(stop: Stop, use_cases: UseCases) -> AsyncGenerator[None, None]:
    """End streams and waits at once when the process is told to stop. Streams would never end by themselves."""

    async def close() -> None:
        await stop.wait()
        use_cases.stop_waiting()

    closing = asyncio.create_task(close())
    try:
        yield
    finally:
        use_cases.stop_waiting()
        closing.cancel()
