"""What `Client` does with bulk operations."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TypeVar
from uuid import UUID

from holdfast_client import bulk_calls
from holdfast_client.bulk_calls import Filter
from holdfast_client.bulk_models import BulkCount, BulkOperation, BulkResult, Results
from holdfast_client.calls import Call
from holdfast_client.defaults import PAGE
from holdfast_client.models import Page

T = TypeVar("T")


class BulkMethods(ABC):
    @abstractmethod
    def _send(self, call: Call[T]) -> T: ...

    @abstractmethod
    def _download(self, path: str) -> Iterator[bytes]: ...

    def count_bulk(self, act: str, *, orders: Filter | None = None, letters: Filter | None = None) -> BulkCount:
        """Count what `start_bulk` would be about, and do nothing."""
        return self._send(bulk_calls.count(act, orders, letters))

    def start_bulk(  # noqa: PLR0913 - as the API has it
        self,
        act: str,
        *,
        orders: Filter | None = None,
        letters: Filter | None = None,
        reason: str = "",
        seen: BulkCount | None = None,
        key: str | None = None,
    ) -> UUID:
        """Start to `cancel` or `retry` many orders, or to `replay` or `discard` many dead letters. Return its job.

        `orders` are members of a search, as in `{"status": ["PENDING"]}`, or `{"ids": [...]}`. `letters` are `queue`,
        `error` and `place`. Of more than 100, `seen` must be what `count_bulk` has returned. Raise `RefusedByRules` if
        others are there now.
        """
        return self._send(bulk_calls.start(act, orders, letters, reason, seen, key))

    def bulk_operation(self, job_id: UUID | str) -> BulkOperation:
        return self._send(bulk_calls.get(job_id))

    def bulk_operation_page(self, *, cursor: str | None = None, limit: int | None = None) -> Page[BulkOperation]:
        return self._send(bulk_calls.page(cursor=cursor, limit=limit))

    def bulk_operations(self) -> Iterator[BulkOperation]:
        page = self._send(bulk_calls.page(limit=PAGE))
        while True:
            yield from page
            if page.next is None:
                return
            page = self._send(bulk_calls.page(cursor=page.next, limit=PAGE))

    def follow_bulk(self, job_id: UUID | str, *, every: float = 1.0) -> Iterator[BulkOperation]:
        """Yield how far it is, until it has ended, with so many seconds between two looks."""
        while True:
            operation = self._send(bulk_calls.get(job_id))
            yield operation
            if operation.is_finished:
                return
            time.sleep(every)

    def stop_bulk(self, job_id: UUID | str) -> BulkOperation:
        """Have no further item taken. What is done stays done."""
        return self._send(bulk_calls.stop(job_id))

    def bulk_results(self, job_id: UUID | str) -> Iterator[BulkResult]:
        """Yield what became of each item so far. Raise `NotFound` before the first one is done."""
        results = Results()
        for part in self._download(bulk_calls.results_path(job_id)):
            yield from results.take(part)
