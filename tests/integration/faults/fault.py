"""What a row of the table of faults is made of."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from attrs import frozen

from tests.integration.faults.house import House

# Breaks something; leaving the block repairs it. If it can be checked that the fault really happened, the block does so
# and raises AssertionError if it did not.
Break = Callable[[House], AbstractAsyncContextManager[None]]

# For requests that the fault must not affect.
GOES_ON: Final = ("place", "read", "pay")

RECOVERS_WITHIN: Final = 30.0


@frozen(kw_only=True)
class Fault:
    """A row of the table: a fault, and what must hold meanwhile besides the invariants."""

    name: str
    breaking: Break
    hold: float = 3.0
    """Seconds for which it stays broken."""
    within: float = RECOVERS_WITHIN
    """Seconds after which all accepted work is done."""
    api_is_there: bool = True
    """Every request is answered, within its deadline."""
    nothing_unknown: bool = False
    """Every request that was accepted gets a response, although others may be refused a connection."""
    goes_on: tuple[str, ...] = ()
    """The actions (place, read, pay) that are never refused meanwhile, except for an order that is not recorded yet."""
    missing: Callable[[], str | None] = lambda: None
    """Why the fault can't be tried on this machine, if it can't."""

    @property
    def id(self) -> str:
        return "-".join("".join(c if c.isalnum() else " " for c in self.name.lower()).split())
