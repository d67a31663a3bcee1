"""Every row of the table of faults; `./dev faults` prints them as a table."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.faults.fault import Fault
from tests.integration.faults.run import Street
from tests.integration.faults.table import FAULTS

# One house for all that a process of the run tries in it: to build one takes longer than most faults do.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def street(server_programs: None) -> AsyncIterator[Street]:
    street = Street()
    yield street
    await street.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
async def test_nothing_is_lost_and_nothing_happens_twice(street: Street, fault: Fault) -> None:
    if reason := fault.missing():
        pytest.skip(reason)
    result = await street.run(fault)
    assert result.well, result.story()
