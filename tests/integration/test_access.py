"""Keys on a service as it runs: from the start that is refused, to the key that another process has revoked."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

import httpx

from application.access.scopes import CUSTOMER_SCOPES
from entrypoints.http.routes.route import Open, Route
from tests.http.browser import app_over
from tests.http.test_access import NOWHERE, scopes_of
from tests.service import Service, until
from tests.unit.shop import Shop

ROUTES: list[Route] = list(app_over(Shop().use_cases).routes.values())  # type: ignore[attr-defined]
# From one address, a few guesses a minute are answered. Each request comes from another one, as far as the API sees.
ADDRESSES: Iterator[IPv4Address] = map(IPv4Address, count(int(IPv4Address("198.18.0.1"))))


async def test_a_service_asks_for_a_key_from_its_first_start_to_the_last_request(tmp_path: Path) -> None:
    service = Service(folder=tmp_path, settings={"HOLDFAST_AUTH": "required"})
    try:
        status, printed = await asyncio.to_thread(service.try_to_run, "up", seconds=60)
        assert status == 1
        assert "holdfast keys create --role admin --name NAME" in printed
        assert "Traceback" not in printed

        made = await asyncio.to_thread(service.run, "keys", "create", "--role", "admin", "--name", "ana", seconds=60)
        [key] = [line for line in made.splitlines() if line.startswith("hf_live_admin_")]
        key_id = key.removeprefix("hf_live_admin_")[:12]
        await asyncio.to_thread(service.start_all, ["up"])
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            assert (await client.get("/products")).status_code == httpx.codes.UNAUTHORIZED
            client.headers["Authorization"] = f"Bearer {key}"
            assert (await client.get("/products")).status_code == httpx.codes.OK

            # The command is a process of its own, and tells the other one nothing.
            await asyncio.to_thread(service.run, "keys", "revoke", key_id, seconds=60)

            async def is_dead() -> bool:
                return (await client.get("/products")).status_code == httpx.codes.UNAUTHORIZED

            await until(is_dead, seconds=60, what="the revoked key is dead")
        listed = await asyncio.to_thread(service.run, "keys", "list", seconds=60)
        assert key not in listed
        [line] = [line for line in listed.splitlines() if line.startswith(key_id)]
        assert "revoked" in line
        assert "never" not in line
    finally:
        service.kill()


def make_key(service: Service, *options: str) -> str:
    printed = service.run("keys", "create", "--name", "test", *options, seconds=120)
    [key] = [line for line in printed.splitlines() if line.startswith("hf_")]
    return key


async def test_no_route_lets_in_whom_it_should_not_embedded(migrated: Service) -> None:
    await expect_closed(migrated, ["up"])


async def test_no_route_lets_in_whom_it_should_not_on_servers(on_servers: Service) -> None:
    await expect_closed(on_servers, ["api", "worker", "relay"])


async def expect_closed(service: Service, programs: Sequence[str]) -> None:
    """Try every route with each key that must not be let in there."""
    service.settings |= {"HOLDFAST_AUTH": "required", "HOLDFAST_TRUSTED_PROXIES": "127.0.0.1"}
    of_role = {name: ("--role", name) for name in ("admin", "read")}
    of_role |= {name: ("--role", "customer", "--user-id", name) for name in ("1", "2")}
    of_role |= {"revoked": ("--role", "admin"), "expired": ("--role", "admin", "--expires-in", "1s")}
    keys = {name: await asyncio.to_thread(make_key, service, *options) for name, options in of_role.items()}
    revoked = keys["revoked"].removeprefix("hf_live_admin_")[:12]
    await asyncio.to_thread(service.run, "keys", "revoke", revoked, seconds=120)
    product = await asyncio.to_thread(service.add_product, stock=5)
    await asyncio.to_thread(service.start_all, programs)
    keys["mistyped"], keys["unknown"] = f"{keys['admin'][:-1]}_", "hf_live_admin_" + "x" * 38

    async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:

        async def ask(method: str, path: str, who: str | None, body: object = None) -> httpx.Response:
            headers = {"X-Forwarded-For": str(next(ADDRESSES))}
            if who is not None:
                headers["Authorization"] = f"Bearer {keys[who]}"
            sent = {} if method in {"GET", "DELETE"} else {"json": body or {}}
            return await client.request(method, path, headers=headers, **sent)

        async def has_expired() -> bool:
            return (await ask("GET", "/products", "expired")).status_code == HTTPStatus.UNAUTHORIZED

        await until(has_expired, seconds=30, what="the key has expired")
        order = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}
        placed = (await ask("POST", "/orders", "1", order)).json()
        named = {"order_id": placed["order_id"], "product_id": str(product), "user_id": "1"}
        for_the_shop = 0
        for route in ROUTES:
            if route.access is Open.TO_ALL:
                continue
            path = re.sub(r"<(\w+)>", lambda found: named.get(found[1], NOWHERE), route.path)
            for nobody in (None, "mistyped", "unknown", "revoked", "expired"):
                answer = await ask(route.method, path, nobody)
                assert answer.status_code == HTTPStatus.UNAUTHORIZED, (route.method, path, nobody, answer.text)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            if "<order_id>" in route.path or "<user_id>" in route.path:
                answer = await ask(route.method, path, "2", {"content": "hello", "quantity": 1, "status": "CANCELLED"})
                # What breaks a rule of the form is told before anything is looked up.
                told = {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}
                assert answer.status_code in told | {HTTPStatus.BAD_REQUEST}, (route.method, path, answer.text)
            scopes = scopes_of(route)
            if scopes and scopes.isdisjoint(CUSTOMER_SCOPES):
                answer = await ask(route.method, path, "1")
                assert answer.status_code == HTTPStatus.FORBIDDEN, (route.method, path, answer.text)
                for_the_shop += 1
            if route.method != "GET" and route.access is not Open.TO_CALLERS:
                reading = await ask(route.method, path, "read")
                may_read = not isinstance(route.access, frozenset) and route.access in {"orders:read", "events:read"}
                assert (reading.status_code == HTTPStatus.FORBIDDEN) != may_read, (route.method, path, reading.text)
        assert for_the_shop > 20
        now = (await ask("GET", f"/orders/{placed['order_id']}", "1")).json()
        assert now == placed
        assert (await ask("GET", "/messages", "admin")).json()["items"] == []
