"""`holdfast up`, `api`, `worker` and `relay`: the programs that run until they are stopped.

The programs are imported after the settings are read, so that neither a help text nor a wrong setting waits for them.
"""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from entrypoints.cli.common import Data, Whole, command_settings, flush_output, tell
from entrypoints.settings import InvalidSettings, Settings

if TYPE_CHECKING:
    from entrypoints.programs.running import Program

Host = Annotated[str | None, Parameter(help="Address to listen on. Default: 127.0.0.1")]
Port = Annotated[Whole | None, Parameter(help="Port to listen on. Default: 8000")]

_WELCOME: Final = """
Holdfast listens on {url}

  place an order:  curl -s {url}/orders -H 'Content-Type: application/json' \\
                     -d '{{"user_id": 1, "items": [{{"product_id": 1, "quantity": 2}}]}}'
  pay for it:      curl -s -X POST {url}/orders/ORDER_ID/pay
  read it:         curl -s {url}/orders/ORDER_ID
  list products:   curl -s {url}/products

Press Ctrl-C to stop. Requests in progress are finished first, and nothing is lost.
"""


def up(*, host: Host = None, port: Port = None, data: Data = None) -> None:
    settings = command_settings(host=host, port=port, data=data)
    from entrypoints.programs.up import run_up

    _run(settings, partial(run_up, settings, on_started=partial(_announce, settings, _WELCOME)))


def api(*, host: Host = None, port: Port = None) -> None:
    settings = _server_settings("api", "DATABASE_URL", host=host, port=port)
    from entrypoints.programs.api import run_api

    _run(settings, partial(run_api, settings, on_started=partial(_announce, settings, "Listening on {url}")))


def worker() -> None:
    settings = _server_settings("worker", "DATABASE_URL")
    from entrypoints.programs.worker import run_worker

    _run(settings, partial(run_worker, settings))


def relay() -> None:
    settings = _server_settings("relay", "DATABASE_URL", "AMQP_URL")
    from entrypoints.programs.relay import run_relay

    _run(settings, partial(run_relay, settings))


def _announce(settings: Settings, text: str, url: str) -> None:
    """Tell where the API listens: a person in words, and those who read JSON in the log."""
    if settings.log_format == "json":
        import structlog

        structlog.get_logger("holdfast").info("listening", url=url)
        return
    for line in text.format(url=url).splitlines():
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


def _run(settings: Settings, program: "Program") -> None:
    import uvloop

    from entrypoints.logs import configure_logging
    from entrypoints.programs.running import run_until_signalled
    from entrypoints.programs.starting import raise_descriptor_limit

    configure_logging(settings)
    raise_descriptor_limit()
    uvloop.run(run_until_signalled(program, graceful_timeout=settings.shutdown_timeout))
