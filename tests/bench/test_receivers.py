"""What the receivers of webhooks answer and count."""

import signal
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pytest

from bench.receivers import READY, Received, Receivers
from tests.servers import Process, free_port, plain_environment

ROOT = Path(__file__).parents[2]
AT = 1_795_953_600.0


def event(position: int) -> bytes:
    return b'{"position": %d, "order_id": "x", "time": "2026-11-29T12:00:00Z", "data": {}}' % position


def test_a_delivery_counts_once_for_each_receiver_with_its_delay() -> None:
    receivers = Receivers()
    for receiver, position, late in ((1, 7, 0.25), (2, 7, 0.5), (1, 8, 0.75), (1, 7, 9.0)):
        receivers.take(receiver, event(position), AT + late)
    assert receivers.seen() == Received(3, 1, [250.0, 500.0, 750.0])


@pytest.fixture
def port(tmp_path: Path) -> Iterator[tuple[int, Process]]:
    port = free_port()
    process = Process(
        argv=[sys.executable, "-m", "bench.receivers", str(port)],
        env=plain_environment(),
        log=tmp_path / "receivers.log",
        cwd=ROOT,
    ).start()
    try:
        process.wait_for(lambda: READY in process.output(), seconds=60, what="the receivers are there")
        yield port, process
    finally:
        process.kill()


def test_each_path_answers_as_it_says(port: tuple[int, Process]) -> None:
    number, process = port
    answers = {}
    for path in ("/counted/1", "/counted/2", "/other/3", "/broken/4"):
        connection = HTTPConnection("127.0.0.1", number, timeout=60)
        connection.request("POST", path, event(7))
        answers[path] = connection.getresponse().status
        connection.close()
    assert answers == {"/counted/1": 204, "/counted/2": 204, "/other/3": 204, "/broken/4": 500}
    hanging = HTTPConnection("127.0.0.1", number, timeout=0.2)
    hanging.request("POST", "/hangs/5", event(7))
    with pytest.raises(TimeoutError):
        hanging.getresponse()
    hanging.close()
    process.send(signal.SIGTERM)
    assert process.wait() == 0
    seen = msgspec.json.decode(process.output().splitlines()[-1], type=Received)
    assert (seen.events, seen.again) == (2, 0)
