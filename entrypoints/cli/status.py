"""`holdfast status`: what waits, and who is at work."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from entrypoints.cli.common import Data, command_settings, with_engine
from entrypoints.cli.output import tell

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from application.ports.overview import QueueState
    from entrypoints.settings import Settings

_WIDEST = 12


def status(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object.")] = False,
    data: Data = None,
) -> None:
    settings = command_settings(data=data)

    async def work(engine: "AsyncEngine") -> None:
        found = await _found(settings, engine)
        if as_json:
            tell(json.dumps(found))
        else:
            _print(found)

    with_engine(settings, work)


async def _found(settings: "Settings", engine: "AsyncEngine") -> dict[str, Any]:
    from adapters.sql.heartbeats import SqlHeartbeats, provider_silence
    from adapters.sql.overview import overview
    from adapters.sql.schema import schema_problem
    from entrypoints.database import NotReady
    from entrypoints.heartbeat import missing
    from entrypoints.processes.folder import Folder

    if (problem := await schema_problem(engine)) is not None:
        raise NotReady(problem)
    seen, heard = await overview(engine), await SqlHeartbeats(engine).all()
    silence = provider_silence(heard)
    return {
        "orders": {status.value: count for status, count in seen.orders.items()},
        "outbox": seen.outbox,
        "dead_letters": seen.dead_letters,
        "queues": await _queues(settings),
        "oldest_waiting": None
        if seen.oldest is None
        else {
            "order_id": str(seen.oldest.id),
            "status": seen.oldest.status.value,
            "since": seen.oldest.since.isoformat(),
            "seconds": round((datetime.now(UTC) - seen.oldest.since).total_seconds()),
        },
        "processes": [
            {"kind": each.kind, "instance": each.instance, "seen_seconds_ago": each.age and round(each.age, 1)}
            for each in heard
        ],
        "missing": missing(heard),
        "provider_silence": None
        if silence is None
        else {"since": silence.since.isoformat(), "failed_calls": silence.failed_calls},
        "here": [{"name": name, "pid": pid} for name, pid in Folder(settings.data).running().items()],
    }


async def queue_states(settings: "Settings") -> "Sequence[QueueState]":
    """Empty if the queues are in the memory of another process. Raise `Unavailable`."""
    if not settings.amqp_url:
        return []
    from adapters.rabbitmq.queue_states import open_queues
    from adapters.rabbitmq.topology import Topology

    async with open_queues(settings.amqp_url, Topology(settings.namespace)) as queues:
        return await queues.look()


async def _queues(settings: "Settings") -> list[dict[str, Any]]:
    from application.errors import Unavailable

    try:
        states = await queue_states(settings)
    except Unavailable as error:
        return [{"name": "all", "problem": str(error)}]
    return [
        {"name": each.name, "problem": each.problem}
        if each.problem
        else {"name": each.name, "messages": each.ready, "consumers": each.consumers}
        for each in states
    ]


def _print(found: dict[str, Any]) -> None:
    for name, count in found["orders"].items():
        _line("orders", name, count)
    _line("outbox", "events", found["outbox"])
    _line("dead", "letters", found["dead_letters"])
    for queue in found["queues"]:
        said = f"{queue['messages']:>9}  {_count(queue['consumers'], 'consumer')}" if "messages" in queue else ""
        _line("queue", queue["name"], said or f"FAILS  {queue['problem']}")
    if oldest := found["oldest_waiting"]:
        _line("oldest", oldest["status"], f"for {oldest['seconds']} s  order {oldest['order_id']}")
    for process in found["processes"]:
        ago = process["seen_seconds_ago"]
        heard = "in the future: the database's clock was set back" if ago is None else f"{ago:g} s ago"
        _line(process["kind"], "seen", f"{heard}  {process['instance']}")
    for process in found["here"]:
        _line("here", process["name"], f"process {process['pid']}")
    if silence := found["provider_silence"]:
        _line(
            "provider",
            "SILENT",
            f"no answer since {silence['since']}  {_count(silence['failed_calls'], 'failed call')}",
        )
    for kind in found["missing"]:
        _line(kind, "MISSING", "none is at work")


def _line(about: str, name: str, value: object) -> None:
    shown = f"{value:>9}" if isinstance(value, int) else value
    tell(f"{about:8} {name:{_WIDEST}} {shown}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
