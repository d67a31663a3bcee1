"""What a row of the cluster's table takes for late, on a machine that is not busy and on one that is."""

import os
from typing import Any, Final

import pytest
from attrs import evolve

from tests.integration.faults.checks import Findings
from tests.integration.faults.cluster.row import Result, Row, Seconds

_CORES: Final = os.cpu_count() or 1
# Twice what a row says, on any machine, since it runs all servers.
IDLE: Final = 0.0
BUSY: Final = 5.0 * _CORES
ROW: Final = Row(name="A unicorn", breaking=lambda _: None, post_fails_within=3.0, slowest_post=1.0, records_again=10.0)
NONE: Final = Seconds(value=None)
IN_TIME: Final = Result(
    row=ROW,
    created=100,
    accepted=10,
    failed=[],
    others_failed=0,
    slowest_post=0.5,
    slowest_later=0.5,
    gap=0.1,
    new_primary=NONE,
    created_again=NONE,
    drained=1.0,
    findings=Findings(),
    differences=[],
    troubles=[],
    load=IDLE,
)


def seconds(value: float) -> Seconds:
    return Seconds(value=value)


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"failed": [0.1, 6.0]},
        {"slowest_post": 6.0},
        {"slowest_later": 2.0},
        {"new_primary": seconds(20), "created_again": seconds(40)},
        {"created_again": seconds(500)},
        {"new_primary": seconds(500)},
    ],
    ids=str,
)
def test_what_is_in_time_is_no_delay(seen: dict[str, Any]) -> None:
    assert evolve(IN_TIME, **seen).delays() == []


LATE: Final[list[tuple[dict[str, Any], str]]] = [
    ({"failed": [0.1, 6.1, 7.2]}, "2 POSTs failed later than 3 s, up to 7.2 s"),
    ({"slowest_post": 6.1}, "a POST took 6.1 s, and 0.5 s one that began later"),
    ({"slowest_later": 2.1}, "a POST took 0.5 s, and 2.1 s one that began later"),
    (
        {"new_primary": seconds(20), "created_again": seconds(40.1)},
        "201 came again 20.1 s after the new primary was known",
    ),
]


@pytest.mark.parametrize(("seen", "told"), LATE, ids=str)
def test_what_is_late_is_told(seen: dict[str, Any], told: str) -> None:
    assert evolve(IN_TIME, **seen).delays() == [told]


@pytest.mark.parametrize("seen", [seen for seen, _ in LATE], ids=str)
def test_a_busy_machine_has_more_time_and_not_any_amount(seen: dict[str, Any]) -> None:
    assert evolve(IN_TIME, load=BUSY, **seen).delays() == []
    far = {"failed": [16.0], "slowest_post": 16.0, "slowest_later": 16.0, "created_again": seconds(100)}
    late = {name: far.get(name, value) for name, value in seen.items()}
    assert len(evolve(IN_TIME, load=BUSY, **late).delays()) == 1


def test_all_delays_are_told() -> None:
    everything = {name: value for seen, _ in LATE for name, value in seen.items()}
    assert len(evolve(IN_TIME, **everything).delays()) == 3
