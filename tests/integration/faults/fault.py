"""What a row of the table of faults is made of."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from attrs import frozen

from tests.integration.faults.house import House

# What breaks, around the time for which it stays broken: leaving the block heals it. Whoever can look whether the
# fault really took place does, and raises AssertionError when it did not.
Break = Callable[[House], AbstractAsyncContextManager[None]]

# For whoever feels nothing of the fault.
GOES_ON: Final = ("place", "read", "pay")

RECOVERS_WITHIN: Final = 30.0


@frozen(kw_only=True)
class Fault:
    """A row. What it promises besides the invariants is said here, and is all that clients may see meanwhile."""

    name: str
    breaking: Break
    hold: float = 3.0
    """Seconds for which it stays broken."""
    within: float = RECOVERS_WITHIN
    """Seconds after which all is done that was begun."""
    api_is_there: bool = True
    """Every request is answered, within its deadline."""
    nothing_unknown: bool = False
    """No request that was taken in stays without its answer, though others may find nobody there."""
    goes_on: tuple[str, ...] = ()
    """Of place, read and pay, what is refused to nobody meanwhile, but for the moment that a queued order takes."""
    missing: Callable[[], str | None] = lambda: None
    """Why it can't be tried on this machine, if so."""

    @property
    def id(self) -> str:
        return "-".join("".join(c if c.isalnum() else " " for c in self.name.lower()).split())
