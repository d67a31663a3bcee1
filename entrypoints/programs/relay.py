"""The relay, which hands events from the outbox to the broker."""

from contextlib import suppress
from datetime import datetime
from typing import Final

import structlog

from application.errors import Trouble
from application.messaging.relay import RelayEvents
from application.ports.messaging import OutboxSignal
from entrypoints.alive import RELAY
from entrypoints.broker import queues_declared
from entrypoints.connections import open_container
from entrypoints.heartbeat import heard_of
from entrypoints.loops import Stop, repeat
from entrypoints.programs.starting import freeze_objects, tell_of_servers
from entrypoints.schema import expect_schema
from entrypoints.settings import Settings

# The signal is best effort, so the relay also looks at this interval, in seconds.
_LOOK_EVERY: Final = 1.0
# Seconds between two batches under load: fewer and larger batches cost less. A single event finds the relay waiting and
# is sent at once.
_REST: Final = 0.005


async def run_relay(settings: Settings, stop: Stop) -> None:
    async with open_container(settings) as container, queues_declared(settings):
        await tell_of_servers(container)
        await expect_schema(container, stop)
        freeze_objects()
        async with heard_of(container.heartbeats(), RELAY):
            await relay(container.use_cases().relay_events, container.outbox_signal(), stop)


async def relay(relay_events: RelayEvents, signal: OutboxSignal, stop: Stop) -> None:
    """Publish events until the stop, and finish the batch in flight."""
    log = structlog.get_logger("holdfast.relay")
    refused = False

    async def step() -> float:
        nonlocal refused
        sent = await relay_events()
        if refused != (refused := relay_events.refused_since is not None):
            _tell_refused(log, relay_events.refused_since)
        if sent:
            log.debug("events relayed", count=sent)
            return _REST if sent > 1 else 0
        await stop.until_first(signal.wait(_LOOK_EVERY))
        return 0

    await repeat(step, stop, name="relay")
    with suppress(Trouble):
        await relay_events.stop()


def _tell_refused(log: structlog.stdlib.BoundLogger, since: datetime | None) -> None:
    if since is None:
        log.info("every announcement was taken")
    else:
        log.warning(
            "announcements are refused; they are tried ever more rarely, and work goes on",
            since=since.isoformat(),
            advice="a queue that is bound to the events rejects them: `holdfast doctor` says more",
        )
