"""A Prometheus that scrapes a running cluster: what is shipped is loaded as it is, and every panel shows something."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import urlopen

import httpx
import pytest
import yaml

from tests.integration.faults.alerts.prometheus import PrometheusServer, WatchedService
from tests.servers.compose import ROOT
from tests.service import Service, until

SHIPPED = ROOT / "deploy" / "observability"
PANELS: list[dict[str, Any]] = json.loads((SHIPPED / "grafana" / "holdfast.json").read_text())["panels"]
# What is shown where there is no number to show.
WORDS = {
    panel["title"]: panel["fieldConfig"]["defaults"]["noValue"]
    for panel in PANELS
    if "noValue" in panel.get("fieldConfig", {}).get("defaults", {})
}
_SAMPLED = "holdfast_reconcile_last_success_timestamp_seconds"
# While all is well, no alert fires.
EMPTY = {"Alerts"}
SCRAPED = {"api", "worker", "relay"}


class ShippedPrometheus(PrometheusServer):
    """With the very files that are shipped. The names of the replicas lead nowhere here."""

    name: ClassVar[str] = "Prometheus"

    def __init__(self) -> None:
        super().__init__(SHIPPED / "prometheus.yml")

    @property
    def _config(self) -> Path:
        return SHIPPED / "prometheus.yml"

    def _prepare(self) -> None:
        """Nothing is made."""


@pytest.mark.usefixtures("prometheus_program")
def test_prometheus_loads_what_is_shipped() -> None:
    server = ShippedPrometheus()
    try:
        server.start()
        with urlopen(f"{server.url}/api/v1/rules", timeout=60) as answer:  # noqa: S310 - our own address
            loaded = json.load(answer)["data"]["groups"]
        assert server.ask("vector(1)")
    finally:
        server.close()
    groups = yaml.safe_load((SHIPPED / "holdfast.rules.yml").read_text())["groups"]
    assert {group["name"]: [rule["name"] for rule in group["rules"]] for group in loaded} == {
        group["name"]: [rule.get("alert") or rule["record"] for rule in group["rules"]] for group in groups
    }


def test_what_grafana_is_given_belongs_together() -> None:
    """The panels name the datasource that is provided, and the dashboard lies where it is looked for."""
    [source] = yaml.safe_load((SHIPPED / "grafana" / "datasource.yml").read_text())["datasources"]
    [provider] = yaml.safe_load((SHIPPED / "grafana" / "dashboards.yml").read_text())["providers"]
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert source["url"] == "http://prometheus:9090"
    for panel in PANELS:
        assert panel["type"] == "row" or panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
    mounted = {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
    folder = "/etc/grafana/provisioning"
    assert {f"{folder}/datasources/holdfast.yml", f"{folder}/dashboards/holdfast.yml"} < mounted
    assert f"{provider['options']['path']}/holdfast.json" in mounted
    places = [panel["gridPos"] for panel in PANELS]
    taken = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken)), "two panels lie on each other"
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_a_number_that_may_be_none_says_so_in_words() -> None:
    """Grafana would show NaN for the share of no orders, and the years since 1970 for a check that never was."""
    assert WORDS == {
        "Orders not accepted, last hour": "no orders",
        "Orders over 300 ms, last hour": "no orders",
        "Payments decided after 60 s, last hour": "no payments",
        "Alerts": "no alert",
        "Since the last consistency check": "never checked",
    }


@pytest.fixture
def watched(on_servers: Service) -> Iterator[WatchedService]:
    """A cluster whose webhooks go to a receiver that refuses, and whose provider declines one charge in three."""
    service = WatchedService(
        folder=on_servers.folder, settings=on_servers.settings | {"HOLDFAST_GATEWAY_DECLINE_RATE": "0.3"}
    )
    try:
        service.start_all(sorted(SCRAPED))
        yield service
    finally:
        service.kill()


@asynccontextmanager
async def customers(service: Service) -> AsyncIterator[None]:
    """Orders are placed, paid for and read all the time, some of what is sold out and some of what there never was."""
    pen, ink = [await asyncio.to_thread(service.add_product, stock=stock) for stock in (1_000_000, 1)]

    async def one(client: httpx.AsyncClient) -> None:
        for product in [pen] * 4 + [ink, 999_999]:
            order = {"user_id": 7, "items": [{"product_id": product, "quantity": 1}], "pay": True}
            placed = await client.post("/orders", json=order)
            if placed.status_code == httpx.codes.CREATED:
                await client.get(f"/orders/{placed.json()['order_id']}")
        await client.get("/products")

    async def all_the_time() -> None:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            while True:
                await one(client)
                await asyncio.sleep(0.1)

    shopping = asyncio.create_task(all_the_time())
    try:
        yield
        # A fault of theirs is one of this test.
        assert not shopping.done() or shopping.result()
    finally:
        shopping.cancel()
        with suppress(asyncio.CancelledError):
            await shopping


@pytest.mark.usefixtures("prometheus_program")
async def test_every_panel_shows_something_of_a_running_cluster(watched: WatchedService) -> None:
    async with httpx.AsyncClient(base_url=watched.url, timeout=60) as client:
        receiver = {"url": "https://receiver.invalid/", "events": ["*"]}
        (await client.post("/webhook-endpoints", json=receiver)).raise_for_status()
    prometheus = PrometheusServer(watched.targets)
    queries = {
        (panel["title"], target["refId"]): target["expr"].replace("$__rate_interval", "10s")
        for panel in PANELS
        for target in panel.get("targets", ())
        if panel["title"] not in EMPTY
    }
    assert queries
    try:
        await asyncio.to_thread(prometheus.start)

        async def shown(expression: str) -> bool:
            found = await asyncio.to_thread(prometheus.ask, expression)
            return any(not math.isnan(float(each["value"][1])) for each in found)

        # Before there is an order, and before anything was compared, some numbers say in words why they are none.
        await until(lambda: shown(_SAMPLED), seconds=60, what="the relay has looked at the database")
        for name, expression in queries.items():
            if name[0] in WORDS:
                assert not await shown(expression), name
        await asyncio.to_thread(watched.run, "reconcile", seconds=120)
        async with customers(watched):
            for name, expression in queries.items():
                await until(lambda asked=expression: shown(asked), seconds=60, what=f"{name} shows something")
            [answering] = await asyncio.to_thread(prometheus.ask, 'sum(up{job="holdfast"})')
            assert float(answering["value"][1]) == len(SCRAPED)
    finally:
        await asyncio.to_thread(prometheus.close)
