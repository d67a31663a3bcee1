"""Every route with every key that it must not let in, and with each scope alone, on the service as it runs."""

import asyncio
import json
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import IPv4Address
from itertools import count
from time import time
from typing import Any, Final

import httpx
from attrs import frozen

from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, Scope
from entrypoints.http.console.screens.entry import SIGN_IN
from entrypoints.http.routes.route import Open, Route
from tests.http import test_console as console
from tests.http.test_access import BODIES, NEEDS_MORE, NOWHERE, ROUTES, address, body_for, scopes_of
from tests.service import Service, until
from tests.unit.adapters import test_jwt as tokens_of
from tests.unit.shop import Shop

# From one address, a few guesses a minute are answered. Each request comes from another one, as far as the API sees.
ADDRESSES: Iterator[IPv4Address] = map(IPv4Address, count(int(IPv4Address("198.18.0.1"))))
NOBODY: Final = ("nothing", "mistyped", "unknown", "revoked", "expired", "expired token")
# What each key is made with, by the name that it has here.
KEYS: Final[Mapping[str, Mapping[str, Any]]] = {
    "revoked": {"role": "admin"},
    **{user_id: {"role": "customer", "user_id": user_id} for user_id in ("1", "2")},
    **{scope: {"role": "admin", "scopes": [scope]} for scope in Scope},
    **{f"all but {scope}": {"role": "admin", "scopes": sorted(ALL_SCOPES - {scope})} for scope in Scope},
}


@frozen
class Callers:
    """Those who ask, by name. `nothing` sends no key."""

    _client: httpx.AsyncClient
    _tokens: dict[str, str]

    async def ask(self, who: str, route: Route, order_id: str = NOWHERE) -> httpx.Response:
        return await self.send(who, route.method, address(route, order_id), body_for(route))

    async def ask_as(self, all_of: Collection[str], route: Route, order_id: str = NOWHERE) -> dict[str, httpx.Response]:
        """The answer to each of them, who ask at once."""
        answers = await asyncio.gather(*(self.ask(who, route, order_id) for who in all_of))
        return dict(zip(all_of, answers, strict=True))

    async def send(self, who: str, method: str, path: str, body: bytes = b"") -> httpx.Response:
        key = {} if who == "nothing" else {"Authorization": f"Bearer {self._tokens[who]}"}
        headers = {"X-Forwarded-For": str(next(ADDRESSES)), "Content-Type": "application/json"} | key
        return await self._client.request(method, path, headers=headers, content=body)

    async def visit(self, cookie: str, method: str, path: str, **form: str) -> httpx.Response:
        headers = {"X-Forwarded-For": str(next(ADDRESSES)), "Cookie": cookie, "Origin": str(self._client.base_url)}
        return await self._client.request(method, path, headers=headers, data=form or None)

    async def signed_in(self, who: str) -> str:
        """The cookie of a session of the console, or nothing if there is none for this key."""
        answer = await self.visit("", "POST", SIGN_IN, key=self._tokens.get(who, ""))
        return answer.headers.get("Set-Cookie", "").partition(";")[0]


async def test_no_route_lets_in_whom_it_should_not_embedded(migrated: Service) -> None:
    await expect_closed(migrated, "up")


async def test_no_route_lets_in_whom_it_should_not_on_servers(on_servers: Service) -> None:
    await expect_closed(on_servers, "worker", "relay", "api")


async def expect_closed(service: Service, *programs: str) -> None:
    """The last of the programs is the one that answers."""
    provider = service.folder / "provider.json"
    provider.write_text(json.dumps({"keys": tokens_of.KEYS}))
    service.settings |= {
        "HOLDFAST_JWT_ISSUER": tokens_of.ISSUER.issuer,
        "HOLDFAST_JWT_AUDIENCE": tokens_of.ISSUER.audience,
        "HOLDFAST_JWT_KEYS": str(provider),
        "HOLDFAST_AUTH": "required",
        "HOLDFAST_TRUSTED_PROXIES": "127.0.0.1",
        "HOLDFAST_RATE_LIMIT": "off",
    }
    made = await asyncio.to_thread(service.run, "keys", "create", "--role", "admin", "--name", "ana", seconds=120)
    [ana] = [line for line in made.splitlines() if line.startswith("hf_")]
    *others, serving = programs
    for program in others:
        service.start(program)
    # With this the API serves its metrics as a route of its own.
    service.settings["HOLDFAST_METRICS_PORT"] = str(service.port)
    await asyncio.to_thread(service.start_all, [serving])
    async with httpx.AsyncClient(base_url=service.url, timeout=120) as client:
        tokens = {"ana": ana, "mistyped": f"{ana[:-1]}_", "unknown": "hf_live_admin_" + "x" * 38}
        tokens |= {"token of 1": tokens_of.token(sub="1"), "expired token": tokens_of.token(sub="1", exp=time() - 3600)}
        callers = Callers(client, tokens)
        soon = {"expired": {"role": "admin", "expires_at": (datetime.now(UTC) + timedelta(seconds=5)).isoformat()}}
        for name, wish in (soon | KEYS).items():
            body = json.dumps({"name": name, **wish}).encode()
            made = await callers.send("ana", "POST", "/keys", body)
            assert made.status_code == HTTPStatus.CREATED, (name, made.text)
            tokens[name] = made.json()["token"]
        # Embedded, the shop has it already.
        pen = b'{"id": 1, "name": "pen", "price": 1250, "currency": "EUR", "stock": 100}'
        added = await callers.send("ana", "POST", "/products", pen)
        assert added.status_code in {HTTPStatus.CREATED, HTTPStatus.CONFLICT}, added.text
        placed = (await callers.send("1", "POST", "/orders", BODIES["/orders"])).json()
        session = await callers.signed_in("revoked")
        assert session
        await end_keys(callers, tokens["revoked"])

        guarded = [route for route in ROUTES.values() if route.access is not Open.TO_ALL]
        for route in guarded:
            await expect_nobody_let_in(callers, route, placed["order_id"])
            await expect_no_customer_let_in(callers, route, placed["order_id"])
        for who in ("1", "token of 1"):
            now = await callers.send(who, "GET", f"/orders/{placed['order_id']}")
            assert now.json() == placed
        for route in guarded:
            await expect_its_scopes_alone_let_in(callers, route)
        await expect_closed_console(callers, session)


