"""Files of jobs: in memory, and on every database."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any, Final

import pytest
from attrs import evolve
from uuid_utils.compat import uuid7

from application.errors import Aborted
from application.ports.files import LONGEST_PART, StoredFile
from application.ports.persistence import UnitOfWork
from domain.ids import JobId
from domain.jobs.job import new_job
from tests.unit.builders import NOW

# Ages that no file has, and that every file has.
DAY: Final = timedelta(days=1)
ANY_AGE: Final = timedelta(seconds=-60)


def a_file(name: str = "export") -> StoredFile:
    return StoredFile(job_id=JobId(uuid7()), name=name)


async def append(unit_of_work: UnitOfWork, file: StoredFile, content: bytes, **state: Any) -> StoredFile:
    async with unit_of_work() as tx:
        return await tx.files.append(file, content, state)


async def get(unit_of_work: UnitOfWork, file: StoredFile) -> StoredFile | None:
    async with unit_of_work.reading() as tx:
        return await tx.files.get(file.job_id, file.name)


async def read(unit_of_work: UnitOfWork, file: StoredFile, at: int = 0) -> bytes:
    """Read to the end, part by part."""
    found = b""
    async with unit_of_work.reading() as tx:
        while part := await tx.files.read(file.job_id, file.name, at=at + len(found)):
            assert len(part) <= LONGEST_PART
            found += part
    return found


async def test_a_file_is_read_as_it_was_written(unit_of_work: UnitOfWork) -> None:
    file = await append(unit_of_work, a_file(), b"", after=None)
    assert (file.size, await get(unit_of_work, file)) == (0, file)
    file = await append(unit_of_work, file, "größer\n".encode(), after=1)
    file = await append(unit_of_work, file, b"\0\xff", after=2)
    assert (file.size, file.state, await get(unit_of_work, file)) == (11, {"after": 2}, file)
    assert await read(unit_of_work, file) == "größer\n".encode() + b"\0\xff"


async def test_the_files_of_many_jobs_are_found_by_their_name(unit_of_work: UnitOfWork) -> None:
    one, other = await append(unit_of_work, a_file(), b"1", a=1), await append(unit_of_work, a_file(), b"22", b=2)
    beside = await append(unit_of_work, evolve(one, name="items", size=0), b"333")
    async with unit_of_work.reading() as tx:
        found = await tx.files.get_many([one.job_id, other.job_id, a_file().job_id], "export")
        assert found == {one.job_id: one, other.job_id: other}
        assert await tx.files.get_many({one.job_id, other.job_id}, "items") == {one.job_id: beside}
        assert await tx.files.get_many([], "export") == {}


async def test_any_stretch_of_a_long_file_can_be_read(unit_of_work: UnitOfWork) -> None:
    content = Random(1).randbytes(2 * LONGEST_PART + 7)
    file = await append(unit_of_work, a_file(), content[:100])
    file = await append(unit_of_work, file, content[100:])
    assert await read(unit_of_work, file) == content
    for at in (99, 100, 101, LONGEST_PART + 99, LONGEST_PART + 100, len(content) - 1, len(content), len(content) + 5):
        assert await read(unit_of_work, file, at) == content[at:]


async def test_files_of_one_job_are_apart(unit_of_work: UnitOfWork) -> None:
    body = await append(unit_of_work, a_file("body"), b"sent")
    results = await append(unit_of_work, evolve(body, name="results", size=0), b"done", rows=1)
    assert (await read(unit_of_work, body), await read(unit_of_work, results)) == (b"sent", b"done")
    assert await get(unit_of_work, evolve(body, name="export")) is None


async def test_of_two_writers_one_goes_on(unit_of_work: UnitOfWork) -> None:
    begun = await append(unit_of_work, a_file(), b"1")
    file = await append(unit_of_work, begun, b"2")
    with pytest.raises(Aborted):
        await append(unit_of_work, begun, b"another")
    with pytest.raises(Aborted):
        await append(unit_of_work, evolve(begun, size=0), b"another")
    assert await read(unit_of_work, file) == b"12"


async def test_writers_at_once_never_mix(unit_of_work: UnitOfWork) -> None:
    new = a_file()

    async def writer(content: bytes) -> int:
        written = 0
        for _ in range(10):
            file = await get(unit_of_work, new) or new
            try:
                await append(unit_of_work, file, content)
            except Aborted:
                continue
            written += 1
        return written

    written = await asyncio.gather(writer(b"aaa"), writer(b"bbb"))
    found = await read(unit_of_work, new)
    assert sorted(found[at : at + 3] for at in range(0, len(found), 3)) == [b"aaa"] * written[0] + [b"bbb"] * written[1]


async def test_what_is_rolled_back_is_not_there(unit_of_work: UnitOfWork) -> None:
    file = await append(unit_of_work, a_file(), b"1")
    with suppress(RuntimeError):
        async with unit_of_work() as tx:
            await tx.files.append(file, b"2", {})
            raise RuntimeError
    assert (await get(unit_of_work, file), await read(unit_of_work, file)) == (file, b"1")


async def test_files_that_no_longer_grow_are_removed(unit_of_work: UnitOfWork) -> None:
    files = [await append(unit_of_work, a_file(), b"%d" % number) for number in range(3)]
    async with unit_of_work() as tx:
        assert await tx.files.prune(older_than=DAY, limit=10) == 0
        assert await tx.files.prune(older_than=ANY_AGE, limit=2) == 2
    left = [file for file in files if await get(unit_of_work, file) is not None]
    assert len(left) == 1
    assert sorted([await read(unit_of_work, file) for file in files])[:2] == [b"", b""]
    with pytest.raises(Aborted):
        await append(unit_of_work, next(file for file in files if file not in left), b"more")


async def test_the_files_of_a_job_that_has_not_ended_stay(unit_of_work: UnitOfWork) -> None:
    file = await append(unit_of_work, a_file(), b"1")
    job = new_job(id=file.job_id, kind="import", arguments={}, now=NOW)
    async with unit_of_work() as tx:
        await tx.jobs.add_many([job])
        assert await tx.files.prune(older_than=ANY_AGE, limit=10) == 0
        job.cancel(at=NOW)
        await tx.jobs.save_many([job])
        assert await tx.files.prune(older_than=ANY_AGE, limit=10) == 1
    assert await get(unit_of_work, file) is None


async def test_a_file_is_removed_whole_and_alone(unit_of_work: UnitOfWork) -> None:
    file, other = (await append(unit_of_work, a_file(), b"1"), await append(unit_of_work, a_file(), b"2"))
    async with unit_of_work() as tx:
        await tx.files.remove(file.job_id, file.name)
        await tx.files.remove(JobId(uuid7()), file.name)
    assert (await get(unit_of_work, file), await read(unit_of_work, file)) == (None, b"")
    assert await read(unit_of_work, other) == b"2"


async def test_there_is_nothing_in_an_unknown_file(unit_of_work: UnitOfWork) -> None:
    assert (await get(unit_of_work, a_file()), await read(unit_of_work, a_file())) == (None, b"")
