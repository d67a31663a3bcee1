"""What the API returns of bulk operations. What a later release adds is in `raw`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID


@dataclass(frozen=True, slots=True)
class BulkCount:
    """How many orders or dead letters an operation would be about, and by `digest` which.

    With `more`, there are others, which would be left out.
    """

    count: int
    digest: str
    more: bool
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(body["count"], body["digest"], body["more"], body)


@dataclass(frozen=True, slots=True)
class BulkOperation:
    """How far an operation is: of `count` items so many are `done`, have `failed`, were `skipped` or are `open`.

    Those `in_flight` were replayed, or their payment was asked for, and what comes of it is not known yet.
    """

    job_id: UUID
    act: str
    # As a `Job` has it.
    status: str
    count: int
    done: int
    failed: int
    skipped: int
    open: int
    in_flight: int
    # Why no further item was taken, if that is so.
    stopped: str
    error: str | None
    created_at: datetime
    is_finished: bool
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            job_id=UUID(body["job_id"]),
            act=body["act"],
            status=body["status"],
            count=body["count"],
            done=body["done"],
            failed=body["failed"],
            skipped=body["skipped"],
            open=body["open"],
            in_flight=body["in_flight"],
            stopped=body["stopped"],
            error=body["error"],
            created_at=datetime.fromisoformat(body["created_at"]),
            is_finished=body["finished_at"] is not None,
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of an order, or of a dead letter, by its id: `done`, `failed`, `skipped` or `open`, and why."""

    id: UUID | int
    outcome: str
    reason: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, line: bytes) -> Self:
        body = json.loads(line)
        id_ = UUID(body["id"]) if isinstance(body["id"], str) else int(body["id"])
        return cls(id_, body["outcome"], body["reason"], body)


@dataclass(slots=True)
class Results:
    """The lines of a file, whose parts may end anywhere."""

    _rest: bytes = b""

    def take(self, part: bytes) -> Iterator[BulkResult]:
        *lines, self._rest = (self._rest + part).split(b"\n")
        yield from map(BulkResult.of, lines)
