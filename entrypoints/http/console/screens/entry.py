"""Signing in and out, the theme, and the static files."""

from http import HTTPStatus
from typing import Final

from attrs import frozen
from quart import request
from werkzeug.exceptions import NotFound

from application.access.principal import Forbidden, Principal, Unauthenticated
from application.errors import Trouble
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.navigation import navigation_for
from entrypoints.http.console.pages import THEME_COOKIE, THEMES, see_other, static_reply
from entrypoints.http.console.requests import address, form, is_of_console
from entrypoints.http.console.sessions import COOKIE, MAX_TOKEN
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Open, Route

SIGN_IN: Final = "/console/sign-in"
HOME: Final = "/console"
_YEAR: Final = 31_536_000
_NOT_KEPT: Final = (
    "Your browser did not keep the session. It does so over https, and over http on this machine alone: open the"
    " console at an https address, or at http://127.0.0.1."
)

_ENDED: Final = "Your session had ended, so nothing was done. Sign in, and do it again on the page that you come from."


def entry_screens(kit: Kit) -> list[Route]:
    screens = _Screens(kit)
    return [
        Route("GET", HOME, Open.TO_CALLERS, screens.home),
        Route("GET", f"{HOME}/", Open.TO_ALL, screens.without_slash),
        Route("GET", SIGN_IN, Open.TO_ALL, screens.show),
        Route("POST", SIGN_IN, Open.TO_ALL, screens.sign_in),
        Route("POST", "/console/sign-out", Open.TO_ALL, screens.sign_out),
        Route("POST", "/console/theme", Open.TO_ALL, screens.theme),
        Route("GET", "/console/static/<path:name>", Open.TO_ALL, screens.static),
    ]


@frozen
class _Screens:
    _kit: Kit

    async def home(self, by: Principal) -> Reply:
        """The first screen that the caller may use."""
        groups = navigation_for(by)
        if not groups:
            raise Forbidden("no screen of the console can be used with this key: it has none of their scopes")
        return see_other(groups[0].entries[0].path)

    async def without_slash(self) -> Reply:
        return see_other(HOME)

    async def show(self) -> Reply:
        wanted = request.args.get("next", "")
        if "ended" in request.args:
            return self._form(wanted, problem=_ENDED, status=HTTPStatus.OK)
        if "kept" not in request.args:
            return self._form(wanted)
        if not request.cookies.get(COOKIE):
            return self._form(wanted, problem=_NOT_KEPT)
        return see_other(wanted if is_of_console(wanted) else HOME)

    async def sign_in(self) -> Reply:
        sent = await form()
        token, wanted = sent.get("key", "").strip(), sent.get("next", "")
        if len(token) > MAX_TOKEN:
            return self._form(wanted, problem=f"A key has at most {MAX_TOKEN} characters here.")
        try:
            by = await self._kit.sign_in.by_token(token, request)
            by.expect_shop()
        except Unauthenticated as error:
            return self._form(wanted, problem=f"This key does not let you in: {error}.")
        except Forbidden:
            return self._form(wanted, problem="This is the key of a customer. The console is for the shop.")
        session, cookie = self._kit.sessions.begin(token)
        self._kit.use_cases.console_sessions.begin(session)
        # The next page tells if the browser has not kept the cookie.
        return see_other(address(SIGN_IN, kept=1, next=wanted), ("Set-Cookie", cookie))

    async def sign_out(self) -> Reply:
        """End the session, also for a copy of its cookie. Whatever happens, this browser forgets it."""
        signed_in, done = self._kit.sessions.read(request.cookies.get(COOKIE)), "signed-out"
        if signed_in is not None:
            try:
                await self._kit.use_cases.console_sessions.end(signed_in.session)
            except Trouble:
                done = "signed-out-here"
        return see_other(address(SIGN_IN, done=done), ("Set-Cookie", self._kit.sessions.end()))

    async def theme(self) -> Reply:
        sent = await form()
        chosen, back = sent.get("theme"), sent.get("back", "")
        theme = chosen if chosen in THEMES else THEMES[0]
        cookie = f"{THEME_COOKIE}={theme}; Max-Age={_YEAR}; Path=/console; SameSite=Strict"
        return see_other(back if is_of_console(back) else HOME, ("Set-Cookie", cookie))

    async def static(self, name: str) -> Reply:
        file = self._kit.pages.static.get(name)
        if file is None:
            raise NotFound
        return static_reply(file)

    def _form(self, wanted: str, problem: str = "", status: HTTPStatus | None = None) -> Reply:
        if status is None:
            status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
        shown = wanted if is_of_console(wanted) else ""
        return self._kit.pages.page("sign_in.html", status=status, wanted=shown, problem=problem)
