import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from attrs import define, field
from quart import Quart, Request, Response, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import MapAdapter, Rule

from application.access.principal import Principal
from application.assembly.use_cases import UseCases
from application.errors import Trouble
from application.ports.environment import Clock
from application.ports.telemetry import NoTelemetry, Telemetry, Tracer
from entrypoints.http.accept import preferred
from entrypoints.http.all_errors import all_errors
from entrypoints.http.console.entrance import Console, SignIn, is_console
from entrypoints.http.cors import Cors
from entrypoints.http.cursors import Cursors
from entrypoints.http.decoding import read_body
from entrypoints.http.digests import expect_digests
from entrypoints.http.fixed_words import APART_FROM, ApartFrom, rules_of
from entrypoints.http.guards import refuse_what_is_not_honoured
from entrypoints.http.idempotency import RefusedBefore, replayed
from entrypoints.http.measuring import MeasureRequests
from entrypoints.http.problem_table import kind_of
from entrypoints.http.query import parameters
from entrypoints.http.rate_limits import RateLimits, headers_in
from entrypoints.http.refusals import InvalidHeader, NothingToGuard
from entrypoints.http.replies import Reply, Wording, no_content, refuse
from entrypoints.http.routes.admin import admin_routes
from entrypoints.http.routes.ancestors.entrance import PREFIX, Ancestors, ancestors_routes
from entrypoints.http.routes.audit import audit_routes
from entrypoints.http.routes.bulk import bulk_routes
from entrypoints.http.routes.carts import carts_routes
from entrypoints.http.routes.dead_letters import dead_letters_routes
from entrypoints.http.routes.documents import documents_routes
from entrypoints.http.routes.events import events_routes
from entrypoints.http.routes.exports import exports_routes
from entrypoints.http.routes.health import health_routes
from entrypoints.http.routes.imports import imports_routes
from entrypoints.http.routes.jobs import jobs_routes
from entrypoints.http.routes.keys import keys_routes
from entrypoints.http.routes.messages import messages_routes
from entrypoints.http.routes.order_lists import order_lists_routes
from entrypoints.http.routes.orders import orders_routes
from entrypoints.http.routes.problems import problems_routes
from entrypoints.http.routes.products import products_routes
from entrypoints.http.routes.reconciliations import reconciliation_routes
from entrypoints.http.routes.route import Open, Route, expect_access
from entrypoints.http.routes.webhooks import webhooks_routes
from entrypoints.http.server.connection import LeanQuart
from entrypoints.http.tracing import TraceRequests
from entrypoints.readiness import CheckReadiness

# Returns who makes a request. Raises `Unauthenticated`.
Authenticate = Callable[[Request], Awaitable[Principal]]

_log: Final = structlog.get_logger("holdfast.http")
# The most characters of an idempotency key.
_LONGEST_KEY: Final = 255


def _now() -> datetime:
    return datetime.now(UTC)


