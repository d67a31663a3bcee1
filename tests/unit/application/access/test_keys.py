"""API keys: who may give them, how long they work, and what holds while the database is away."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from attrs import define, evolve, field

from application.access.authenticate import Authenticate, FindKeys, NoteUse
from application.access.limits import GUESSES, TooManyGuesses
from application.access.manage_keys import InvalidKey, IssuedKey, NewKey, UnknownKey
from application.access.principal import SYSTEM, Forbidden, Principal, Unauthenticated
from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, ROLES, Role, Scope
from application.assembly import assemble
from application.assembly.limits import Limits
from application.errors import Overloaded, Unavailable
from application.execution.batching import Batched
from application.ports.api_keys import ApiKey
from application.ports.environment import loop_time
from domain.ids import UserId
from tests.unit.builders import LATER, NOW, an_api_key
from tests.unit.shop import Shop

HERE = "127.0.0.1"
DAY = timedelta(days=1)
FOR_A_TILL = NewKey(name="till", role=Role.SHOP)
FOR_A_CUSTOMER = NewKey(name="ana", role=Role.CUSTOMER, user_id=UserId(7))


@define(eq=False)
class Door:
    """Lets callers in by their keys. A key that was read a moment ago is read again at each call."""

    shop: Shop
    gone: bool = False
    reads: int = 0
    fresh: float = -1.0
    oldest: float = -1.0
    without_database: float = 3600.0
    most: int = 100
    # Whether the database answers others.
    answers: bool = False
    elapsed: Callable[[], float] = loop_time
    let_in: Authenticate = field(init=False)

    def __attrs_post_init__(self) -> None:
        find = FindKeys(self.shop.unit_of_work)

        async def read(ids: Sequence[str]) -> Sequence[ApiKey | None]:
            self.reads += 1
            if self.gone:
                raise Unavailable("the database is away")
            return await find(ids)

        self.let_in = Authenticate(
            Batched(read),
            Batched(NoteUse(self.shop.unit_of_work, self.shop.clock)),
            self.shop.clock,
            fresh=self.fresh,
            oldest=self.oldest,
            without_database=self.without_database,
            retry=-1.0,
            most=self.most,
            database_answers=lambda: self.answers,
            time=self.elapsed,
        )

    async def until_refused(self, issued: IssuedKey) -> None:
        """Knock until the reading that a call has begun is done."""
        async with asyncio.timeout(30):
            with suppress(Unauthenticated):
                while True:
                    await self.let_in(issued.token, HERE)
                    await asyncio.sleep(0.01)


async def a_key(shop: Shop, new: NewKey = FOR_A_TILL) -> IssuedKey:
    return await shop.use_cases.create_key(SYSTEM, new)


async def test_whoever_has_the_key_has_its_scopes(shop: Shop) -> None:
    door = Door(shop)
    till, ana = await a_key(shop), await a_key(shop, FOR_A_CUSTOMER)
    assert await door.let_in(till.token, HERE) == Principal(till.key.id, scopes=ROLES[Role.SHOP])
    assert await door.let_in(ana.token, HERE) == Principal(ana.key.id, user_id=UserId(7), scopes=CUSTOMER_SCOPES)
    assert till.token not in repr(shop.store.api_keys)


async def test_a_key_that_looks_right_is_not_enough(shop: Shop) -> None:
    door, issued = Door(shop), await a_key(shop)
    stolen = await a_key(Shop())
    # The same beginning, and another end: the id alone, which lists show, opens nothing.
    shop.store.api_keys[issued.key.id] = evolve(issued.key, digest="f" * 64)
    for token in (issued.token, "hf_live_shop_" + "x" * 38, "", "ü", "x" * 100_000):
        with pytest.raises(Unauthenticated):
            await door.let_in(token, HERE)
    assert stolen.token == issued.token


async def test_mistyped_keys_are_refused_without_the_database(shop: Shop) -> None:
    door, issued = Door(shop), await a_key(shop)
    with pytest.raises(Unauthenticated, match="checksum"):
        await door.let_in(issued.token[:-1] + "_", HERE)
    assert door.reads == 0


async def test_guessing_ends_soon_and_known_keys_work_on(shop: Shop) -> None:
    door, issued, new = Door(shop, fresh=60.0), await a_key(shop), await a_key(shop)
    await door.let_in(issued.token, HERE)
    for _ in range(GUESSES.quantity):
        with pytest.raises(Unauthenticated):
            await door.let_in("a guess", HERE)
    for token in ("a guess", new.token):
        with pytest.raises(TooManyGuesses):
            await door.let_in(token, HERE)
    assert await door.let_in(issued.token, HERE)
    assert await door.let_in(new.token, "192.0.2.1")
    assert door.reads == 2


async def test_a_known_key_costs_no_reading(shop: Shop) -> None:
    door, issued = Door(shop, fresh=60.0), await a_key(shop)
    for _ in range(20):
        await door.let_in(issued.token, HERE)
    assert door.reads == 1


async def test_a_revoked_key_is_dead_once_it_is_read_again(shop: Shop) -> None:
    door, issued = Door(shop), await a_key(shop)
    await door.let_in(issued.token, HERE)
    await shop.use_cases.revoke_key(SYSTEM, issued.key.id)
    with pytest.raises(Unauthenticated, match="revoked"):
        await door.let_in(issued.token, HERE)
    again = await shop.use_cases.revoke_key(SYSTEM, issued.key.id)
    assert again.revoked_at == NOW


async def test_a_key_with_a_scope_that_only_another_release_knows_can_be_ended(shop: Shop) -> None:
    key = an_api_key(scopes=frozenset({"orders:read", "orders:teleport"}))
    async with shop.unit_of_work() as tx:
        await tx.api_keys.add_many([key])
    with pytest.raises(Forbidden, match="orders:teleport"):
        await shop.use_cases.rotate_key(SYSTEM, key.id, overlap=DAY)
    with pytest.raises(Forbidden, match="orders:read"):
        await shop.use_cases.revoke_key(Principal("weaker", scopes=frozenset({Scope.KEYS_WRITE})), key.id)
    assert (await shop.use_cases.revoke_key(SYSTEM, key.id)).revoked_at == NOW


async def test_a_key_is_not_believed_for_long_while_only_the_look_at_it_fails(shop: Shop) -> None:
    seconds = 0.0
    door, issued = Door(shop, answers=True, elapsed=lambda: seconds), await a_key(shop)
    await door.let_in(issued.token, HERE)
    await shop.use_cases.revoke_key(SYSTEM, issued.key.id)
    door.gone, seconds = True, 4.9
    assert await door.let_in(issued.token, HERE)
    seconds = 5.1
    with pytest.raises(Overloaded):
        await door.let_in(issued.token, HERE)
    # It is really away: orders are accepted on.
    door.answers = False
    assert await door.let_in(issued.token, HERE)
    door.gone = False
    await door.until_refused(issued)


async def test_a_revoked_key_is_dead_on_three_replicas_within_five_seconds(shop: Shop) -> None:
    seconds = 0.0
    # Without Redis they share the database, and nothing else.
    ports = evolve(shop.ports, elapsed=lambda: seconds)
    replicas = [assemble(ports, Limits()) for _ in range(3)]
    issued = await replicas[0].create_key(SYSTEM, FOR_A_TILL)
    # One replica uses the key all the time, one now and then, and one has it in mind from long ago.
    for replica in replicas:
        await replica.authenticate(issued.token, HERE)
    for seconds in (1.5, 3.0):  # noqa: B007 - the ports look at it
        await replicas[0].authenticate(issued.token, HERE)
    await replicas[1].authenticate(issued.token, HERE)
    for replica in replicas:
        await replica.drained()
    await replicas[2].revoke_key(SYSTEM, issued.key.id)
    seconds += 5
    for replica in replicas:
        with pytest.raises(Unauthenticated):
            await replica.authenticate(issued.token, HERE)


async def test_a_known_key_is_read_again_without_a_wait(shop: Shop) -> None:
    door, issued = Door(shop, oldest=60.0), await a_key(shop)
    await door.let_in(issued.token, HERE)
    await shop.use_cases.revoke_key(SYSTEM, issued.key.id)
    # This call is answered by what was known, and begins the reading; a later one has its outcome.
    await door.let_in(issued.token, HERE)
    await door.until_refused(issued)


async def test_a_key_of_a_restored_database_is_dead(shop: Shop) -> None:
    door, issued = Door(shop), await a_key(shop)
    await door.let_in(issued.token, HERE)
    shop.store.api_keys.clear()
    with pytest.raises(Unauthenticated):
        await door.let_in(issued.token, HERE)


async def test_an_expired_key_is_dead_at_once(shop: Shop) -> None:
    door = Door(shop, fresh=60.0)
    issued = await a_key(shop, evolve(FOR_A_TILL, expires_at=NOW + DAY))
    await door.let_in(issued.token, HERE)
    shop.clock.forward(DAY)
    with pytest.raises(Unauthenticated, match="expired"):
        await door.let_in(issued.token, HERE)


@pytest.mark.parametrize(("ends", "was_known"), [("revoked", False), ("expired", False), ("expired", True)])
async def test_a_dead_key_that_comes_again_and_again_is_known_as_such_and_is_not_used(
    shop: Shop, ends: str, *, was_known: bool
) -> None:
    door = Door(shop, fresh=60.0)
    issued = await a_key(shop, evolve(FOR_A_TILL, expires_at=NOW + DAY))
    if was_known:
        await door.let_in(issued.token, HERE)
        await noted(shop, issued)
    if ends == "revoked":
        await shop.use_cases.revoke_key(SYSTEM, issued.key.id)
    shop.clock.forward(DAY)
    for _ in range(100):
        with pytest.raises(Unauthenticated):
            await door.let_in(issued.token, HERE)
        await asyncio.sleep(0)
    assert door.reads == 1
    # The database need not be asked whether it is let in.
    door.gone = True
    with pytest.raises(Unauthenticated):
        await door.let_in(issued.token, HERE)
    assert shop.store.api_keys[issued.key.id].last_used_at == (NOW if was_known else None)


async def noted(shop: Shop, issued: IssuedKey) -> None:
    async with asyncio.timeout(30):
        while shop.store.api_keys[issued.key.id].last_used_at is None:  # noqa: ASYNC110 - a task of the door writes it
            await asyncio.sleep(0)


async def test_a_key_works_from_its_networks_alone(shop: Shop) -> None:
    door = Door(shop)
    issued = await a_key(shop, evolve(FOR_A_TILL, networks=("10.0.0.0/8", "2001:db8::/32")))
    for address in ("10.1.2.3", "2001:db8::7"):
        assert await door.let_in(issued.token, address)
    for address in ("192.0.2.1", "2001:db9::7", HERE, "<local>", ""):
        with pytest.raises(Unauthenticated, match="address"):
            await door.let_in(issued.token, address)


async def test_known_keys_work_on_while_the_database_is_away(shop: Shop) -> None:
    door, known, new = Door(shop), await a_key(shop), await a_key(shop)
    await door.let_in(known.token, HERE)
    door.gone = True
    for _ in range(3):
        assert await door.let_in(known.token, HERE)
    with pytest.raises(Unavailable):
        await door.let_in(new.token, HERE)
    await shop.use_cases.revoke_key(SYSTEM, known.key.id)
    door.gone = False
    await door.until_refused(known)
    assert await door.let_in(new.token, HERE)


async def test_a_key_that_was_idle_since_an_outage_is_looked_up_before_it_works_again(shop: Shop) -> None:
    # The last attempt to read it counts as one of long ago.
    door, issued = Door(shop, oldest=-1.0), await a_key(shop)
    await door.let_in(issued.token, HERE)
    door.gone = True
    assert await door.let_in(issued.token, HERE)
    await shop.use_cases.revoke_key(SYSTEM, issued.key.id)
    door.gone = False
    with pytest.raises(Unauthenticated):
        await door.let_in(issued.token, HERE)


async def test_known_keys_do_not_work_for_ever_without_the_database(shop: Shop) -> None:
    door, issued = Door(shop, without_database=-1.0), await a_key(shop)
    await door.let_in(issued.token, HERE)
    door.gone = True
    with pytest.raises(Unavailable):
        await door.let_in(issued.token, HERE)


async def test_a_bounded_number_of_keys_is_known(shop: Shop) -> None:
    door, keys = Door(shop, fresh=60.0, most=3), [await a_key(shop) for _ in range(5)]
    for issued in keys:
        await door.let_in(issued.token, HERE)
    for issued in keys[-3:]:
        await door.let_in(issued.token, HERE)
    assert door.reads == 5
    await door.let_in(keys[0].token, HERE)
    assert door.reads == 6


async def test_the_last_use_is_written_beside_the_calls(shop: Shop) -> None:
    door, issued = Door(shop), await a_key(shop)

    async def used_at(moment: object) -> None:
        async with asyncio.timeout(30):
            while shop.store.api_keys[issued.key.id].last_used_at != moment:
                await door.let_in(issued.token, HERE)
                await asyncio.sleep(0.01)

    await used_at(NOW)
    shop.clock.forward(timedelta(seconds=59))
    for _ in range(5):
        await door.let_in(issued.token, HERE)
        await asyncio.sleep(0)
    assert shop.store.api_keys[issued.key.id].last_used_at == NOW
    shop.clock.forward(timedelta(seconds=1))
    await used_at(NOW + timedelta(minutes=1))


async def test_a_caller_who_waits_for_the_look_at_its_key_waits_for_no_note_of_its_use(shop: Shop) -> None:
    issued, find = await a_key(shop), FindKeys(shop.unit_of_work)
    noting, may_be_noted, noted = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def note_use(_: str) -> None:
        noting.set()
        await may_be_noted.wait()
        noted.set()

    # Every call waits for the look at its key.
    let_in = Authenticate(Batched(find), note_use, shop.clock, fresh=-1.0, oldest=-1.0, retry=-1.0)
    async with asyncio.timeout(30):
        await let_in(issued.token, HERE)
        await noting.wait()
        noting.clear()
        await let_in(issued.token, HERE)
        await noting.wait()
        assert not noted.is_set()
        may_be_noted.set()
        await noted.wait()


async def test_a_rotated_key_works_on_for_the_overlap(shop: Shop) -> None:
    door, old = Door(shop), await a_key(shop, FOR_A_CUSTOMER)
    new = await shop.use_cases.rotate_key(SYSTEM, old.key.id, overlap=DAY)
    assert new.key.id != old.key.id
    assert (await door.let_in(new.token, HERE)).scopes == (await door.let_in(old.token, HERE)).scopes
    shop.clock.forward(DAY)
    assert (await door.let_in(new.token, HERE)).user_id == UserId(7)
    with pytest.raises(Unauthenticated):
        await door.let_in(old.token, HERE)


@pytest.mark.parametrize("end", [None, LATER + 30 * DAY])
async def test_a_key_that_is_rotated_again_is_replaced_for_as_long_as_it_was_made_for(
    shop: Shop, end: datetime | None
) -> None:
    """The new key of the first rotation may have been lost with its answer."""
    issued = await a_key(shop, evolve(FOR_A_TILL, expires_at=end))
    lost = await shop.use_cases.rotate_key(SYSTEM, issued.key.id, overlap=DAY)
    shop.clock.forward(DAY / 2)
    new = await shop.use_cases.rotate_key(SYSTEM, issued.key.id, overlap=DAY)
    assert (lost.key.expires_at, new.key.expires_at) == (end, end)
    # The old one ends when it was to end.
    assert shop.store.api_keys[issued.key.id].expires_at == shop.clock() + DAY / 2


async def test_a_rotation_lets_no_key_work_longer(shop: Shop) -> None:
    issued = await a_key(shop, evolve(FOR_A_TILL, expires_at=LATER))
    await shop.use_cases.rotate_key(SYSTEM, issued.key.id, overlap=timedelta(days=7))
    assert shop.store.api_keys[issued.key.id].expires_at == LATER
    for overlap in (timedelta(days=8), timedelta(seconds=-1)):
        with pytest.raises(InvalidKey, match="7 days"):
            await shop.use_cases.rotate_key(SYSTEM, issued.key.id, overlap=overlap)
    await shop.use_cases.revoke_key(SYSTEM, issued.key.id)
    with pytest.raises(InvalidKey):
        await shop.use_cases.rotate_key(SYSTEM, issued.key.id, overlap=DAY)


async def test_nobody_gives_a_right_that_the_giver_does_not_have(shop: Shop) -> None:
    issued = await a_key(shop)
    limited = Principal("limited", scopes=frozenset({Scope.KEYS_WRITE, Scope.ORDERS_READ}))
    with pytest.raises(Forbidden, match=Scope.ORDERS_WRITE):
        await shop.use_cases.create_key(limited, FOR_A_TILL)
    with pytest.raises(Forbidden):
        await shop.use_cases.rotate_key(limited, issued.key.id, overlap=DAY)
    with pytest.raises(Forbidden):
        await shop.use_cases.revoke_key(limited, issued.key.id)
    assert shop.store.api_keys == {issued.key.id: issued.key}
    own = evolve(FOR_A_TILL, scopes=frozenset({Scope.ORDERS_READ}))
    assert (await shop.use_cases.create_key(limited, own)).key.created_by == "limited"


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (evolve(FOR_A_TILL, name=""), "name"),
        (evolve(FOR_A_TILL, name="x" * 201), "name"),
        (evolve(FOR_A_TILL, name="a\0b"), "name"),
        (evolve(FOR_A_TILL, user_id=UserId(1)), "user_id"),
        (evolve(FOR_A_CUSTOMER, user_id=None), "user_id"),
        (evolve(FOR_A_CUSTOMER, scopes=ALL_SCOPES), "scopes"),
        (evolve(FOR_A_TILL, expires_at=NOW), "expires_at"),
        (evolve(FOR_A_TILL, networks=("10.0.0.0/8", "10.0.0.1/8")), "networks[1]"),
        (evolve(FOR_A_TILL, networks=("everywhere",)), "networks[0]"),
        # Stored with spaces between them, a zone with a space could not be read again, nor any list with this key.
        *((evolve(FOR_A_TILL, networks=(f"fe80::%{zone}",)), "networks[0]") for zone in ("eth0", "a b", "\0")),
        (evolve(FOR_A_TILL, networks=("10.0.0.0/8",) * 21), "networks"),
    ],
)
async def test_a_key_that_breaks_a_rule_is_not_made(shop: Shop, new: NewKey, field: str) -> None:
    with pytest.raises(InvalidKey) as refused:
        await a_key(shop, new)
    assert refused.value.field == field
    assert shop.store.api_keys == {}


async def test_a_key_that_does_not_exist_is_neither_rotated_nor_revoked(shop: Shop) -> None:
    with pytest.raises(UnknownKey):
        await shop.use_cases.revoke_key(SYSTEM, "nothing")
    with pytest.raises(UnknownKey):
        await shop.use_cases.rotate_key(SYSTEM, "nothing", overlap=DAY)


async def test_a_scope_of_another_release_is_left_out(shop: Shop) -> None:
    door, issued = Door(shop), await a_key(shop, FOR_A_CUSTOMER)
    scopes = frozenset({"orders:read", "refunds:write", "planets:move"})
    shop.store.api_keys[issued.key.id] = evolve(issued.key, scopes=scopes)
    assert (await door.let_in(issued.token, HERE)).scopes == {Scope.ORDERS_READ}
