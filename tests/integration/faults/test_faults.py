"""Rows of the table of faults, some of each kind; `./dev faults` tries all of them, and prints them as a table.

What is checked here is that nothing is lost and nothing happens twice. How long clients wait, and whether they are
refused meanwhile, depends on the machine, and is for `./dev faults` to check.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.faults.fault import Fault
from tests.integration.faults.run import Street
from tests.integration.faults.table import FAULTS

# All of them take minutes.
TRIED = {
    "the-api-is-killed-5-times",
    "the-api-is-frozen-for-5-s",
    "one-of-two-workers-is-killed-for-good",
    "three-relays-run-at-once",
    "half-of-the-provider-s-calls-fail-half-of-those-after-it-charged",
    "all-three-servers-are-killed-together",
    "postgresql-is-killed-kill-9",
    "answers-to-commit-are-lost-20-times",
    "deadlocks-are-forced-for-4-s",
    "rabbitmq-is-killed-kill-9-and-down-for-4-s",
    "rabbitmq-has-a-memory-alarm",
    "each-request-comes-eleven-times",
    "redis-is-killed-and-down-for-4-s",
    "redis-is-emptied-30-times",
}

FAULTS_TRIED = [fault for fault in FAULTS if fault.id in TRIED]
assert len(FAULTS_TRIED) == len(TRIED), "one of them is not in the table"

# One house for all that a process of the run tries in it: to build one takes longer than most faults do.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def street(server_programs: None) -> AsyncIterator[Street]:
    street = Street(slowness=10)
    yield street
    await street.close()


@pytest.mark.parametrize("fault", FAULTS_TRIED, ids=lambda fault: fault.id)
async def test_nothing_is_lost_and_nothing_happens_twice(street: Street, fault: Fault) -> None:
    if reason := fault.missing():
        pytest.skip(reason)
    result = await street.run(fault)
    assert result.safe, result.story()
