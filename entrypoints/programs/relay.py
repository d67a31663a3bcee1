"""The relay, which gives events their positions in the feed, and hands them from the outbox to the broker."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

import structlog

from adapters.memory.signal import MemoryOutboxSignal
from application.assembly.use_cases import UseCases
from application.errors import Trouble
from application.messaging.relay import RelayEvents
from application.ports.messaging import OutboxSignal
from application.webhooks.send import SendWebhooks
from entrypoints.alive import RELAY
from entrypoints.broker import queues_declared
from entrypoints.connections import open_container
from entrypoints.heartbeat import heard_of
from entrypoints.loops import Stop, repeat, repeated
from entrypoints.programs.metrics import database_sampled, metrics_served
from entrypoints.programs.starting import freeze_objects, tell_of_servers
from entrypoints.schema import expect_schema
from entrypoints.settings import Settings

# The signal is best effort, so the relay also looks at this interval, in seconds.
_LOOK_EVERY: Final = 1.0
# Seconds between two batches under load: fewer and larger batches cost less. A single event finds the relay waiting and
# is sent at once.
_REST: Final = 0.005
# The same for positions. A transaction costs as much as a hundred events in it, and nobody waits for a position as a
# payment waits for its request.
_FEED_REST: Final = 0.1
# Seconds between two looks for positions that are older than the retention.
_PRUNE_EVERY: Final = 60.0


async def run_relay(settings: Settings, stop: Stop) -> None:
    async with open_container(settings, program=RELAY) as container, queues_declared(settings):
        await tell_of_servers(container)
        await expect_schema(container, stop)
        freeze_objects()
        async with (
            metrics_served(container, RELAY),
            database_sampled(container),
            heard_of(container.heartbeats(), RELAY, last=container.last_heartbeat()),
        ):
            await relay(container.use_cases(), container.outbox_signal(), stop)


async def relay(use_cases: UseCases, signal: OutboxSignal, stop: Stop) -> None:
    """Give positions, publish events and send webhooks until the stop, and finish what is in flight.

    The three don't wait for each other: the feed goes on while the broker is down, and so do webhooks.
    """
    woken = (MemoryOutboxSignal(), MemoryOutboxSignal())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_wake(woken, signal, stop))
        tasks.create_task(_give_positions(use_cases, woken[0], stop))
        tasks.create_task(_publish(use_cases.relay_events, woken[1], stop))
        tasks.create_task(_send_webhooks(use_cases.send_webhooks, stop))
    for stopped in (use_cases.give_positions, use_cases.relay_events, use_cases.send_webhooks):
        with suppress(Trouble):
            await stopped.stop()


async def _wake(woken: Sequence[OutboxSignal], signal: OutboxSignal, stop: Stop) -> None:
    """A signal wakes one waiter, and there are two."""
    while not stop.is_set():
        await stop.until_first(signal.wait(_LOOK_EVERY))
        for each in woken:
            each.notify()


async def _give_positions(use_cases: UseCases, woken: OutboxSignal, stop: Stop) -> None:
    async def step() -> float:
        given = await use_cases.give_positions()
        if given:
            use_cases.send_webhooks.wake()
            return _FEED_REST if 1 < given < use_cases.give_positions.limit else 0
        # It is woken after each look for a signal.
        await stop.until_first(woken.wait(10 * _LOOK_EVERY))
        return 0

    async def prune() -> float:
        return 0 if await use_cases.prune_feed() else _PRUNE_EVERY

    async with repeated(prune, name="feed"):
        await repeat(step, stop, name="feed")


async def _publish(relay_events: RelayEvents, woken: OutboxSignal, stop: Stop) -> None:
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
        # It is woken after each look for a signal.
        await stop.until_first(woken.wait(10 * _LOOK_EVERY))
        return 0

    await repeat(step, stop, name="relay")


async def _send_webhooks(send: SendWebhooks, stop: Stop) -> None:
    log = structlog.get_logger("holdfast.webhooks")

    async def step() -> float:
        for ended in await send():
            about = {"endpoint_id": str(ended.endpoint_id), "delivered": ended.delivered, "failed": ended.failed}
            if isinstance(ended.error, Trouble):
                log.warning("what was sent is not recorded, and is sent again", **about, reason=str(ended.error))
            elif ended.error is not None:
                log.error(
                    "an error in a round of webhooks: what did not arrive is sent again", **about, exc_info=ended.error
                )
            elif ended.disabled is not None:
                log.warning("a webhook endpoint was disabled", **about, because=ended.disabled.value)
            else:
                log.debug("webhooks sent", **about)
        await stop.until_first(send.wait())
        return 0

    await repeat(step, stop, name="webhooks")


def _tell_refused(log: structlog.stdlib.BoundLogger, since: datetime | None) -> None:
    if since is None:
        log.info("every announcement was taken")
    else:
        log.warning(
            "announcements are refused; they are tried ever more rarely, and work goes on",
            since=since.isoformat(),
            advice="a queue that is bound to the events rejects them: `holdfast doctor` says more",
        )
