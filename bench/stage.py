"""What a scenario is played on: the empty handler, this build, and this build with its batches turned off."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from attrs import frozen

from bench.options import Options
from bench.shops import Servers, Shop, open_ceiling, open_servers, open_shop

CEILING: Final = "ceiling"
OURS: Final = "holdfast"
UNBATCHED: Final = "one at a time"
_NO_BATCHES: Final = {"HOLDFAST_BATCH_MAX": "1"}


@frozen
class Stage:
    """All three stand ready the whole time, and one of them works."""

    ceiling: Shop
    ours: Shop
    unbatched: Shop

    @property
    def shops(self) -> dict[str, Shop]:
        return {OURS: self.ours, UNBATCHED: self.unbatched}


@contextmanager
def open_stage(options: Options, programs: Sequence[str], *, on_servers: bool = True) -> Iterator[Stage]:
    with ExitStack() as stack:
        options.say("starting the servers" if on_servers else "starting")
        servers: Servers | None = stack.enter_context(open_servers()) if on_servers else None
        options.say("starting the shops")

        def build(name: str, more: dict[str, str]) -> Shop:
            settings = servers.settings(name) if servers else {}
            return stack.enter_context(open_shop(programs, settings | more, servers=servers))

        yield Stage(
            ceiling=stack.enter_context(open_ceiling()),
            ours=build("batched", {}),
            unbatched=build("single", _NO_BATCHES),
        )
