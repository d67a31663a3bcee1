"""The JSON of the kinds of problems."""

from typing import Literal

from msgspec import Struct


class ProblemKindBody(Struct, frozen=True):
    """One kind of problem. `guarded`: worth sending again, but only a request with a key does no harm."""

    type: str
    code: str
    title: str
    status: int
    cause: str
    remedy: str
    retryable: Literal["no", "yes", "guarded"]


class ProblemKindsBody(Struct, frozen=True):
    items: list[ProblemKindBody]
