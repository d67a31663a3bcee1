"""The contract of PaymentProvider, on the simulated provider with each ledger; then the contract of the ledgers."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from adapters.payments.simulated.file_ledger import open_file_ledger
from adapters.payments.simulated.gateway import AnotherAmount, SimulatedGateway, UnknownCharge
from adapters.payments.simulated.ledger import Ledger, MemoryLedger, Outcome
from application.errors import OutcomeUnknown, Unavailable
from application.ports.payments import Charge, PaymentDeclined, ProviderLedger
from domain.ids import PaymentId
from domain.money import Money
from tests.unit.builders import euros

ROOT = Path(__file__).parents[2]

# Charges under the numbers from `first` to `last`, and names each when it is acknowledged.
CHARGING = """
import asyncio, sys
from uuid import UUID
from adapters.payments.simulated.file_ledger import open_file_ledger
from adapters.payments.simulated.gateway import SimulatedGateway
from domain.ids import PaymentId
from domain.money import Money

async def main(path, first, last):
    async with open_file_ledger(path) as ledger:
        gateway = SimulatedGateway(ledger)
        permits = asyncio.Semaphore(8)

        async def charge(number):
            async with permits:
                reference = await gateway.charge(PaymentId(UUID(int=number)), Money(number, "EUR"))
                print(number, reference, flush=True)

        await asyncio.gather(*map(charge, range(first, last + 1)))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def a_charging_process(ledger_file: Path, first: int, last: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", CHARGING, str(ledger_file), str(first), str(last)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    return tmp_path / "provider" / "ledger.sqlite"


@pytest.fixture(params=["memory", "file"])
async def ledger(request: pytest.FixtureRequest, ledger_file: Path) -> AsyncIterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger()
    else:
        async with open_file_ledger(ledger_file) as file_ledger:
            yield file_ledger


def a_key() -> PaymentId:
    return PaymentId(uuid7())


async def test_a_charge_is_in_the_ledger(ledger: Ledger) -> None:
    key = a_key()
    reference = await SimulatedGateway(ledger).charge(key, euros(2500))
    [entry] = await ledger.entries()
    assert (entry.key, entry.amount, entry.reference, entry.refunded) == (key, euros(2500), reference, False)
    assert entry.outcome is Outcome.CHARGED
    assert entry.at.tzinfo is not None


async def test_one_key_is_charged_once_by_any_number_of_gateways(ledger: Ledger) -> None:
    key = a_key()
    references = {await SimulatedGateway(ledger).charge(key, euros(2500)) for _ in range(3)}
    assert len(references) == 1
    assert len(await ledger.entries()) == 1


async def test_charges_of_different_keys_have_different_references(ledger: Ledger) -> None:
    gateway = SimulatedGateway(ledger)
    assert len({await gateway.charge(a_key(), euros(1)) for _ in range(10)}) == 10


async def test_another_amount_under_the_same_key_is_an_error_and_no_charge(ledger: Ledger) -> None:
    gateway, key = SimulatedGateway(ledger), a_key()
    await gateway.charge(key, euros(2500))
    for amount in (euros(2501), Money(2500, "USD")):
        with pytest.raises(AnotherAmount, match=f"{key} is of 2500 minor units of EUR"):
            await gateway.charge(key, amount)
    assert [entry.amount for entry in await ledger.entries()] == [euros(2500)]


async def test_a_declined_key_stays_declined(ledger: Ledger) -> None:
    key = a_key()
    for decline_rate in (1.0, 1.0, 0.0):
        with pytest.raises(PaymentDeclined):
            await SimulatedGateway(ledger, decline_rate=decline_rate).charge(key, euros(2500))
    assert [(entry.outcome, entry.reference) for entry in await ledger.entries()] == [(Outcome.DECLINED, None)]


async def test_a_charged_key_is_not_declined_later(ledger: Ledger) -> None:
    key = a_key()
    reference = await SimulatedGateway(ledger).charge(key, euros(2500))
    assert await SimulatedGateway(ledger, decline_rate=1.0).charge(key, euros(2500)) == reference


async def test_the_seed_and_the_key_decide_who_is_declined() -> None:
    keys = [a_key() for _ in range(400)]

    async def declined(seed: int) -> list[PaymentId]:
        gateway = SimulatedGateway(MemoryLedger(), decline_rate=0.25, seed=seed)
        answers = await asyncio.gather(*(gateway.charge(key, euros(1)) for key in keys), return_exceptions=True)
        return [key for key, answer in zip(keys, answers, strict=True) if isinstance(answer, PaymentDeclined)]

    assert await declined(1) == await declined(1)
    assert await declined(1) != await declined(2)
    assert 50 < len(await declined(1)) < 150


async def test_half_of_the_failures_come_after_the_charge_and_a_retry_charges_once(ledger: Ledger) -> None:
    gateway = SimulatedGateway(ledger, failure_rate=1.0, seed=5)
    keys = [a_key() for _ in range(60)]
    for key in keys:
        with pytest.raises(OutcomeUnknown, match=str(key)):
            await gateway.charge(key, euros(2500))
    charged = {entry.key for entry in await ledger.entries()}
    assert 15 <= len(charged) <= 45
    for key in keys:
        await SimulatedGateway(ledger).charge(key, euros(2500))
    assert Counter(entry.key for entry in await ledger.entries()) == Counter(keys)


async def test_enough_retries_get_an_answer(ledger: Ledger) -> None:
    gateway, key = SimulatedGateway(ledger, failure_rate=0.7, seed=3), a_key()
    for _ in range(100):
        try:
            await gateway.charge(key, euros(2500))
            break
        except OutcomeUnknown:
            continue
    else:
        pytest.fail("a hundred attempts had no answer")
    assert len(await ledger.entries()) == 1


async def test_the_same_seed_fails_in_the_same_calls() -> None:
    async def failures(seed: int) -> list[bool]:
        gateway = SimulatedGateway(MemoryLedger(), failure_rate=0.5, seed=seed)
        keys = [PaymentId(UUID(int=number)) for number in range(50)]
        answers = await asyncio.gather(*(gateway.charge(key, euros(1)) for key in keys), return_exceptions=True)
        return [isinstance(answer, OutcomeUnknown) for answer in answers]

    assert await failures(1) == await failures(1)
    assert await failures(1) != await failures(2)


async def test_a_charge_takes_its_time() -> None:
    gateway, loop = SimulatedGateway(MemoryLedger(), delay=(0.05, 0.06)), asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(gateway.charge(a_key(), euros(1)) for _ in range(50)))
    # Side by side: one after the other would take 2.5 s and more.
    assert 0.05 <= loop.time() - began < 50 * 0.05


