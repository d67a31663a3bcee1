"""compose.yaml without a container engine: its contents are checked, and its services run natively."""

import asyncio
import json
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aio_pika.connection import make_url

from adapters.sql.core.engine import create_engine
from entrypoints.read_settings import read_settings
from entrypoints.settings import Settings
from tests.servers.compose import ROOT, NativeCompose, nginx_config, read_compose
from tests.servers.process import make_folder, remove_folder

COMPOSE = read_compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "holdfast"]
REPLICAS = {"api-1", "api-2", "api-3"}


def test_everything_that_the_issue_asks_for_is_there() -> None:
    always = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert always == {"postgres", "redis", "rabbitmq", "migrate", "seed", "key", "worker", "relay", "nginx", "api"}
    assert SERVICES.keys() - always == {"prometheus", "grafana"}
    assert SERVICES["api"]["deploy"]["replicas"] == len(REPLICAS)
    assert SERVICES["nginx"]["ports"] == ["127.0.0.1:8000:8000"]
    assert "management" in SERVICES["rabbitmq"]["image"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_can_come_true(name: str) -> None:
    for target, wait in SERVICES[name].get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            assert SERVICES[target]["healthcheck"]["test"]
        else:
            assert wait["condition"] == "service_completed_successfully"
            assert SERVICES[target]["restart"] == "no"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_that_stays_is_watched_and_started_again(name: str) -> None:
    if SERVICES[name]["restart"] == "no":
        assert SERVICES[name]["healthcheck"] == {"disable": True}
    else:
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS])
def test_the_images_of_others_are_pinned_to_a_major_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+(\.\d+)*(-[a-z]+)?", SERVICES[name]["image"])


@pytest.mark.parametrize("name", OURS)
def test_our_image_is_built_from_here_and_can_do_nothing_but_its_work(name: str) -> None:
    service = SERVICES[name]
    assert (service["build"], service["pull_policy"]) == (".", "build")
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "user" not in service


def test_every_folder_that_is_mounted_exists() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


def test_what_may_be_scaled_has_nothing_that_only_one_can_have() -> None:
    """`--scale api=5`: a name or a port of this machine could be had by one of them alone."""
    for name in ("api", "worker", "relay"):
        assert not SERVICES[name].keys() & {"container_name", "ports", "hostname"}


def test_the_broker_and_the_database_can_be_reached_from_this_machine() -> None:
    ports = {port.rpartition(":")[2] for name in ("rabbitmq", "postgres") for port in SERVICES[name]["ports"]}
    assert ports == {"5432", "5672", "15672"}
    elsewhere = read_compose(POSTGRES_PORT="15432")["services"]["postgres"]["ports"]
    assert elsewhere == ["127.0.0.1:15432:5432"]


def test_nginx_finds_any_number_of_replicas_and_its_image_can() -> None:
    """Debian's nginx is older, and refuses `resolve`; here are the conditions that it has from 1.27.3 on."""
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    assert re.findall(r"^ *server (\S+) resolve ", config, re.MULTILINE) == ["api:8000"]
    assert "resolver 127.0.0.11 valid=" in config
    assert re.search(r"upstream replicas \{[^}]*zone ", config)
    version = tuple(int(part) for part in SERVICES["nginx"]["image"].partition(":")[2].split("."))
    assert version >= (1, 28)


@pytest.mark.parametrize("replicas", [1, 5])
def test_nginx_takes_the_configuration_for_as_many_replicas(folder: Path, nginx_program: Path, replicas: int) -> None:
    file = folder / "nginx.conf"
    file.write_text(nginx_config(port=8000, replicas=range(9001, 9001 + replicas), folder=folder))
    said = subprocess.run(
        [str(nginx_program), "-t", "-c", str(file)], capture_output=True, text=True, timeout=240, check=False
    )
    assert said.returncode == 0, said.stderr
    assert file.read_text().count("server 127.0.0.1:") == replicas


def test_every_process_has_the_time_to_finish_its_work() -> None:
    def seconds(name: str) -> int:
        return int(SERVICES[name]["stop_grace_period"].removesuffix("s"))

    graceful = Settings().shutdown_timeout.total_seconds()
    assert all(seconds(name) > graceful + 2 for name in ("api", "worker", "relay"))
    # nginx waits for the answers of the API.
    assert seconds("nginx") > Settings().request_timeout.total_seconds()


