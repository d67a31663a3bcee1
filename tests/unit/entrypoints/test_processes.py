"""Which processes `holdfast up` starts, and which it refuses."""

import pytest

from entrypoints.cli.programs import expect_processes
from entrypoints.programs.processes import children
from entrypoints.read_settings import read_settings
from entrypoints.settings import InvalidSettings

DATABASE = {"DATABASE_URL": "postgresql://h/x"}
BROKER = {"AMQP_URL": "amqp://h/"}


@pytest.mark.parametrize(
    ("environment", "advice"),
    [
        ({"HOLDFAST_API_PROCESSES": "2"}, "can't share a SQLite file"),
        ({"API_WORKERS": "3"}, "can't share a SQLite file"),
        ({"WORKER_COUNT": "2", "DATABASE_URL": "sqlite:///x.db"}, "can't share a SQLite file"),
        ({**DATABASE, "WORKER_COUNT": "2"}, "need a broker"),
        ({**DATABASE, "WORKER_COUNT": "0"}, "WORKER_COUNT: "),
    ],
)
def test_processes_that_can_not_work_together_are_refused(environment: dict[str, str], advice: str) -> None:
    with pytest.raises(InvalidSettings, match=advice):
        expect_processes(read_settings(environment))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({**DATABASE, "API_WORKERS": "2"}, {"api-1": 0, "api-2": 0, "worker-1": 1}),
        (
            {**DATABASE, **BROKER, "API_WORKERS": "1", "WORKER_COUNT": "2"},
            {"api-1": 0, "worker-1": 1, "worker-2": 1, "relay": 1},
        ),
    ],
)
def test_the_api_stops_before_those_that_work_on_what_it_has_accepted(
    environment: dict[str, str], expected: dict[str, int]
) -> None:
    settings = read_settings(environment)
    expect_processes(settings)
    started = children(settings)
    assert {child.name: child.stage for child in started} == expected
    assert {child.name for child in started if child.listens} == {name for name in expected if name.startswith("api")}
