import pytest

from bench.wrk import Latencies, parse
from tests.servers import ServerFailed

_OUTPUT = """Running 10s test @ http://127.0.0.1:20000
  1 threads and 64 connections
  100 requests in 10.00s, 2.00MB read
REPORT {"requests":100,"microseconds":10000000,"refused":3,"broken":2,"late":1,\
"latencies":[[50,1000],[99,5000],[100,9000]],"counted":{"placed":40,"payments_requested":38}}
"""


def test_what_wrk_tells_is_read_from_its_last_words() -> None:
    load = parse(_OUTPUT)

    assert (load.requests, load.seconds) == (100, 10.0)
    assert load.answered == 97
    assert load.broken == 3
    assert load.accepted == 40
    assert [load.latencies.percentile(percent) for percent in (50, 99, 99.9)] == [1.0, 5.0, 9.0]


def test_without_counts_of_its_own_every_answer_is_accepted() -> None:
    assert parse(_OUTPUT.replace('{"placed":40,"payments_requested":38}', "{}")).accepted == 97


@pytest.mark.parametrize("output", ["unable to connect to 127.0.0.1:1 Connection refused", ""])
def test_a_load_generator_that_tells_nothing_has_failed(output: str) -> None:
    with pytest.raises(ServerFailed, match="no report"):
        parse(output)


def test_a_load_without_any_answer_has_failed() -> None:
    with pytest.raises(ServerFailed, match="no response"):
        parse(_OUTPUT.replace('"requests":100', '"requests":0'))


def test_latencies_of_two_rounds_count_as_often_as_there_were_requests() -> None:
    fast = Latencies.of_shares([(50, 1000), (100, 2000)], 300)
    slow = Latencies.of_shares([(50, 50_000), (100, 90_000)], 100)

    both = fast + slow

    assert [both.percentile(percent) for percent in (37, 75, 87, 100)] == [1.0, 2.0, 50.0, 90.0]


def test_each_latency_counts_once() -> None:
    assert Latencies.of_each([5.0, 1.0, 3.0]).percentile(50) == 3.0
    assert Latencies().percentile(99) == 0.0
