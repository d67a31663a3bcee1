"""`./dev bench`: what Holdfast does on this machine, each scenario on servers of its own."""

import signal
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Final, NoReturn

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from bench.options import Options
from bench.report import show
from bench.result import Result, encode
from bench.scenarios.living import hot, lifecycle
from bench.scenarios.lonely import lonely
from bench.scenarios.overloaded import overload
from bench.scenarios.placing import embedded, place
from bench.scenarios.reading import list_pages, read
from bench.shops import install
from tests.servers import ServerFailed, ServerMissing

Json = Annotated[bool, Parameter(help="Print the result as one object, too, on the last line.", negative="")]
Seconds = Annotated[float, Parameter(help="How long each build is under load, in two rounds.")]
Orders = Annotated[int, Parameter(help="Fill the shop with as many orders first (place, read and list).")]

SCENARIOS: Final[Mapping[str, Callable[[Options], Result]]] = MappingProxyType(
    {
        "place": place,
        "lifecycle": lifecycle,
        "hot": hot,
        "read": read,
        "list": list_pages,
        "lonely": lonely,
        "embedded": embedded,
        "overload": overload,
    }
)
_INTERRUPTED: Final = 130


def main() -> NoReturn:
    """Exit with 0 when the books were right, 1 when they were not or something failed, 2 when asked for wrongly."""
    # As Ctrl-C, so that what was started is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        kept = _make_app()(exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted; everything that was started is ended", _INTERRUPTED)
    except (ServerFailed, ServerMissing, TimeoutError, AssertionError) as error:
        _fail(str(error), 1)
    sys.exit(0 if kept is not False else 1)


def _make_app() -> App:
    app = App(name="./dev bench", help="Measure Holdfast on this machine.", version_flags=[], help_format="plaintext")
    for name, scenario in SCENARIOS.items():
        app.command(_command(scenario), name=name, help=scenario.__doc__)
    return app


def _command(scenario: Callable[[Options], Result]) -> Callable[..., bool]:
    def run(*, json: Json = False, seconds: Seconds = 10, orders: Orders = 0) -> bool:
        result = measure(scenario, seconds=seconds, orders=orders)
        show(result, Console())
        if json:
            print(encode(result))
        return result.kept

    return run


def measure(scenario: Callable[[Options], Result], *, seconds: float, orders: int) -> Result:
    """Progress goes to standard error."""
    console = Console(stderr=True, highlight=False)
    with console.status("getting ready") as status:

        def say(what: str) -> None:
            status.update(f"{scenario.__name__}: {what}")

        install(("PostgreSQL", "Redis", "RabbitMQ", "wrk"), say)
        return scenario(Options(seconds=seconds, orders=orders, say=say))


def _fail(message: str, status: int) -> NoReturn:
    print(f"bench: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
