"""Which requests the running code works for, so that each line of the log and each event names them.

The ids are kept in the context of the running task. Tasks that it starts inherit them, and some live longer than the
request, such as one that opens a connection again. So the ids end with the request, for all who inherited them.
"""

from collections.abc import Iterable
from contextvars import ContextVar, Token
from typing import Final


class TracedId(str):
    """The id of a request whose trace is kept, and its place there (`traceparent` of W3C Trace Context).

    It is equal to the plain id. Use cases and the domain pass it on as they do any other, and so a trace goes wherever
    the id of its request goes: into events, to the worker, and to webhooks.
    """

    __slots__ = ("traceparent",)
    traceparent: str

    @classmethod
    def of(cls, id_: str, traceparent: str) -> "TracedId":
        made = cls(id_)
        made.traceparent = traceparent
        return made


def traceparent_of(id_: str | None) -> str | None:
    """Return the place in a trace that goes with the id of a request, if one does."""
    return id_.traceparent if isinstance(id_, TracedId) else None


class WorkingFor:
    """The code of this block works for the requests with these ids."""

    __slots__ = ("_before", "request_ids")

    def __init__(self, request_ids: Iterable[str]) -> None:
        self.request_ids = tuple(request_ids)

    def __enter__(self) -> None:
        self._before: Token[WorkingFor | None] = _current.set(self)

    def __exit__(self, *_: object) -> None:
        self.request_ids = ()
        _current.reset(self._before)


_current: Final[ContextVar[WorkingFor | None]] = ContextVar("working_for", default=None)


def request_id() -> str | None:
    """Return the id of the request that the running code works for: the first of a batch, None if there is none."""
    return next(iter(request_ids()), None)


def request_ids() -> tuple[str, ...]:
    """Return the ids of the requests that the running code works for: none, one, or those of a batch."""
    current = _current.get()
    return () if current is None else current.request_ids
