"""`./dev bench`: measures Holdfast on this machine, each scenario on servers of its own."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from types import MappingProxyType
from typing import Annotated, Final, NoReturn

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number
from msgspec.structs import replace
from rich.console import Console

from application.errors import Trouble
from bench.exporting import export
from bench.filling import fill
from bench.options import MESSAGES, Options
from bench.page import keep, kept
from bench.report import show
from bench.result import Result, encode
from bench.scenarios.backlogged import backlog
from bench.scenarios.living import hot, lifecycle
from bench.scenarios.lonely import lonely
from bench.scenarios.overloaded import overload
from bench.scenarios.placing import embedded, place
from bench.scenarios.reading import list_pages, read
from bench.scenarios.replicated import replicas
from bench.scenarios.rolled_out import rollout
from bench.scenarios.slowed import slow
from bench.scenarios.streamed import stream
from bench.scenarios.taxed import tax
from bench.scenarios.told import webhooks
from bench.shops import ROOT, Grown, Say, install, open_grown
from entrypoints.cli.common import CommandError
from entrypoints.settings import InvalidSettings
from tests.servers import ServerFailed, ServerMissing
from tests.servers.process import hear_signals

Json = Annotated[bool, Parameter(help="Print the result as one object, too, on the last line.", negative="")]
Seconds = Annotated[
    float, Parameter(help="How long each build is under load, in two rounds.", validator=Number(gte=1, lte=3600))
]
Orders = Annotated[int, Parameter(help="Fill the shop with as many orders first.", validator=Number(gte=0))]
Messages = Annotated[
    int, Parameter(help="Let as many messages wait for the worker of backlog.", validator=Number(gte=1))
]

Scenario = Callable[[Options], Result]

SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType(
    {
        "place": place,
        "lifecycle": lifecycle,
        "hot": hot,
        "read": read,
        "list": list_pages,
        "lonely": lonely,
        "embedded": embedded,
        "overload": overload,
        "backlog": backlog,
        "slow": slow,
        "replicas": replicas,
        "stream": stream,
        "tax": tax,
        "rollout": rollout,
        "webhooks": webhooks,
    }
)
_GROWING: Final = ("place", "read", "list")
# Without many orders there is little to change.
_FILLED: Final = (*_GROWING, "rollout")
_DOCS: Final = ROOT / "docs"
_INTERRUPTED: Final = 130


def main() -> NoReturn:
    """Exit with 0 if the data is consistent, 1 if it is not or something failed, 2 for wrong arguments."""
    hear_signals()
    try:
        kept = _make_app()(exit_on_error=False, print_error=False)
    except (CycloptsError, InvalidSettings) as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted; all started processes are ended", _INTERRUPTED)
    except (AssertionError, CommandError, ServerFailed, ServerMissing, TimeoutError, Trouble) as error:
        _fail(str(error), 1)
    sys.exit(0 if kept is not False else 1)


def _make_app() -> App:
    app = App(
        name="./dev bench",
        help="Measure Holdfast on this machine.",
        version_flags=[],
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    for name, scenario in SCENARIOS.items():
        make = _command_on_many if name in _FILLED else _command_on_messages if name == "backlog" else _command
        app.command(make(scenario), name=name, help=scenario.__doc__)
    app.command(measure_all, name="all")
    app.command(plot)
    app.command(fill)
    app.command(export)
    return app


def measure_all(
    *, json: Json = False, seconds: Seconds = 10, orders: Orders = 0, messages: Messages = MESSAGES
) -> bool:
    """Every scenario, and docs/performance.md with a picture of each; with --orders, those that grow once more so."""
    results: list[Result] = []

    def play(scenario: Scenario, grown: Grown | None = None) -> None:
        results.append(measure(scenario, seconds=seconds, messages=messages, grown=grown))
        show(results[-1], Console())
        # After each scenario, so that a later failure loses no results.
        keep(_DOCS, results)

    for scenario in SCENARIOS.values():
        play(scenario)
    if orders:
        with _grow(orders) as grown:
            for name in _GROWING:
                play(SCENARIOS[name], grown)
    kept_all = all(result.kept for result in results)
    if json:
        print(f'{{"scenario":"all","results":[{",".join(map(encode, results))}]}}')
    return kept_all


def plot() -> None:
    """Make docs/performance.md and its pictures again, from the last results."""
    keep(_DOCS, kept(_DOCS))


def _command(scenario: Scenario) -> Callable[..., bool]:
    def run(*, json: Json = False, seconds: Seconds = 10) -> bool:
        return _tell(measure(scenario, seconds=seconds), json=json)

    return run


def _command_on_many(scenario: Scenario) -> Callable[..., bool]:
    def run(*, json: Json = False, seconds: Seconds = 10, orders: Orders = 0) -> bool:
        with _grow(orders) if orders else nullcontext() as grown:
            return _tell(measure(scenario, seconds=seconds, grown=grown), json=json)

    return run


def _command_on_messages(scenario: Scenario) -> Callable[..., bool]:
    def run(*, json: Json = False, seconds: Seconds = 10, messages: Messages = MESSAGES) -> bool:
        return _tell(measure(scenario, seconds=seconds, messages=messages), json=json)

    return run


def _tell(result: Result, *, json: bool) -> bool:
    show(result, Console())
    if json:
        print(encode(result))
    return result.kept


@contextmanager
def _grow(orders: int) -> Iterator[Grown]:
    with ExitStack() as stack:
        with _telling("fill") as say:
            grown = stack.enter_context(open_grown(orders, say))
        yield grown


def measure(scenario: Scenario, *, seconds: float, messages: int = MESSAGES, grown: Grown | None = None) -> Result:
    with _telling(scenario.__name__) as say:
        result = scenario(Options(seconds=seconds, messages=messages, grown=grown, say=say))
        return replace(result, about=scenario.__doc__ or "")


@contextmanager
def _telling(name: str) -> Iterator[Say]:
    """Progress goes to standard error."""
    console = Console(stderr=True, highlight=False)
    with console.status("getting ready") as status:

        def say(what: str) -> None:
            status.update(f"{name}: {what}")

        install(("PostgreSQL", "Redis", "RabbitMQ", "wrk", "nginx"), say)
        yield say


def _fail(message: str, status: int) -> NoReturn:
    print(f"bench: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