async def test_two_hundred_charges_at_once_with_repeated_keys_charge_each_key_once(ledger: Ledger) -> None:
    keys = [a_key() for _ in range(150)]
    wanted = [*keys, *keys[:50]]
    gateways = [SimulatedGateway(ledger), SimulatedGateway(ledger)]
    references = await asyncio.gather(
        *(gateways[number % 2].charge(key, euros(100)) for number, key in enumerate(wanted))
    )
    assert references[:50] == references[150:]
    assert len(set(references)) == 150
    assert Counter(entry.key for entry in await ledger.entries()) == Counter(keys)


async def test_a_refund_is_given_once(ledger: Ledger) -> None:
    gateway, key, another = SimulatedGateway(ledger), a_key(), a_key()
    await gateway.charge(key, euros(2500))
    await gateway.charge(another, euros(2500))
    await asyncio.gather(*(gateway.refund(key, euros(2500)) for _ in range(3)))
    assert {entry.key: entry.refunded for entry in await ledger.entries()} == {key: True, another: False}


async def test_a_refunded_charge_is_not_charged_again(ledger: Ledger) -> None:
    gateway, key = SimulatedGateway(ledger), a_key()
    reference = await gateway.charge(key, euros(2500))
    await gateway.refund(key, euros(2500))
    assert await gateway.charge(key, euros(2500)) == reference
    assert [entry.refunded for entry in await ledger.entries()] == [True]


async def test_what_was_not_charged_cannot_be_refunded(ledger: Ledger) -> None:
    key, declined = a_key(), a_key()
    with pytest.raises(UnknownCharge, match=f"{key} is not known here"):
        await SimulatedGateway(ledger).refund(key, euros(2500))
    gateway = SimulatedGateway(ledger, decline_rate=1.0)
    with pytest.raises(PaymentDeclined):
        await gateway.charge(declined, euros(2500))
    with pytest.raises(UnknownCharge, match=f"{declined} was declined"):
        await gateway.refund(declined, euros(2500))
    assert [entry.refunded for entry in await ledger.entries()] == [False]


async def test_another_amount_is_not_refunded(ledger: Ledger) -> None:
    gateway, key = SimulatedGateway(ledger), a_key()
    await gateway.charge(key, euros(2500))
    for amount in (euros(2499), Money(2500, "USD")):
        with pytest.raises(AnotherAmount, match=f"{key} is of 2500 minor units of EUR"):
            await gateway.refund(key, amount)
    assert [entry.refunded for entry in await ledger.entries()] == [False]


async def test_a_refund_that_failed_is_given_once_when_it_is_asked_for_again(ledger: Ledger) -> None:
    keys = [a_key() for _ in range(40)]
    for key in keys:
        await SimulatedGateway(ledger).charge(key, euros(100))
    gateway = SimulatedGateway(ledger, failure_rate=1.0, seed=11)
    for key in keys:
        with pytest.raises(OutcomeUnknown):
            await gateway.refund(key, euros(100))
    assert 5 <= sum(entry.refunded for entry in await ledger.entries()) <= 35
    for key in keys:
        await SimulatedGateway(ledger).refund(key, euros(100))
    assert all(entry.refunded for entry in await ledger.entries())