def create_app(  # noqa: PLR0913 - each is a setting, given by name
    use_cases: UseCases,
    check_readiness: CheckReadiness,
    *,
    authenticate: Authenticate,
    rate_limits: RateLimits | None = None,
    cursor_secret: bytes,
    telemetry: Telemetry | None = None,
    tracer: Tracer | None = None,
    metrics: Sequence[Route] = (),
    namespace: str = "holdfast",
    request_timeout: float = 10.0,
    max_body: int = 65536,
    max_import: int = 1024**3,
    cors_origins: Collection[str] = (),
    ancestors: Ancestors | None = None,
    console: SignIn | None = None,
    now: Clock = _now,
) -> Quart:
    """Return the HTTP interface to these use cases.

    Every response is sent within `request_timeout` seconds. A body has at most `max_body` bytes, and must arrive within
    half of that time. A file that is imported has at most `max_import` bytes. `cursor_secret` has at most 64 bytes.
    `namespace` is that of the events. Pages of the `cors_origins` may call it from a browser; `*` stands for all. With
    `ancestors`, clients of the systems that came before this one find their requests here.
    `metrics` are the routes to them, where there are any. `console` lets people into the console, where there is one.
    """
    cursors = Cursors(cursor_secret)
    app = _Api(__name__, static_folder=None, template_folder=None)
    app.request_timeout = request_timeout
    app.measure = MeasureRequests(telemetry or NoTelemetry())
    app.trace = None if tracer is None else TraceRequests(tracer)
    app.authenticate = authenticate
    app.rate_limits = rate_limits
    app.cors = Cors(cors_origins) if cors_origins else None
    # A path has one spelling. Any other spelling gets 404, not a redirect with an HTML page.
    app.url_map.merge_slashes = False
    app.url_map.converters[APART_FROM] = ApartFrom
    app.response_class = Reply
    app.config["MAX_CONTENT_LENGTH"] = max_body
    app.config["BODY_TIMEOUT"] = request_timeout / 2
    # With a timeout, Quart would start a task for each response. The server itself handles clients that don't read.
    app.config["RESPONSE_TIMEOUT"] = None
    if console is not None:
        app.console = Console(
            partial(
                _make_console,
                use_cases,
                console,
                check_readiness,
                secret=cursor_secret,
                namespace=namespace,
                request_timeout=request_timeout,
                max_body=max_body,
                measure=app.measure,
                now=now,
            )
        )
    # A new resource is a file in routes/ and a line here.
    app.routes = {}
    app.register_error_handler(Exception, _Refusals(app.routes).answer)
    lists = (
        *orders_routes(use_cases),
        *order_lists_routes(use_cases, cursors),
        *products_routes(use_cases, cursors),
        *keys_routes(use_cases, cursors),
        *audit_routes(use_cases, cursors),
        *messages_routes(use_cases, cursors),
        *jobs_routes(use_cases, cursors),
        *exports_routes(use_cases),
        *imports_routes(use_cases, max_import),
        *webhooks_routes(use_cases, cursors),
        *dead_letters_routes(use_cases, cursors),
        *bulk_routes(use_cases, cursors),
        *reconciliation_routes(use_cases, cursors),
        *admin_routes(use_cases),
    )
    open_routes = (*problems_routes(), *health_routes(check_readiness), *documents_routes(namespace, app.routes))
    more = () if ancestors is None else ancestors_routes(use_cases, check_readiness, ancestors, namespace)
    every = (*lists, *metrics, *carts_routes(use_cases), *events_routes(use_cases, authenticate), *open_routes, *more)
    rules = rules_of({route.path for route in every})
    for route in every:
        endpoint = f"{route.method} {route.path}"
        app.routes[endpoint] = route
        app.add_url_rule(
            rules[route.path],
            endpoint=endpoint,
            view_func=route.handler,
            methods=[route.method],
            provide_automatic_options=False,
        )
    return app


def _make_console(use_cases: UseCases, sign_in: SignIn, check_readiness: CheckReadiness, **options: Any) -> Quart:
    # No start of the API, and no command, waits for what the pages need.
    from entrypoints.http.console.app import console_app  # noqa: PLC0415

    return console_app(use_cases, sign_in, check_readiness, **options)