async def end_keys(callers: Callers, revoked: str) -> None:
    """Wait until the one key is revoked and the other has expired, for the process that is asked."""
    id_ = revoked.removeprefix("hf_live_admin_")[:12]
    assert (await callers.send("ana", "DELETE", f"/keys/{id_}")).status_code == HTTPStatus.NO_CONTENT

    async def are_dead() -> bool:
        answers = [await callers.send(who, "GET", "/products") for who in ("revoked", "expired")]
        return {answer.status_code for answer in answers} == {HTTPStatus.UNAUTHORIZED}

    await until(are_dead, seconds=60, what="the keys are dead")


async def expect_nobody_let_in(callers: Callers, route: Route, order_id: str) -> None:
    for who, answer in (await callers.ask_as(NOBODY, route, order_id)).items():
        assert answer.status_code == HTTPStatus.UNAUTHORIZED, (route.method, route.path, who, answer.text)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def expect_no_customer_let_in(callers: Callers, route: Route, order_id: str) -> None:
    """Neither another one, for whom the order does not exist, nor anyone to what is the shop's."""
    refused = {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
    if "<order_id>" in route.path or "<user_id>" in route.path:
        answer, unknown = [await callers.ask("2", route, id_) for id_ in (order_id, NOWHERE)]
        assert answer.status_code in refused, (route.method, route.path, answer.text)
        assert told(answer, order_id) == told(unknown, NOWHERE), (route.method, route.path)
    if (scopes := scopes_of(route)) and scopes.isdisjoint(CUSTOMER_SCOPES):
        answer = await callers.ask("1", route, order_id)
        assert answer.status_code == HTTPStatus.FORBIDDEN, (route.method, route.path, answer.text)


def told(answer: httpx.Response, order_id: str) -> object:
    body = json.loads(answer.text.replace(order_id, NOWHERE))
    return answer.status_code, {name: value for name, value in body.items() if name != "request_id"}


async def expect_its_scopes_alone_let_in(callers: Callers, route: Route) -> None:
    """Each key that lacks them is told which they are, however many others it has."""
    scopes = scopes_of(route)
    lacking = {*(ALL_SCOPES - scopes), *(f"all but {scope}" for scope in scopes if len(scopes) == 1)}
    for who, answer in (await callers.ask_as(lacking if scopes else (), route)).items():
        assert answer.status_code == HTTPStatus.FORBIDDEN, (route.method, route.path, who, answer.text)
        assert all(scope in answer.text for scope in scopes), (route.method, route.path, who, answer.text)
    for who, answer in (await callers.ask_as(scopes or ALL_SCOPES, route)).items():
        assert answer.status_code != HTTPStatus.UNAUTHORIZED, (route.method, route.path, who, answer.text)
        # An operation may need more, and refuse by other rules.
        more = route.path in NEEDS_MORE or who == Scope.REFUNDS_WRITE or "reset_not_allowed" in answer.text
        assert answer.status_code != HTTPStatus.FORBIDDEN or more, (route.method, route.path, who, answer.text)


async def expect_closed_console(callers: Callers, session_of_revoked: str) -> None:
    for who in (*NOBODY, "1", "2"):
        assert not await callers.signed_in(who), who
    sessions = {scope: await callers.signed_in(scope) for scope in Scope}
    routes = await console.routes_of(console.app_for(Shop()))
    for route in routes.values():
        if route.access is Open.TO_ALL:
            continue
        path = console.address(route)
        for cookie in ("", session_of_revoked):
            answer = await callers.visit(cookie, route.method, path)
            assert answer.status_code == HTTPStatus.SEE_OTHER, (route.method, path, answer.text)
            assert answer.headers["Location"].startswith(SIGN_IN)
        lacking = ALL_SCOPES - scopes_of(route) if scopes_of(route) else frozenset()
        answers = await asyncio.gather(*(callers.visit(sessions[scope], route.method, path) for scope in lacking))
        for scope, answer in zip(lacking, answers, strict=True):
            assert answer.status_code == HTTPStatus.FORBIDDEN, (route.method, path, scope, answer.text)
