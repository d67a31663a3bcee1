"""Telemetry: one suite for Prometheus, and for a process whose metrics nobody reads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.telemetry.prometheus import PrometheusTelemetry
from application.ports.telemetry import Metric, NoTelemetry, Telemetry

COUNTER = Metric(kind="counter", name="tries_total", meaning="tries", labels={"queue": "the queue"})
GAUGE = Metric(kind="gauge", name="waiting", meaning="who waits")
HISTOGRAM = Metric(kind="histogram", name="seconds", meaning="how long", buckets=(1.0, 5.0))


@pytest.fixture(params=[PrometheusTelemetry, NoTelemetry])
def telemetry(request: pytest.FixtureRequest) -> Telemetry:
    make: Callable[[], Telemetry] = request.param
    return make()


def test_everything_can_be_recorded_and_looked_up_again(telemetry: Telemetry) -> None:
    for _ in range(2):
        telemetry.of(COUNTER, queue="payments")(1)
        telemetry.of(GAUGE)(3)
        telemetry.of(HISTOGRAM)(0.5)
        telemetry.watch(Metric(kind="counter", name="shed_total", meaning="shed"), lambda: 7)


def test_what_is_recorded_is_read() -> None:
    telemetry = PrometheusTelemetry()
    add = telemetry.of(COUNTER, queue="payments")
    add(1)
    add(2)
    telemetry.of(GAUGE)(3)
    telemetry.of(GAUGE)(1)
    telemetry.of(HISTOGRAM)(0.5)
    telemetry.of(HISTOGRAM)(7)
    lines = set(telemetry.rendered().decode().splitlines())
    assert lines >= {
        'holdfast_tries_total{queue="payments"} 3.0',
        "holdfast_waiting 1.0",
        'holdfast_seconds_bucket{le="1.0"} 1.0',
        "holdfast_seconds_count 2.0",
        "holdfast_seconds_sum 7.5",
    }


def test_what_is_watched_is_read_when_it_is_asked_for() -> None:
    telemetry, shed = PrometheusTelemetry(), [0]
    telemetry.watch(Metric(kind="counter", name="shed_total", meaning="shed"), lambda: shed[0])
    telemetry.watch(Metric(kind="gauge", name="open", meaning="open", labels={"state": "x"}), lambda: 2, state="idle")
    shed[0] = 5
    lines = telemetry.rendered().decode().splitlines()
    assert "holdfast_shed_total 5.0" in lines
    assert 'holdfast_open{state="idle"} 2.0' in lines


def test_two_shops_in_one_process_count_apart() -> None:
    first, second = PrometheusTelemetry(), PrometheusTelemetry()
    first.of(COUNTER, queue="payments")(1)
    assert b"holdfast_tries_total{" not in second.rendered()


def test_it_is_read_in_one_thread_while_others_record(telemetry: Telemetry) -> None:
    add = telemetry.of(COUNTER, queue="payments")
    with ThreadPoolExecutor(4) as threads:
        recording = [threads.submit(lambda: [add(1) for _ in range(1000)]) for _ in range(4)]
        if isinstance(telemetry, PrometheusTelemetry):
            telemetry.rendered()
        for each in recording:
            each.result()
    if isinstance(telemetry, PrometheusTelemetry):
        assert b'holdfast_tries_total{queue="payments"} 4000.0' in telemetry.rendered()