async def test_the_record_tells_of_every_charge_in_pages_and_of_nothing_that_was_declined(ledger: Ledger) -> None:
    declining, charging = SimulatedGateway(ledger, decline_rate=1), SimulatedGateway(ledger)
    keys = [a_key() for _ in range(12)]
    for position, key in enumerate(keys):
        if position % 4 == 3:
            await charging.charge(key, euros(100 + position))
        else:
            with pytest.raises(PaymentDeclined):
                await declining.charge(key, euros(1))
    charged = keys[3::4]
    await charging.refund(charged[1], euros(107))
    entered = await ledger.get_many(charged)
    expected = [
        Charge(key=key, amount=euros(100 + keys.index(key)), refunded=key == charged[1], at=entered[key].at)
        for key in charged
    ]

    record: ProviderLedger = charging
    found: list[Charge] = []
    while page := await record.charges(after=found[-1].key if found else None, limit=2):
        assert len(page) <= 2
        found += page

    assert found == expected
    assert await record.charges_of([*keys, a_key()]) == {charge.key: charge for charge in expected}
    assert await record.charges_of([]) == {}


async def test_the_ledger_keeps_the_order_of_the_charges(ledger: Ledger) -> None:
    gateway, keys = SimulatedGateway(ledger), [PaymentId(UUID(int=number)) for number in (3, 1, 2)]
    for key in keys:
        await gateway.charge(key, euros(100))
    assert [entry.key for entry in await ledger.entries()] == keys


@pytest.mark.parametrize(
    "settings", [{"decline_rate": 1.5}, {"failure_rate": -0.1}, {"delay": (2.0, 1.0)}, {"delay": (-1.0, 1.0)}]
)
async def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SimulatedGateway(MemoryLedger(), **settings)  # type: ignore[arg-type]


async def test_a_ledger_on_disk_is_found_again_unchanged(ledger_file: Path) -> None:
    async with open_file_ledger(ledger_file) as ledger:
        gateway, key = SimulatedGateway(ledger), a_key()
        await gateway.charge(key, euros(2500))
        await gateway.refund(key, euros(2500))
        entries = await ledger.entries()
    async with open_file_ledger(str(ledger_file)) as ledger:
        assert await ledger.entries() == entries


async def test_a_cancelled_caller_leaves_the_ledger_consistent(ledger_file: Path) -> None:
    async with open_file_ledger(ledger_file) as ledger:
        gateway, keys = SimulatedGateway(ledger), [a_key() for _ in range(50)]
        charges = [asyncio.ensure_future(gateway.charge(key, euros(100))) for key in keys]
        await asyncio.sleep(0)
        for charge in charges[::2]:
            charge.cancel()
        await asyncio.gather(*charges, return_exceptions=True)
        for key in keys:
            await gateway.charge(key, euros(100))
        assert Counter(entry.key for entry in await ledger.entries()) == Counter(keys)


async def test_a_ledger_that_cannot_be_opened_is_named_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("this is no ledger, but it is long enough to be read as one " * 20)
    for path in (tmp_path / "a_file", tmp_path / "a_file" / "ledger.sqlite", tmp_path):
        with pytest.raises(Unavailable, match=str(path)):
            async with open_file_ledger(path):
                pass


async def test_processes_that_charge_the_same_keys_at_once_charge_each_once(ledger_file: Path) -> None:
    processes = [a_charging_process(ledger_file, 1, 60) for _ in range(3)]
    answers = [await asyncio.to_thread(process.communicate, timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    first, second, third = (sorted(output.splitlines()) for output, _ in answers)
    assert first == second == third
    async with open_file_ledger(ledger_file) as ledger:
        assert sorted(entry.amount.minor for entry in await ledger.entries()) == list(range(1, 61))


async def test_each_acknowledged_charge_survives_kill_9(ledger_file: Path) -> None:
    for round_ in range(3):
        with a_charging_process(ledger_file, 1 + round_ * 5_000, (round_ + 1) * 5_000) as process:
            assert process.stdout is not None
            try:
                async with asyncio.timeout(60):
                    acknowledged = [await asyncio.to_thread(process.stdout.readline) for _ in range(30)]
            finally:
                os.kill(process.pid, signal.SIGKILL)
            # Read on where readline stopped: communicate would pass over what it had read ahead.
            acknowledged += await asyncio.to_thread(process.stdout.readlines)
        async with open_file_ledger(ledger_file) as ledger:
            entries = {f"{entry.amount.minor} {entry.reference}" for entry in await ledger.entries()}
        # The last line may have been cut off by the kill.
        whole = [line.strip() for line in acknowledged if line.endswith("\n")]
        assert len(whole) >= 30
        assert set(whole) <= entries
