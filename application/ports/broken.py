"""Rows that break a rule of the domain, as after a change by hand. In a list each stands in its place."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from application.errors import BrokenRow
from domain.ids import EndpointId, JobId, OrderId, ProductId
from domain.jobs.job import Job
from domain.orders.order import Order

Id = TypeVar("Id")
T = TypeVar("T")
B = TypeVar("B", bound="Broken[Any]")

# What reading the arguments of a job may raise: they are any JSON.
UNREADABLE: Final = (AttributeError, KeyError, TypeError, ValueError)


class Broken(BrokenRow, Generic[Id]):
    """What stands in the place of the entity with this id. The message says which rule is broken."""

    def __init__(self, id_: Id, message: str) -> None:
        super().__init__(message)
        self.id = id_


class BrokenOrder(Broken[OrderId]): ...


class BrokenProduct(Broken[ProductId]): ...


class BrokenEndpoint(Broken[EndpointId]): ...


class BrokenJob(Broken[JobId]):
    def __init__(self, id_: JobId, message: str, *, created_at: datetime) -> None:
        super().__init__(id_, message)
        self.created_at = created_at


class BrokenOrders(BrokenRow):
    """Some of the orders that a call names are broken. `sound` are the others that exist."""

    def __init__(self, broken: Mapping[OrderId, BrokenOrder], sound: Mapping[OrderId, Order]) -> None:
        super().__init__("; ".join(map(str, broken.values())))
        self.broken = broken
        self.sound = sound


def of_arguments(job: Job, error: Exception) -> BrokenJob:
    what = f"job {job.id} is stored with invalid arguments: {error!r}"
    return BrokenJob(job.id, what, created_at=job.created_at)


def sound(found: Iterable[T | Broken[Any]]) -> list[T]:
    """Return those that can be shown."""
    return [each for each in found if not isinstance(each, Broken)]


def broken(found: Iterable[object], kind: type[B]) -> list[B]:
    """Return those that can't be shown."""
    return [each for each in found if isinstance(each, kind)]


def apart(found: Iterable[T | B], kind: type[B]) -> tuple[list[T], list[B]]:
    """Return those that can be shown, and those that can't."""
    listed = list(found)
    return sound(listed), broken(listed, kind)
