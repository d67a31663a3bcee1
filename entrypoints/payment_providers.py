"""Opens the payment provider that the settings name."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from attrs import frozen

from adapters.payments.simulated.file_ledger import FileLedger
from adapters.payments.simulated.gateway import SimulatedGateway
from application.ports.payments import PaymentProvider, ProviderLedger
from entrypoints.settings import Settings


@frozen
class Provider:
    """The provider and its ledger. Neither is opened before it is used."""

    gateway: PaymentProvider
    ledger: ProviderLedger
    # The file behind both.
    file: FileLedger


@asynccontextmanager
async def open_provider(settings: Settings, *, new: bool) -> AsyncGenerator[Provider, None]:
    """With `new`, the file is made if there is none."""
    ledger = FileLedger(settings.ledger, new=new)
    try:
        gateway = SimulatedGateway(
            ledger,
            delay=settings.gateway_delay,
            decline_rate=settings.gateway_decline_rate,
            failure_rate=settings.gateway_failure_rate,
            seed=settings.gateway_seed,
        )
        # Reading the ledger has none of the simulated faults.
        yield Provider(gateway, SimulatedGateway(ledger), ledger)
    finally:
        await ledger.close()
