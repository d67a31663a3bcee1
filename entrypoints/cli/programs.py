"""`holdfast up`, `api`, `worker` and `relay`: the programs that run until they are stopped.

The programs are imported after the settings are read, so that neither a help text nor a wrong setting waits for them.
"""

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from entrypoints.cli.common import Data, Whole, command_settings
from entrypoints.cli.output import flush_output, tell
from entrypoints.processes.parent import ENDS_LATE, STAGES, end_with_parent, tell_parent
from entrypoints.settings import InvalidSettings, Settings

if TYPE_CHECKING:
    from entrypoints.programs.running import Program

Host = Annotated[str | None, Parameter(help="Address to listen on. Default: 127.0.0.1")]
Port = Annotated[Whole | None, Parameter(help="Port to listen on. Default: 8000")]

Supervised = Annotated[bool, Parameter(show=False, negative="")]

_WELCOME: Final = """
Holdfast listens on {url}

  place an order:  curl -s {url}/orders -H 'Content-Type: application/json' \\
                     -d '{{"user_id": 1, "items": [{{"product_id": 1, "quantity": 2}}]}}'
  pay for it:      curl -s -X POST {url}/orders/ORDER_ID/pay
  read it:         curl -s {url}/orders/ORDER_ID
  list products:   curl -s {url}/products
{console}
Press Ctrl-C to stop. Requests in progress are finished first, and nothing is lost.
"""
_SEE_IT_ALL: Final = "  see it all:      {url}/console\n"
_LISTENING: Final = "Listening on {url}{console}"
_CONSOLE: Final = "\nThe console is at {url}/console"


def up(
    *,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    api: Annotated[Whole | None, Parameter(help="Processes that answer HTTP, all on one port. Default: 1")] = None,
    workers: Annotated[Whole | None, Parameter(help="Worker processes. Default: 1")] = None,
    daemon: Annotated[
        bool,
        Parameter(
            negative="", help="Go on in the background; `holdfast stop` ends it. The logs are in the data folder."
        ),
    ] = False,
    supervised: Supervised = False,
) -> None:
    settings = command_settings(host=host, port=port, data=data, api_processes=api, worker_processes=workers)
    expect_processes(settings)
    if daemon:
        from entrypoints.processes.daemon import start_daemon

        for line in start_daemon(settings):
            tell(line)
        return
    announce = tell_parent if supervised else partial(_announce, settings, _WELCOME, _SEE_IT_ALL)
    if settings.api_processes == settings.worker_processes == 1:
        from entrypoints.programs.up import run_up

        _run(settings, partial(run_up, settings, on_started=announce))
        return
    from entrypoints.programs.processes import run_processes

    _run(
        settings,
        partial(run_processes, settings, log_files=supervised, on_started=announce),
        graceful_timeout=STAGES * (settings.shutdown_timeout + ENDS_LATE),
    )


def stop(*, data: Data = None) -> None:
    settings = command_settings(data=data)
    from entrypoints.processes.daemon import stop_all

    tell(stop_all(settings))


def api(*, host: Host = None, port: Port = None, supervised: Supervised = False) -> None:
    settings = _server_settings("api", "DATABASE_URL", host=host, port=port)
    from entrypoints.programs.api import run_api

    announce = tell_parent if supervised else partial(_announce, settings, _LISTENING, _CONSOLE)
    _run(settings, partial(run_api, settings, on_started=announce, shared_port=supervised), supervised=supervised)


def worker(*, supervised: Supervised = False) -> None:
    settings = _server_settings("worker", "DATABASE_URL")
    from entrypoints.programs.worker import run_worker

    _run(settings, partial(run_worker, settings), supervised=supervised)


def relay(*, supervised: Supervised = False) -> None:
    settings = _server_settings("relay", "DATABASE_URL", "AMQP_URL")
    from entrypoints.programs.relay import run_relay

    _run(settings, partial(run_relay, settings), supervised=supervised)


def expect_processes(settings: Settings) -> None:
    """Raise `InvalidSettings` for more processes than there may be with these servers."""
    if not settings.database_url and max(settings.api_processes, settings.worker_processes) > 1:
        raise InvalidSettings(
            "several processes can't share a SQLite file: it has one writer, and its broker and its caches are in one"
            " process; set DATABASE_URL to a PostgreSQL server, or leave out --api, --workers, HOLDFAST_API_PROCESSES"
            " and HOLDFAST_WORKER_PROCESSES"
        )
    if not settings.amqp_url and settings.worker_processes > 1:
        raise InvalidSettings(
            "several workers need a broker that they share: set AMQP_URL, or leave out --workers and"
            " HOLDFAST_WORKER_PROCESSES"
        )


def _announce(settings: Settings, text: str, console: str, url: str) -> None:
    """Tell where the API listens, and the console where it is on: in words, or in the log for those who read JSON."""
    if settings.log_format == "json":
        import structlog

        structlog.get_logger("holdfast").info("listening", url=url)
        return
    shown = console.format(url=url) if settings.console else ""
    for line in text.format(url=url, console=shown).splitlines():
        tell(line)
    flush_output()


def _server_settings(command: str, *needed: str, **given: object) -> Settings:
    """Raise `InvalidSettings` without the servers that this program shares with others."""
    settings = command_settings(**given)
    found = {"DATABASE_URL": settings.database_url, "AMQP_URL": settings.amqp_url}
    missing = [name for name in needed if not found[name]]
    if "DATABASE_URL" in missing:
        raise InvalidSettings(
            f"holdfast {command} works beside other processes, which can't share SQLite: set DATABASE_URL to a"
            " PostgreSQL server; `holdfast up` runs everything in one process and needs none"
        )
    if missing:
        raise InvalidSettings(
            f"holdfast {command} needs AMQP_URL: without a broker, `holdfast worker` or `holdfast up` does its work"
        )
    return settings


def _run(
    settings: Settings, program: "Program", *, supervised: bool = False, graceful_timeout: timedelta | None = None
) -> None:
    import uvloop

    from entrypoints.logs import configure_logging
    from entrypoints.programs.running import run_until_signalled
    from entrypoints.programs.starting import raise_descriptor_limit

    configure_logging(settings)
    raise_descriptor_limit()
    if supervised:
        end_with_parent(settings.shutdown_timeout)
    uvloop.run(run_until_signalled(program, graceful_timeout=graceful_timeout or settings.shutdown_timeout))
