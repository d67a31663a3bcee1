"""The console as an application of its own behind `/console`: pages for the person on duty.

Its screens call the use cases that the API calls, as the person who has signed in.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import quote

import structlog
from attrs import define, field
from quart import Quart, Request, Response, request
from werkzeug.exceptions import MethodNotAllowed

from application.access.principal import Unauthenticated
from application.assembly.use_cases import UseCases
from application.execution.working_for import request_id
from application.ports.environment import Clock
from entrypoints.http.console.entrance import SignIn
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.pages import Pages, see_other
from entrypoints.http.console.parts import QUERY_TIMEOUT, Parts
from entrypoints.http.console.requests import address, expect_own_origin, page_before, page_of_request
from entrypoints.http.console.screens.audit import audit_screen
from entrypoints.http.console.screens.bulk_operations import bulk_operations_screens
from entrypoints.http.console.screens.dead_letters import dead_letters_screens
from entrypoints.http.console.screens.entry import SIGN_IN, entry_screens
from entrypoints.http.console.screens.flow import flow_screen
from entrypoints.http.console.screens.jobs import jobs_screen
from entrypoints.http.console.screens.keys import keys_screen
from entrypoints.http.console.screens.live import live_screen
from entrypoints.http.console.screens.now import now_screen
from entrypoints.http.console.screens.order import order_screen
from entrypoints.http.console.screens.orders import orders_screen
from entrypoints.http.console.screens.reconciliations import reconciliations_screen
from entrypoints.http.console.screens.stock import stock_screen
from entrypoints.http.console.screens.webhooks import webhooks_screen
from entrypoints.http.console.sessions import Sessions
from entrypoints.http.cursors import Cursors
from entrypoints.http.headers import SAFE_METHODS
from entrypoints.http.measuring import MeasureRequests
from entrypoints.http.problem_table import kind_of
from entrypoints.http.problems import headers_of, problem_of
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Open, Route, expect_access
from entrypoints.http.server.connection import LeanQuart
from entrypoints.readiness import CheckReadiness

_log: Final = structlog.get_logger("holdfast.console")
# Seconds for a page whose parts have `QUERY_TIMEOUT` each.
_PAGE_TIMEOUT: Final = QUERY_TIMEOUT + 0.5


def console_app(  # noqa: PLR0913 - each is given by name
    use_cases: UseCases,
    sign_in: SignIn,
    check_readiness: CheckReadiness,
    *,
    secret: bytes,
    namespace: str,
    request_timeout: float,
    max_body: int,
    measure: MeasureRequests,
    now: Clock,
) -> Quart:
    """Return the console over these use cases. A change takes `request_timeout` seconds at most, a page less."""
    kit = Kit(
        use_cases=use_cases,
        pages=Pages.load(namespace=namespace, is_open=not sign_in.required),
        parts=Parts(now),
        cursors=Cursors(secret),
        sessions=Sessions(secret, now),
        sign_in=sign_in,
        check_readiness=check_readiness,
        now=now,
    )
    app = _ConsoleApp(__name__, static_folder=None, template_folder=None)
    app.kit = kit
    app.request_timeout = request_timeout
    app.measure = measure
    app.url_map.merge_slashes = False
    app.response_class = Reply
    app.config["MAX_CONTENT_LENGTH"] = max_body
    app.config["BODY_TIMEOUT"] = request_timeout / 2
    app.config["RESPONSE_TIMEOUT"] = None
    app.register_error_handler(Exception, _ErrorPages(kit).answer)
    # A new screen is a file in screens/, a line here, and a line in navigation.py.
    every = (
        *entry_screens(kit),
        *live_screen(kit),
        *now_screen(kit),
        *flow_screen(kit),
        *orders_screen(kit),
        *order_screen(kit),
        *stock_screen(kit),
        *webhooks_screen(kit),
        *jobs_screen(kit),
        *dead_letters_screens(kit),
        *bulk_operations_screens(kit),
        *reconciliations_screen(kit),
        *audit_screen(kit),
        *keys_screen(kit),
    )
    app.routes = {f"{route.method} {route.path}": route for route in every}
    for endpoint, route in app.routes.items():
        app.add_url_rule(
            route.path,
            endpoint=endpoint,
            view_func=route.handler,
            methods=[route.method],
            provide_automatic_options=False,
        )
    return app


class _ConsoleApp(LeanQuart):
    kit: Kit
    request_timeout: float
    # By the name of their endpoint.
    routes: dict[str, Route]

    async def dispatch_request(self, request_context: Any = None) -> Any:
        sent = cast(Request, request_context.request)
        if sent.routing_exception is not None:
            raise sent.routing_exception
        route = self.routes[cast(Any, sent.url_rule).endpoint]
        is_safe = sent.method in SAFE_METHODS
        async with asyncio.timeout(_PAGE_TIMEOUT if is_safe else self.request_timeout):
            if not is_safe:
                expect_own_origin(sent)
            if route.access is not Open.TO_ALL:
                by = await self.kit.caller(sent)
                # The handler takes it by this name.
                cast(dict[str, Any], sent.view_args)["by"] = by
                expect_access(by, route.access)
            reply = await super().dispatch_request(request_context)
        self.kit.parts.worked(sent.path)
        return reply


@define(eq=False)
class _ErrorPages:
    """Turns an exception into a page that says what was wrong and what to do, and logs what is an error of ours."""

    _kit: Kit
    _logged: set[str] = field(factory=set, init=False)

    async def answer(self, error: Exception) -> Response:
        if isinstance(error, Unauthenticated):
            return self._to_sign_in()
        if isinstance(error, MethodNotAllowed) and request.method in SAFE_METHODS:
            # Somebody asks once more for what an act has answered: the page of what it was about.
            return see_other(page_of_request(request).partition("?")[0].rpartition("/")[0])
        kind = kind_of(error)
        if kind.status is HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("page failed", request=f"{request.method} {request.path}", exc_info=error)
        is_safe = request.method in SAFE_METHODS
        is_unknown = kind.status is HTTPStatus.SERVICE_UNAVAILABLE and is_safe
        problem = problem_of(kind, error, request_id=request_id() or "")
        return self._kit.pages.page(
            "error.html",
            (request.view_args or {}).get("by"),
            status=HTTPStatus(problem.status),
            headers=tuple(headers_of(kind, error)),
            problem=problem,
            unknown_since=self._kit.parts.failed(request.path) if is_unknown else None,
            is_too_slow=isinstance(error, TimeoutError),
            # Said of an act that was refused. The page on which it was asked for shows how things stand now.
            nothing_done=not is_safe and problem.status < HTTPStatus.INTERNAL_SERVER_ERROR,
            before="" if is_safe else page_before(request),
        )

    def _to_sign_in(self) -> Response:
        if "HX-Request" in request.headers:
            return see_other_by_script(address(SIGN_IN, next=page_before(request)))
        if request.method not in SAFE_METHODS:
            # The page on which the act was asked for is where it can be done again.
            return see_other(address(SIGN_IN, next=page_before(request), ended=1))
        wanted = page_of_request(request)
        if request.headers.get("Sec-Fetch-Site", "none") in {"cross-site", "same-site"}:
            # Whoever follows a link of another site comes without the cookie, which is `SameSite=Strict`. The browser
            # sends it when it comes from here.
            return self._kit.pages.page("onward.html", headers=(("Refresh", f"0; url={wanted}"),), wanted=wanted)
        return see_other(f"{SIGN_IN}?next={quote(wanted)}" if wanted != "/console" else SIGN_IN)


def see_other_by_script(path: str) -> Reply:
    """Send the page itself elsewhere, where htmx asked for a part of it."""
    reply = see_other(path, ("HX-Redirect", path))
    reply.status_code = HTTPStatus.UNAUTHORIZED
    return reply
