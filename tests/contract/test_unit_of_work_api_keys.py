"""API keys: one suite for memory, SQLite and PostgreSQL."""

import asyncio
from datetime import timedelta
from ipaddress import ip_network

import pytest
from attrs import evolve

from application.access.manage_keys import RevokeKey, UnknownKey
from application.access.principal import SYSTEM
from application.errors import Aborted
from application.ports.api_keys import ApiKey
from application.ports.persistence import UnitOfWork
from domain.ids import MAX_ID, UserId, UserName
from tests.unit.builders import LATER, NOW, an_api_key

MINUTE = timedelta(minutes=1)
FULL = an_api_key(
    kind="test",
    scopes=frozenset({"orders:read", "orders:write"}),
    user_id=UserId(MAX_ID),
    networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
    expires_at=LATER,
    revoked_at=LATER,
    last_used_at=NOW,
)


async def add(unit_of_work: UnitOfWork, *keys: ApiKey) -> None:
    async with unit_of_work() as tx:
        await tx.api_keys.add_many(keys)


async def read(unit_of_work: UnitOfWork, *ids: str) -> dict[str, ApiKey]:
    async with unit_of_work.reading() as tx:
        return await tx.api_keys.get_many(ids)


@pytest.mark.parametrize(
    "key",
    [FULL, evolve(FULL, user_id=UserName("käthe|auth0")), an_api_key(scopes=frozenset())],
    ids=["full", "named", "bare"],
)
async def test_a_key_is_read_as_it_was_written(unit_of_work: UnitOfWork, key: ApiKey) -> None:
    await add(unit_of_work, key)
    assert await read(unit_of_work, key.id, "nothing") == {key.id: key}
    assert await read(unit_of_work) == {}


@pytest.mark.parametrize("text", ["\0", "a\0b", "", "x" * 1000, "\ud800"])
async def test_what_can_not_be_an_id_is_unknown(unit_of_work: UnitOfWork, text: str) -> None:
    with pytest.raises(UnknownKey):
        await RevokeKey(unit_of_work, lambda: NOW)(SYSTEM, text)


async def test_an_id_is_given_once(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, FULL)
    with pytest.raises(Aborted):
        await add(unit_of_work, an_api_key())
    assert await read(unit_of_work, FULL.id) == {FULL.id: FULL}


async def test_ids_are_told_apart_by_their_case(unit_of_work: UnitOfWork) -> None:
    lower, upper = an_api_key("aaaaaaaaaaaa"), an_api_key("AAAAAAAAAAAA")
    await add(unit_of_work, lower, upper)
    assert await read(unit_of_work, lower.id) == {lower.id: lower}


async def test_only_its_end_changes(unit_of_work: UnitOfWork) -> None:
    key = an_api_key()
    await add(unit_of_work, key)
    async with unit_of_work() as tx:
        [found] = (await tx.api_keys.get_many([key.id], lock=True)).values()
        await tx.api_keys.save_many([evolve(found, revoked_at=LATER, expires_at=LATER, name="another")])
    assert await read(unit_of_work, key.id) == {key.id: evolve(key, revoked_at=LATER, expires_at=LATER)}


async def test_its_use_is_noted_no_more_often_than_asked(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, an_api_key(), an_api_key("another one!"))
    for seconds, noted in ((0, 0), (59, 0), (60, 60), (61, 60)):
        async with unit_of_work() as tx:
            at = NOW + timedelta(seconds=seconds)
            await tx.api_keys.note_use(["0123456789ab", "nothing"], at=at, every=MINUTE)
        used = await read(unit_of_work, "0123456789ab", "another one!")
        assert used["0123456789ab"].last_used_at == NOW + timedelta(seconds=noted)
        assert used["another one!"].last_used_at is None


async def test_they_are_paged(unit_of_work: UnitOfWork) -> None:
    keys = [an_api_key(f"{number:012}") for number in range(5)]
    await add(unit_of_work, *reversed(keys))
    async with unit_of_work.reading() as tx:
        assert await tx.api_keys.page(after=None, limit=2) == keys[:2]
        assert await tx.api_keys.page(after=keys[1].id, limit=9) == keys[2:]
        assert await tx.api_keys.page(after=keys[-1].id, limit=9) == []


async def test_two_who_change_one_key_do_so_one_after_the_other(unit_of_work: UnitOfWork) -> None:
    key = an_api_key()
    await add(unit_of_work, key)

    async def postpone() -> None:
        async with unit_of_work() as tx:
            [found] = (await tx.api_keys.get_many([key.id], lock=True)).values()
            await asyncio.sleep(0)
            until = (found.expires_at or NOW) + MINUTE
            await tx.api_keys.save_many([evolve(found, expires_at=until)])

    async with asyncio.timeout(30):
        await asyncio.gather(*(postpone() for _ in range(5)))
    assert (await read(unit_of_work, key.id))[key.id].expires_at == NOW + 5 * MINUTE
