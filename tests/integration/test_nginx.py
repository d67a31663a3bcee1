"""deploy/nginx.conf, in front of replicas of the test's own."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from attrs import define, field, frozen

from entrypoints.http.problem_table import CATALOGUE
from entrypoints.http.routes.events import QUIET
from entrypoints.http.routes.route import Route
from entrypoints.settings import Settings
from tests.http.browser import app_over
from tests.servers import Process, free_port, plain_environment
from tests.servers.compose import ROOT, nginx_config, read_compose
from tests.servers.process import make_folder, remove_folder, wait_until
from tests.unit.shop import Shop

ROUTES: list[Route] = list(app_over(Shop().use_cases).routes.values())  # type: ignore[attr-defined]
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: 11\r\n\r\n"
    b'{"mine": 1}'
)


@define(eq=False)
class Replica:
    """Keeps the heads of the requests that it gets, and gives the same answer to each; without one, it hangs up."""

    answer: bytes | None = _OK
    heads: list[str] = field(factory=list)
    port: int = field(factory=free_port)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head.decode())
                if self.answer is None:
                    return
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@pytest.fixture
async def replicas() -> AsyncIterator[list[Replica]]:
    replicas = [Replica(), Replica(), Replica()]
    async with AsyncExitStack() as stack:
        for replica in replicas:
            await stack.enter_async_context(await asyncio.start_server(replica.talk, "127.0.0.1", replica.port))
        yield replicas


@frozen
class Nginx:
    port: int
    process: Process

    def log(self) -> str:
        return self.process.log.read_bytes().decode("latin-1")


@pytest.fixture
def nginx(nginx_program: Path, replicas: list[Replica]) -> Iterator[Nginx]:
    # Not pytest's own folder: nginx's workers are not root, and may not pass through it.
    folder, port = make_folder("nginx"), free_port()
    addresses = [replica.port for replica in replicas]
    (folder / "nginx.conf").write_text(nginx_config(port=port, replicas=addresses, folder=folder))
    argv = [str(nginx_program), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    nginx = Process(argv=argv, env=plain_environment(), log=folder / "log").start()
    nginx.wait_for(lambda: listens(port), seconds=60, what="nginx listens")
    yield Nginx(port=port, process=nginx)
    nginx.kill()
    remove_folder(folder)


@pytest.fixture
def nginx_port(nginx: Nginx) -> int:
    return nginx.port


@pytest.fixture
async def client(nginx_port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{nginx_port}", timeout=60) as client:
        yield client


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["type"], problem["code"]) == (status, f"/problems/{code}", code)
    assert problem["title"] == CATALOGUE[code].title
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["Request-Id"]
    assert problem["retryable"] in {True, False}


def heads(replicas: list[Replica]) -> list[str]:
    return [head for replica in replicas for head in replica.heads]


async def test_every_replica_gets_its_share(client: httpx.AsyncClient, replicas: list[Replica]) -> None:
    for _ in range(12):
        assert (await client.get("/")).text == "ok"
    assert [len(replica.heads) for replica in replicas] == [4, 4, 4]


async def test_a_client_cannot_say_that_it_is_another(client: httpx.AsyncClient, replicas: list[Replica]) -> None:
    await client.get("/", headers={"X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "https"})
    [head] = heads(replicas)
    assert "X-Forwarded-For: 127.0.0.1\r\n" in head
    assert "X-Forwarded-Proto: http\r\n" in head
    assert "10.9.8.7" not in head


async def test_a_request_has_one_id_on_its_whole_way(
    client: httpx.AsyncClient, replicas: list[Replica], nginx: Nginx
) -> None:
    for sent in ("monday-7", "not to be taken"):
        await client.get("/", headers={"Request-Id": sent})
    taken, made = (re.findall(r"Request-Id: (.*)\r\n", head) for head in heads(replicas))
    assert taken == ["monday-7"]
    assert re.fullmatch("[0-9a-f]{32}", *made)
    nginx.process.wait_for(lambda: f'"request_id":"{made[0]}"' in nginx.log(), seconds=30, what="nginx logs it")
    assert '"request_id":"monday-7"' in nginx.log()
    replicas[0].answer = replicas[1].answer = replicas[2].answer = None
    answer = await client.post("/orders", json={}, headers={"Request-Id": "tuesday"})
    assert_problem(answer, 502, "outcome_unknown")
    assert answer.headers["Request-Id"] == "tuesday"


async def test_what_can_be_repeated_is_answered_by_another_replica(
    client: httpx.AsyncClient, replicas: list[Replica]
) -> None:
    replicas[0].answer = replicas[1].answer = None
    assert [(await client.get("/")).text for _ in range(6)] == ["ok"] * 6


async def test_what_may_have_had_an_effect_is_sent_once(client: httpx.AsyncClient, replicas: list[Replica]) -> None:
    for replica in replicas:
        replica.answer = None
    for method in ("POST", "PATCH"):
        answer = await client.request(method, "/orders", json={})
        assert_problem(answer, 502, "outcome_unknown")
        assert answer.headers["Retry-After"] == "1"
    assert len(heads(replicas)) == 2


async def test_a_refusal_of_a_replica_passes_as_it_is(client: httpx.AsyncClient, replicas: list[Replica]) -> None:
    for replica in replicas:
        replica.answer = _REFUSAL
    answer = await client.get("/")
    assert (answer.status_code, answer.json()) == (503, {"mine": 1})
    assert len(heads(replicas)) == 1


async def test_what_is_too_large_reaches_no_replica(client: httpx.AsyncClient, replicas: list[Replica]) -> None:
    assert_problem(await client.post("/orders", content=b" " * 65_537), 413, "body_too_large")
    assert_problem(await client.get("/" + "x" * 9_000), 414, "head_too_large")
    assert_problem(await client.get("/", headers={"X-Long": "x" * 9_000}), 431, "head_too_large")
    assert heads(replicas) == []


async def talk(port: int, request: bytes) -> str:
    """The answer to these very bytes."""
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize("answer", [_OK, None], ids=["answered", "not answered"])
@pytest.mark.parametrize(
    "hostile",
    [
        b"%1b[2J",
        b"%9b2J",
        b"%c2%9b2J",
        b"%0a%7b%7d",
        b"%e2%80%ae",
        b"\x9b2J",
        b"\xc2\x9b2J",
        b"\x1b[2J",
        b"\x7f",
        b'"',
        b"\\",
    ],
)
async def test_no_request_steers_a_terminal_that_shows_the_log(
    nginx: Nginx, replicas: list[Replica], hostile: bytes, answer: bytes | None
) -> None:
    for replica in replicas:
        replica.answer = answer
    for line in (b"GET /a" + hostile + b"?q HTTP/1.1", b"GET / HTTP/1.1\r\nReferer: " + hostile):
        await talk(nginx.port, line + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
    await talk(nginx.port, b"GET /the-end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    # nginx's processes write their lines in any sequence.
    await asyncio.to_thread(
        wait_until, lambda: f"\n{nginx.log()}".count("\n{") >= 3, seconds=60, what="the log is written"
    )
    log = nginx.log()
    assert re.findall(r"[^ -~\n]", log) == []
    access = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert len(access) == 3


async def test_the_log_names_the_path_that_was_asked_for(nginx: Nginx, replicas: list[Replica]) -> None:
    for replica in replicas:
        replica.answer = None
    await talk(nginx.port, b"GET /orders/7?token=secret HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    await asyncio.to_thread(wait_until, lambda: "\n{" in f"\n{nginx.log()}", seconds=60, what="the log is written")
    [line] = [line for line in nginx.log().splitlines() if line.startswith("{")]
    assert (json.loads(line)["path"], json.loads(line)["status"]) == ("/orders/7", 502)


@pytest.mark.parametrize(
    "request_line",
    ["NONSENSE", "GET / HTTP/1.1\r\nHost: a\r\nHost: b", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1"],
)
async def test_what_is_no_http_is_a_problem_too(nginx_port: int, replicas: list[Replica], request_line: str) -> None:
    answer = await talk(nginx_port, request_line.encode() + b"\r\n\r\n")
    assert '"type":"/problems/bad_protocol"' in answer
    assert heads(replicas) == []


@pytest.mark.parametrize(
    ("request_head", "status", "code"),
    [
        ("TRACE /orders HTTP/1.1\r\nHost: a", 405, "method_not_allowed"),
        ("POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip", 501, "unknown_transfer_coding"),
        ("POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", 501, "unknown_transfer_coding"),
        ("GET /orders HTTP/2.0\r\nHost: a", 505, "bad_protocol"),
        ("GET /orders HTTP/9.9\r\nHost: a", 505, "bad_protocol"),
        ("GET /problem/502 HTTP/1.1\r\nHost: a", 404, "not_found"),
        ("GET /problem/ HTTP/1.1\r\nHost: a", 404, "not_found"),
        ("GET /problem/x HTTP/1.1\r\nHost: a", 404, "not_found"),
    ],
)
async def test_what_nginx_itself_refuses_has_the_form_of_a_problem(
    nginx_port: int, replicas: list[Replica], request_head: str, status: int, code: str
) -> None:
    head, _, body = (await talk(nginx_port, f"{request_head}\r\nConnection: close\r\n\r\n".encode())).partition(
        "\r\n\r\n"
    )
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "\r\nContent-Type: application/problem+json\r\n" in f"{head}\r\n"
    problem = json.loads(body)
    assert (problem["status"], problem["type"]) == (status, f"/problems/{code}")
    assert f"\r\nRequest-Id: {problem['request_id']}\r\n" in f"{head}\r\n"
    assert heads(replicas) == []


def test_every_refusal_of_nginx_has_its_status_in_its_body() -> None:
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    bodies = re.findall(r"location = /problem/(\d+) {[^}]*return (\d+) '(.*)';", config)
    assert len(bodies) == config.count("error_page ")
    for location, status, body in bodies:
        assert location == status == str(json.loads(body)["status"])


def test_nginx_sends_to_the_replicas_of_the_compose_file_alone() -> None:
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    replicas = [
        name for name, service in read_compose()["services"].items() if service.get("command", [""])[0] == "api"
    ]
    assert re.findall(r"server (\w+):8000 ", config) == replicas


def test_the_limits_of_nginx_and_of_the_api_agree() -> None:
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    defaults = Settings()
    assert f"client_max_body_size {defaults.max_body // 1024}k;" in config
    assert f"client_max_body_size {defaults.max_import // 1024**2}m;" in config
    timeouts = {
        place: int(seconds)
        for place, seconds in re.findall(r"location ~ (\S+) {[^}]*}[^}]*read_timeout (\d+)s;", config)
    }
    [usual, *_] = map(int, re.findall(r"proxy_read_timeout (\d+)s;", config))
    assert usual > defaults.request_timeout.total_seconds()

    def timeout_of(path: str) -> int:
        return next((seconds for place, seconds in timeouts.items() if re.match(place, path)), usual)

    # There is a comment in time.
    assert timeout_of("/events/stream") > QUIET
    # And the answer to a request that waits, with time to spare.
    waiting = [route for route in ROUTES if route.waits]
    assert len(waiting) > 2
    for route in waiting:
        for prefix in ("", "/v1"):
            path = f"{prefix}{re.sub('<.*?>', 'x', route.path)}"
            assert timeout_of(path) >= route.waits + 5, path


def test_nginx_says_which_methods_there_are() -> None:
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    [said] = re.findall(r'add_header Allow "(.*)" always;', config)
    assert set(said.split(", ")) == {*(route.method for route in ROUTES), "HEAD", "OPTIONS"}
