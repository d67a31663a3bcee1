import asyncio
from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from adapters.sql.unit_of_work import SqlUnitOfWork
from domain.ids import JobId
from domain.jobs.job import new_job
from tests.engines import engine_on
from tests.service import Service


async def test_a_job_is_seen_cancelled_and_tried_again_from_the_command_line(migrated: Service) -> None:
    job = new_job(id=JobId(uuid7()), kind="message", arguments={"content": "hello"}, now=datetime.now(UTC))
    async with engine_on(migrated.database) as engine, SqlUnitOfWork(engine)() as tx:
        await tx.jobs.add_many([job])

    [_, line] = (await asyncio.to_thread(migrated.run, "jobs", "list", "--kind", "message")).splitlines()
    assert line.split()[:3] == [str(job.id), "message", "AVAILABLE"]
    assert f"{job.id} cancelled" in await asyncio.to_thread(migrated.run, "jobs", "cancel", str(job.id))
    assert "status    CANCELLED" in await asyncio.to_thread(migrated.run, "jobs", "show", str(job.id))
    assert "will be retried" in await asyncio.to_thread(migrated.run, "jobs", "retry", str(job.id))
    status, output = await asyncio.to_thread(migrated.try_to_run, "jobs", "retry", str(uuid7()))
    assert (status, "there is no job" in output) == (1, True)
