from contextlib import suppress
from typing import Final

import structlog

from application.errors import Trouble
from application.messaging.relay import RelayEvents
from application.ports.messaging import OutboxSignal
from entrypoints.loops import Stop, repeat

# The signal is best effort: this often, in seconds, the relay looks without one.
_LOOK_EVERY: Final = 1.0
# Seconds between two batches while events come in numbers: fewer and larger ones cost everybody less. An event that
# comes alone finds the relay waiting, and waits for nothing.
_REST: Final = 0.005


async def run_relay(relay_events: RelayEvents, signal: OutboxSignal, stop: Stop) -> None:
    """Hand events to the broker until told to stop; what is in flight then is finished."""
    log = structlog.get_logger("holdfast.relay")

    async def step() -> float:
        sent = await relay_events()
        if sent:
            log.debug("events relayed", count=sent)
            return _REST if sent > 1 else 0
        await stop.until_first(signal.wait(_LOOK_EVERY))
        return 0

    await repeat(step, stop, name="relay")
    with suppress(Trouble):
        await relay_events.stop()
