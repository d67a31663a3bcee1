"""The metrics of a running shop, as Prometheus scrapes them."""

import json
import re
import socket
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from adapters.codecs.standard_webhooks import SigningKey
from application.telemetry.metrics import METRICS
from tests.servers import wait_until
from tests.servers.compose import ROOT
from tests.servers.process import free_port
from tests.service import Service

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")
OBSERVABILITY = ROOT / "deploy" / "observability"
ACCEPT_OF_PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
# With more, a scrape takes tens of milliseconds.
_MOST_SERIES = 1000
# Buckets, sum and count.
_OF_A_STATUS = 9


def asked(port: int, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=60)


def scraped(port: int) -> dict[str, list[Any]]:
    response = asked(port, "/metrics")
    assert response.status_code == HTTPStatus.OK
    assert response.headers["content-type"].startswith("text/plain")
    return {family.name: family.samples for family in text_string_to_metric_families(response.text)}


def named_in_observability() -> set[str]:
    """Every metric in a rule or in a panel."""
    rules = (OBSERVABILITY / "holdfast.rules.yml").read_text()
    expressions = [rule["expr"] for group in yaml.safe_load(rules)["groups"] for rule in group["rules"]]
    panels = json.loads((OBSERVABILITY / "grafana" / "holdfast.json").read_text())["panels"]
    expressions += [target["expr"] for panel in panels for target in panel.get("targets", ())]
    named = {name for expression in expressions for name in re.findall(r"\bholdfast_[a-z0-9_]+", expression)}
    assert len(named) > len(METRICS) // 2
    return named


async def test_every_metric_is_there_and_no_label_is_an_id(embedded: Service) -> None:
    port = free_port()
    embedded.settings["HOLDFAST_METRICS_PORT"] = str(port)
    embedded.start_all(["up"])
    async with httpx.AsyncClient(base_url=embedded.url, timeout=60) as client:
        order = (await client.post("/orders", json={"user_id": 7, "items": [{"product_id": 1, "quantity": 1}]})).json()
        await client.post(f"/orders/{order['order_id']}/pay")
        await client.get(f"/orders/{order['order_id']}")
        await client.get("/nowhere")

    found = scraped(port)

    # The parser takes the ending of a counter away.
    assert {f"holdfast_{metric.name.removesuffix('_total')}" for metric in METRICS} - found.keys() == set()
    samples = [sample for family in found.values() for sample in family]
    assert named_in_observability() - {sample.name for sample in samples} == set()
    assert len(samples) < _MOST_SERIES
    for sample in samples:
        assert not any(_UUID.search(value) for value in sample.labels.values()), sample
    routes = {sample.labels.get("route") for sample in found["holdfast_http_request_duration_seconds"]}
    assert {"/orders", "others"} <= routes, routes
    assert any(route and route.endswith("/pay") for route in routes), routes
    [placed] = [each for each in found["holdfast_orders"] if each.labels.get("outcome") == "placed" and each.value]
    assert placed.value == 1

    assert asked(port, "/orders").status_code == HTTPStatus.NOT_FOUND


