from collections.abc import Iterable, Mapping

from attrs import frozen
from quart import Request

from application.access.principal import ANYBODY, Principal, Unauthenticated
from application.assembly.use_cases import UseCases
from application.ports.environment import Clock
from entrypoints.http.console.entrance import SignIn
from entrypoints.http.console.pages import Pages
from entrypoints.http.console.parts import Parts
from entrypoints.http.console.sessions import COOKIE, Sessions
from entrypoints.http.cursors import Cursors
from entrypoints.readiness import CheckReadiness


@frozen(kw_only=True)
class Kit:
    """What the screens are made of."""

    use_cases: UseCases
    pages: Pages
    parts: Parts
    cursors: Cursors
    sessions: Sessions
    sign_in: SignIn
    check_readiness: CheckReadiness
    now: Clock

    async def names_of(self, by: Principal, key_ids: Iterable[str]) -> Mapping[str, str]:
        """Return the names of these keys, as far as they are known."""
        wanted = set(key_ids)
        if not wanted:
            return {}
        return (await self.parts.ask("names of keys", self.use_cases.name_keys(by, wanted))).value or {}

    async def caller(self, sent: Request) -> Principal:
        """Return who looks at the page. Raise `Unauthenticated`, `Forbidden` for a customer, or `Trouble`."""
        signed_in = self.sessions.read(sent.cookies.get(COOKIE))
        if signed_in is None or not await self.use_cases.console_sessions.is_open(signed_in.session):
            if self.sign_in.required:
                raise Unauthenticated("sign in first")
            return ANYBODY
        by = await self.sign_in.by_token(signed_in.token, sent)
        by.expect_shop()
        return by
