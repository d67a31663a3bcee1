"""The doctor warns before the files of RabbitMQ are used up, which stops every shop on it."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from adapters.rabbitmq.management import unacked_in
from application.errors import Unavailable
from entrypoints.doctor import broker_warnings
from entrypoints.settings import Settings

# As RabbitMQ 3.10 answers, without what is not read.
NODE = {"name": "rabbit@here", "running": True, "fd_used": 100, "fd_total": 1024}

Answer = Callable[..., str]


@pytest.fixture
def management() -> Iterator[Answer]:
    """Say what the management API answers, and get its address."""
    answer: dict[str, Any] = {"status": 200, "body": "[]", "queues": "[]", "host": "%2F"}
    asked: list[str | None] = []

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            path = self.path.partition("?")[0]
            self.send_response(answer["status"] if path in {"/api/nodes", f"/api/queues/{answer['host']}"} else 404)
            self.end_headers()
            self.wfile.write(answer["body" if path == "/api/nodes" else "queues"].encode())

        def log_message(self, *_: object) -> None: ...

    def answers(
        *nodes: object, status: int = 200, body: str | None = None, queues: object = (), host: str = "%2F"
    ) -> str:
        answer.update(status=status, body=json.dumps(nodes) if body is None else body, queues=json.dumps(queues))
        answer.update(host=host)
        return f"http://ana:p%40ss@127.0.0.1:{server.server_port}"

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield answers
        finally:
            server.shutdown()
            serving.join()
    # The user and the password of the address, decoded.
    assert set(asked) <= {"Basic YW5hOnBAc3M="}


async def warned(url: str, amqp_url: str = "amqp://here") -> list[str]:
    return await broker_warnings(Settings(amqp_url=amqp_url, amqp_management_url=url))


async def test_a_node_with_few_files_left_is_named_with_what_to_do(management: Answer) -> None:
    [warning] = await warned(management(NODE, {**NODE, "name": "rabbit@there", "fd_used": 900}))
    assert warning.startswith("rabbit@there of RabbitMQ has 900 of 1024 files open")
    assert "holdfast remove-namespace" in warning


@pytest.mark.parametrize(
    ("used", "total", "warns"), [(819, 1024, False), (820, 1024, True), (74, 100, True), (50_000, 65_536, False)]
)
async def test_few_are_less_than_a_fifth_or_than_a_shop_takes(
    management: Answer, used: int, total: int, *, warns: bool
) -> None:
    found = await warned(management({**NODE, "fd_used": used, "fd_total": total}))
    assert bool(found) is warns


async def test_a_node_that_does_not_tell_or_does_not_run_is_left_out(management: Answer) -> None:
    silent = {"name": "rabbit@four", "running": True, "fd_total": 1024}
    assert (
        await warned(management(silent, {"name": "rabbit@down", "running": False, "fd_used": 1, "fd_total": 1})) == []
    )


@pytest.mark.parametrize("answer", [{"status": 401}, {"body": "<html>"}, {"body": "7"}, {"body": "[7]"}], ids=str)
async def test_an_api_that_cannot_be_read_is_a_warning_without_the_password(
    management: Answer, answer: dict[str, Any]
) -> None:
    [warning] = await warned(management(**answer))
    assert "management API of RabbitMQ at 127.0.0.1:" in warning
    assert "p@ss" not in warning
    assert "p%40ss" not in warning


async def test_an_api_that_is_not_there_is_a_warning() -> None:
    [warning] = await warned("http://ana:hidden@127.0.0.1:1")
    assert "127.0.0.1:1 can't be read" in warning
    assert "hidden" not in warning


async def test_without_an_address_nothing_is_asked() -> None:
    assert await broker_warnings(Settings(amqp_url="amqp://here")) == []


THREE = [{**NODE, "name": f"rabbit@{name}"} for name in "abc"]


async def test_nodes_that_are_apart_are_named_by_the_one_that_is_alone(management: Answer) -> None:
    """As RabbitMQ 3.10 answers after one node of three had stood still for longer than `net_ticktime`."""
    lost = {"a": ["rabbit@c"], "b": ["rabbit@c"], "c": ["rabbit@a", "rabbit@b"]}
    nodes = [{**NODE, "name": f"rabbit@{name}", "partitions": others} for name, others in lost.items()]
    [warning] = await warned(management(*nodes))
    assert "rabbit@c of RabbitMQ has lost rabbit@a, rabbit@b" in warning
    assert "rabbitmqctl -n rabbit@c stop_app" in warning
    assert await warned(management(*({**node, "partitions": []} for node in nodes))) == []


def queue(name: str, *, members: str = "abc", online: str = "abc", leader: str = "a") -> dict[str, Any]:
    """As RabbitMQ 3.10 answers."""
    return {
        "name": name,
        "members": [f"rabbit@{node}" for node in members],
        "online": [f"rabbit@{node}" for node in online],
        "leader": f"rabbit@{leader}",
    }


SPREAD = [queue("holdfast.payments", leader="a"), queue("holdfast.intake", leader="b")]


@pytest.mark.parametrize(
    ("queues", "words"),
    [
        (
            [*SPREAD, queue("holdfast.refunds", members="ab", online="ab")],
            "such as holdfast.refunds, RabbitMQ has fewer",
        ),
        ([*SPREAD, queue("holdfast.refunds", online="ab")], "such as holdfast.refunds, a copy is not online"),
        ([SPREAD[0], queue("holdfast.intake", leader="a")], "all queues are led by rabbit@a"),
        ([*SPREAD, queue("holdfast.intake.later.15000", leader="b")], "later.15000 are led by one node, rabbit@b"),
        (
            [*SPREAD, queue("holdfast.intake.later.15000", leader="b")],
            r"rebalance quorum --queue-pattern '^(holdfast\.intake|holdfast\.intake\.later\.15000)$'`",
        ),
    ],
    ids=["few copies", "one away", "one leader", "no detour", "how to part them"],
)
async def test_what_a_node_that_dies_would_stop_is_told(
    management: Answer, queues: list[dict[str, Any]], words: str
) -> None:
    [warning] = await warned(management(*THREE, queues=queues))
    assert words in warning


async def test_queues_that_are_spread_and_those_of_others_need_no_warning(management: Answer) -> None:
    others = [queue("of somebody else", members="a", online=""), {"name": "a classic one"}]
    later = queue("holdfast.intake.later.15000", leader="c")
    assert await warned(management(*THREE, queues=[*SPREAD, later, *others])) == []


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"expires": 3_600_000, "ha-mode": "all"}, "sets expires for 1 queues, such as holdfast.intake:"),
        ({"message-ttl": 1, "max-length": 5}, "sets max-length, message-ttl for 1 queues"),
        ({"max-length-bytes": 1}, "sets max-length-bytes for 1"),
        ({"delivery-limit": 3}, "sets delivery-limit for 1"),
        ({"queue-leader-locator": "balanced"}, None),
        # As RabbitMQ 3.10 says that there is none.
        ([], None),
    ],
    ids=str,
)
async def test_a_policy_that_may_remove_messages_is_told(management: Answer, policy: object, told: str | None) -> None:
    ours = {**queue("holdfast.intake", members="a", online="a"), "effective_policy_definition": policy}
    of_others = {"name": "other.intake", "effective_policy_definition": {"expires": 1}}
    found = await warned(management(NODE, queues=[ours, of_others]))
    assert [told in warning for warning in found] == ([] if told is None else [True])


@pytest.mark.parametrize(
    ("amqp_url", "host"),
    [
        ("amqp://here", "%2F"),
        ("amqp://here/", "%2F"),
        ("amqp://here/%2f", "%2F"),
        ("amqp://here/shops", "shops"),
        ("amqp://here:1,there:2/a%2Fb%20c?heartbeat=5", "a%2Fb%20c"),
    ],
)
async def test_only_queues_of_our_virtual_host_are_looked_at(management: Answer, amqp_url: str, host: str) -> None:
    """Another virtual host may have queues of the same names, and they are another shop's."""
    ours = {**queue("holdfast.intake", members="a", online="a"), "effective_policy_definition": {"expires": 1}}
    [found] = await warned(management(NODE, queues=[ours], host=host), amqp_url)
    assert "a policy of RabbitMQ" in found
    [found] = await warned(management(NODE, queues=[ours], host="of-others"), amqp_url)
    assert "404" in found


async def test_one_node_has_one_copy_of_each_queue(management: Answer) -> None:
    alone = [queue(name, members="a", online="a") for name in ("holdfast.payments", "holdfast.intake")]
    assert await warned(management(THREE[0], queues=alone)) == []


async def test_the_unacked_messages_of_our_queues_are_told(management: Answer) -> None:
    ours = {"name": "shop.payments", "messages_unacknowledged": 7}
    # A queue that has just been declared has no numbers yet.
    new, of_others = {"name": "shop.refunds"}, {"name": "other.payments", "messages_unacknowledged": 9}
    url = management(queues=[ours, new, of_others])
    assert await unacked_in(url, "/", {"shop.payments", "shop.refunds"}) == {"shop.payments": 7}
    with pytest.raises(Unavailable, match="503"):
        await unacked_in(management(status=503), "/", {"shop.payments"})