async def test_a_shop_of_everything_has_less_than_a_thousand_series(embedded: Service) -> None:
    """All programs in one process, in which each route was asked for in every way, and each thing is there many times.

    Nothing that a shop has or that a client sends may add a series without end.
    """
    port = free_port()
    embedded.settings |= {"HOLDFAST_METRICS_PORT": str(port), "HOLDFAST_WEBHOOK_ALLOW": "127.0.0.1:*"}
    embedded.settings |= {"HOLDFAST_GATEWAY_DECLINE_RATE": "0.3", "HOLDFAST_GATEWAY_FAILURE_RATE": "0.3"}
    embedded.start_all(["up"])
    async with httpx.AsyncClient(base_url=embedded.url, timeout=60) as client:
        for number in range(1, 31):
            product = {"name": f"pen {number}", "price": 100, "currency": ("EUR", "JPY", "USD")[number % 3], "stock": 9}
            await client.post("/products", json=product)
            await client.post(
                "/webhook-endpoints", json={"url": f"http://127.0.0.1:{free_port()}/{number}", "events": ["*"]}
            )
            items = [{"product_id": number, "quantity": number}]
            order = await client.post("/orders", json={"user_id": f"customer {number}", "items": items, "pay": True})
            await client.post("/messages", json={"content": "hello"})
            assert order.status_code == HTTPStatus.CREATED, order.text
        paths = (await client.get("/openapi.json")).json()["paths"]
        asked = set()
        for path, methods in paths.items():
            # A route that streams would never end.
            if "stream" in path:
                continue
            for address in {re.sub(r"{[^}]+}", each, path) for each in ("1", "x", str(uuid4()))}:
                for method in (*methods, "TRACE", "BREW"):
                    for sent in ({}, {"content": b"{}", "headers": {"Content-Type": "application/json"}}):
                        try:
                            answer = await client.request(method.upper(), address, timeout=5, **sent)
                        except httpx.HTTPError:
                            continue
                        asked.add((method, path, answer.status_code))
    assert len(asked) > 200
    samples = [sample for family in scraped(port).values() for sample in family]
    told = {tuple(sorted(sample.labels.items())) for sample in samples if "route" in sample.labels}
    assert ("route", "others") in {label for labels in told for label in labels}
    # Each status of an order that is accepted or fails has its own; here some have not come.
    possible = {status for status in paths["/orders"]["post"]["responses"] if status[0] in "25"}
    came = {dict(labels)["status"] for labels in told if {("method", "POST"), ("route", "/orders")} <= set(labels)}
    assert len(samples) + _OF_A_STATUS * len(possible - came) < _MOST_SERIES


def test_a_relay_that_has_lost_its_key_tells_which_endpoints_it_sends_nothing_to(migrated: Service) -> None:
    port = free_port()
    migrated.settings["HOLDFAST_METRICS_PORT"] = str(port)

    def without_key() -> float:
        [sample] = scraped(port)["holdfast_webhook_endpoints_without_key"]
        return float(sample.value)

    migrated.settings["HOLDFAST_WEBHOOK_SIGNING_KEYS"] = SigningKey.of(b"1" * 32).told()
    migrated.start_all(["up"])
    with httpx.Client(base_url=migrated.url, timeout=60) as client:
        endpoint = {"url": "https://receiver.invalid/", "events": ["*"], "signature": "v1a"}
        client.post("/webhook-endpoints", json=endpoint).raise_for_status()
        order = {"user_id": 7, "items": [{"product_id": 1, "quantity": 1}]}
        client.post("/orders", json=order).raise_for_status()
        wait_until(lambda: client.get("/events").json()["items"], seconds=60, what="there is something in the feed")
    migrated.stop()
    migrated.start_all(["up"])
    # It looks as soon as it starts, and tells of both at once.
    wait_until(lambda: scraped(port)["holdfast_feed_position"][0].value > 0, seconds=60, what="it has looked")
    assert without_key() == 0
    migrated.stop()
    del migrated.settings["HOLDFAST_WEBHOOK_SIGNING_KEYS"]
    # A process that is started again has the settings that it had.
    del migrated.processes["up"]
    migrated.start_all(["up"])
    wait_until(lambda: without_key() == 1, seconds=60, what="the endpoint is counted")


def test_one_process_may_serve_both_on_one_port_to_callers_with_a_key(migrated: Service) -> None:
    migrated.settings["HOLDFAST_METRICS_PORT"] = str(migrated.port)
    migrated.settings["HOLDFAST_AUTH"] = "required"
    keys = {}
    for scopes in ("metrics:read", "orders:read"):
        made = migrated.run("keys", "create", "--role", "admin", "--name", "p", "--scopes", scopes, seconds=60)
        [keys[scopes]] = [line for line in made.splitlines() if line.startswith("hf_live_")]
    migrated.start_all(["up"])

    def status(key: str | None) -> int:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.get(f"{migrated.url}/metrics", headers=headers, timeout=60).status_code

    assert (status(None), status(keys["orders:read"]), status(keys["metrics:read"])) == (401, 403, 200)
    headers = {"Authorization": f"Bearer {keys['metrics:read']}", "Accept": ACCEPT_OF_PROMETHEUS}
    response = httpx.get(f"{migrated.url}/metrics", headers=headers, timeout=60)
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert 'holdfast_build_info{program="up"' in response.text


def test_a_port_that_is_taken_is_named(embedded: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        embedded.settings["HOLDFAST_METRICS_PORT"] = str(port)
        status, output = embedded.try_to_run("up", seconds=60)
    assert status == 1
    assert f"HOLDFAST_METRICS_PORT: 127.0.0.1:{port} can't be listened on" in output
