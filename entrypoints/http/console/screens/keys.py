"""Who may call the API."""

from typing import Final

from attrs import frozen

from application.access.manage_keys import NewKey
from application.access.principal import Principal
from application.access.scopes import ROLES, Role, Scope
from entrypoints.http import query
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.pages import see_other
from entrypoints.http.console.requests import address, choice, form, hours, parameters
from entrypoints.http.ids import customer_id_of
from entrypoints.http.pages import page_of
from entrypoints.http.refusals import in_body
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

PATH: Final = "/console/keys"
_PARAMETERS: Final = {"cursor": query.cursor}


def keys_screen(kit: Kit) -> list[Route]:
    screen = _Screen(kit)
    return [
        Route("GET", PATH, Scope.KEYS_WRITE, screen.show),
        Route("POST", PATH, Scope.KEYS_WRITE, screen.create),
        Route("POST", f"{PATH}/<key_id>/rotate", Scope.KEYS_WRITE, screen.rotate),
        Route("POST", f"{PATH}/<key_id>/revoke", Scope.KEYS_WRITE, screen.revoke),
    ]


@frozen
class _Screen:
    _kit: Kit

    async def show(self, by: Principal) -> Reply:
        page = await page_of(
            self._kit.cursors.of_keys(),
            parameters(_PARAMETERS),
            lambda after, limit: self._kit.use_cases.list_keys(by, after=after, limit=limit),
            lambda key: key.id,
        )
        return self._kit.pages.page("keys.html", by, page=page, roles=ROLES, now=self._kit.now())

    async def create(self, by: Principal) -> Reply:
        sent = await form()
        new = NewKey(
            name=sent.get("name", "").strip(),
            role=Role(choice(sent, "role", list(Role))),
            user_id=customer_id_of(sent["user_id"], in_body) if sent.get("user_id") else None,
            networks=tuple(sent.get("networks", "").replace(",", " ").split()),
            expires_at=self._kit.now() + hours(sent, "days", each=24) if sent.get("days") else None,
        )
        issued = await self._kit.use_cases.create_key(by, new)
        # No redirect: the key is shown this once, and stands in no address.
        return self._kit.pages.page("key_issued.html", by, key=issued.key, token=issued.token, replaces=None)

    async def rotate(self, by: Principal, key_id: str) -> Reply:
        issued = await self._kit.use_cases.rotate_key(by, key_id, overlap=hours(await form(), "hours"))
        return self._kit.pages.page("key_issued.html", by, key=issued.key, token=issued.token, replaces=key_id)

    async def revoke(self, by: Principal, key_id: str) -> Reply:
        await self._kit.use_cases.revoke_key(by, key_id)
        return see_other(address(PATH, done="key-revoked"))