class _Api(LeanQuart):
    request_timeout: float
    authenticate: Authenticate
    rate_limits: RateLimits | None
    # By the name of their endpoint.
    routes: dict[str, Route]
    console: Console | None = None

    async def asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle a request, or hand it to the console."""
        if self.console is not None and scope["type"] == "http" and is_console(scope["raw_path"]):
            await (await self.console.app()).asgi_app(scope, receive, send)
        else:
            await super().asgi_app(scope, receive, send)

    # The context is a RequestContext of Quart 0.22, and an AppContext of 0.23. Both have the request itself, which is
    # cheaper than its proxy.
    async def dispatch_request(self, request_context: Any = None) -> Reply:
        """Let the route answer, within the time that it has: no handler can forget a timeout that is set here."""
        sent = cast(Request, request_context.request)
        if sent.method == "OPTIONS":
            return self._options(sent)
        if sent.routing_exception is not None:
            raise sent.routing_exception
        route = self.routes[cast(Rule, sent.url_rule).endpoint]
        waits = route.waits_for(sent.query_string) if route.waits else 0.0
        # A file takes as long as it takes, while parts of it arrive.
        async with asyncio.timeout(None if route.takes else self.request_timeout + waits):
            if await self._check(sent, route):
                expect_digests(sent.headers, await read_body())
            reply = await route.handler(**cast(dict[str, Any], sent.view_args))
            if waits:
                await self._look_again(sent, route)
            if limits := headers_in(sent):
                reply.headers.extend(limits)
            return reply

    async def _look_again(self, request: Request, route: Route) -> None:
        """Refuse the answer to a request that has waited, if its key has been revoked meanwhile."""
        # While the database is gone, the key counts as what it was, as with any request.
        with suppress(Trouble):
            expect_access(await self.authenticate(request), route.access)

    def _options(self, request: Request) -> Reply:
        """Return what may be done at an address, also to a browser that asks for a page of another origin."""
        if request.routing_exception is not None and not isinstance(request.routing_exception, MethodNotAllowed):
            raise request.routing_exception
        adapter = cast(MapAdapter, self.create_url_adapter(request))
        methods = ", ".join(sorted({*adapter.allowed_methods(), "OPTIONS"}))
        origin = request.headers.get("Origin", "")
        asked = origin and "Access-Control-Request-Method" in request.headers
        return no_content(("Allow", methods), *(self.cors.preflight(origin, methods) if self.cors and asked else ()))

    async def _check(self, request: Request, route: Route) -> bool:
        """Refuse a request that its caller may not make, or that asks for what its route does not do.

        Return whether its body is to be read and compared with digests.
        """
        if route.access is not Open.TO_ALL:
            by = await self.authenticate(request)
            if self.rate_limits is not None:
                await self.rate_limits.take(by, request)
            expect_access(by, route.access)
            # The handler takes it by this name.
            cast(dict[str, Any], request.view_args)["by"] = by
        preferred(request.headers.get("Accept"), route.produces)
        if request.query_string and not route.parameters:
            parameters(request.query_string, route.parameters)
        has_digests = refuse_what_is_not_honoured(request.method, request.headers, honoured=route.honours)
        # A file is compared with them as it arrives.
        return has_digests and not route.takes


def _facts() -> Mapping[str, str]:
    """What the log names a request by, beside its id: its idempotency key, and the order that it is about."""
    key, order_id = request.headers.get("Idempotency-Key"), (request.view_args or {}).get("order_id")
    found = {"key": key[:_LONGEST_KEY] if key else None, "order_id": None if order_id is None else str(order_id)}
    return {name: value for name, value in found.items() if value is not None}


@define(eq=False)
class _Refusals:
    """Turns an exception into a response, and logs the errors that are not the client's.

    While a server is down, every request fails. So each kind of temporary problem is logged at most once a second.
    """

    _routes: Mapping[str, Route]
    _logged_at: dict[str, float] = field(factory=dict, init=False)

    async def answer(self, error: Exception) -> Response:
        rule = request.url_rule
        route = None if rule is None else self._routes[rule.endpoint]
        was_refused_before = isinstance(error, RefusedBefore)
        if isinstance(error, RefusedBefore):
            error = error.refusal
        errors = () if route is None else await all_errors(error, request, route)
        if isinstance(error, NothingToGuard) and len(errors) > len(error.errors):
            # RFC 9110, section 13.2.1: a precondition is ignored where the request would be refused without it.
            error = InvalidHeader(*errors)
        kind = kind_of(error)
        where = f"{request.method} {request.path}"
        if kind.status is HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("request failed", request=where, **_facts(), exc_info=error)
        elif kind.status is HTTPStatus.SERVICE_UNAVAILABLE:
            now = asyncio.get_running_loop().time()
            if now - self._logged_at.get(kind.code, float("-inf")) >= 1.0:
                self._logged_at[kind.code] = now
                _log.warning("request not served", request=where, code=kind.code, reason=str(error), **_facts())
        refusal = refuse(error, errors, wording=self._wording_of(request.path) if route is None else route.wording)
        refusal.headers.extend(headers_in(request))
        return replayed(refusal) if was_refused_before else refusal

    def _wording_of(self, path: str) -> Wording | None:
        """Return how it is said that there is no such route: behind the prefix of another system in its words, too."""
        if not path.startswith(PREFIX):
            return None
        prefix = PREFIX + path[len(PREFIX) :].partition("/")[0] + "/"
        return next((route.wording for route in self._routes.values() if route.path.startswith(prefix)), None)