def test_metrics_are_served_where_prometheus_looks_for_them_once_their_port_is_set() -> None:
    scraped = yaml.safe_load((ROOT / "deploy" / "observability" / "prometheus.yml").read_text())["scrape_configs"]
    [looked_up] = scraped[0]["dns_sd_configs"]
    for name in looked_up["names"]:
        settings = read_settings(read_compose(METRICS_PORT=str(looked_up["port"]))["services"][name]["environment"])
        assert (settings.metrics_host, settings.metrics_port) == ("0.0.0.0", looked_up["port"])
        assert read_settings(SERVICES[name]["environment"]).metrics_port is None


def test_nothing_can_be_reached_from_other_machines() -> None:
    published = {port for service in SERVICES.values() for port in service.get("ports", ())}
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("password", ["p@ss/w#rd", "a:b@c/d?e#f&g=h%20+", "ünï ©ode", "${X}", "'\"", "[::1]"])
@pytest.mark.parametrize("name", OURS)
def test_a_password_of_any_characters_arrives_at_the_server(name: str, password: str) -> None:
    services = read_compose(POSTGRES_PASSWORD=password, RABBITMQ_PASSWORD=password)["services"]
    settings = read_settings(services[name]["environment"])
    database, broker = create_engine(settings.database_url).url, make_url(settings.amqp_url)
    assert (database.host, database.password) == ("postgres", services["postgres"]["environment"]["POSTGRES_PASSWORD"])
    assert (broker.host, broker.password) == ("rabbitmq", services["rabbitmq"]["environment"]["RABBITMQ_DEFAULT_PASS"])
    assert database.password == broker.password == password


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own: nginx's workers are not root, and may not pass through it.
    folder = make_folder("compose")
    yield folder
    remove_folder(folder)


@pytest.fixture
async def composed(
    folder: Path, nginx_program: Path, curl_program: Path, server_programs: None
) -> AsyncIterator[NativeCompose]:
    # Characters that have a meaning in a URL.
    compose = NativeCompose(folder, POSTGRES_PASSWORD="p@ss/w#rd", RABBITMQ_PASSWORD="p@ss/w%3Ard?")
    try:
        await asyncio.to_thread(compose.up)
        yield compose
    finally:
        # Shown when the test fails.
        print(compose.logs())  # noqa: T201 - pytest keeps it for a failure
        await asyncio.to_thread(compose.close)


async def place(client: httpx.AsyncClient) -> str:
    answer = await client.post("/orders", json={"user_id": 7, "items": [{"product_id": 1, "quantity": 2}]})
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return str(answer.json()["order_id"])


async def paid(client: httpx.AsyncClient, order_id: str) -> dict[str, Any]:
    asked = await client.post(f"/orders/{order_id}/pay")
    assert asked.status_code == httpx.codes.ACCEPTED, asked.text
    async with asyncio.timeout(120):
        while True:
            answer = await client.get(f"/orders/{order_id}")
            assert answer.status_code == httpx.codes.OK, answer.text
            order: dict[str, Any] = answer.json()
            if order["status"] != "PROCESSING":
                return order
            await asyncio.sleep(0.05)


def asked_replicas(compose: NativeCompose) -> Counter[str]:
    """How many requests each replica has answered, by nginx's own account."""
    names = {f"127.0.0.1:{compose.ports[name]}": name for name in REPLICAS}
    lines = [json.loads(line) for line in compose.processes["nginx"].output().splitlines() if line.startswith("{")]
    return Counter(names[line["replica"]] for line in lines if line["replica"] in names)


async def test_an_order_is_placed_and_paid_through_nginx_and_goes_on_when_a_replica_dies(
    composed: NativeCompose,
) -> None:
    printed = composed.processes["key"].output()
    [key] = re.findall(r"hf_live_admin_[0-9A-Za-z]{38}", printed)
    async with httpx.AsyncClient(base_url=composed.url, timeout=60) as client:
        assert (await client.get("/products")).status_code == httpx.codes.UNAUTHORIZED
        client.headers["Authorization"] = f"Bearer {key}"
        products = (await client.get("/products")).json()["items"]
        assert products, "the seed left the shop empty"
        order = await paid(client, await place(client))
        assert order["status"] == "PAID", order
        for _ in range(30):
            assert (await client.get(f"/orders/{order['order_id']}")).json() == order
        assert asked_replicas(composed).keys() == REPLICAS

        composed.processes["api-2"].kill()

        orders = [await place(client) for _ in range(20)]
        answers = [await client.get(f"/orders/{order_id}") for order_id in orders]
        assert {answer.status_code for answer in answers} == {httpx.codes.OK}
        assert (await paid(client, orders[0]))["status"] == "PAID"
