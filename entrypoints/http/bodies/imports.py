"""The rows of files that are imported, and the JSON of imports. Rows have the names that requests and exports have."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from application.imports.get_import import Import
from application.imports.orders import OrderRow
from application.imports.products import ProductRow
from application.imports.request import OnError, What
from application.imports.run_import import counts_in
from application.imports.stock import StockRow
from application.intake.order_request import OrderRequest
from application.ports.rows import Format
from domain.catalogue.product import MAX_COUNT, MAX_SKU
from domain.ids import ProductId
from domain.jobs.job import JobStatus
from domain.orders.status import OrderStatus
from entrypoints.http.bodies.common import NumberedId, WrittenCustomerId
from entrypoints.http.bodies.jobs import ProgressBody
from entrypoints.http.bodies.orders import RequestedItems
from entrypoints.http.bodies.products import AdjustStockBody, ChangeProductBody
from entrypoints.http.field_errors import PRINTABLE
from entrypoints.http.ids import customer_id_of
from entrypoints.http.order_details import ExternalId, NewDetailsBody
from entrypoints.http.refusals import InvalidRequest, in_body

_MAX_REFERENCE = 100


class ProductRowBody(ChangeProductBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product, as an export has it. It is known by its id or its SKU. What is left out stays as it is."""

    id: NumberedId | UnsetType = UNSET
    stock: Annotated[int, Meta(ge=0, le=MAX_COUNT)] | UnsetType = UNSET
    # These are of the shop that has written the export. This shop has its own.
    created_at: datetime | UnsetType = UNSET
    version: int | UnsetType = UNSET

    def to_row(self) -> ProductRow:
        """Raise `InvalidRequest`."""
        if self.id is UNSET and not self.sku:
            raise InvalidRequest(in_body("id", "a product is known by its id or its SKU: one is needed", "required"))
        return ProductRow(
            id=None if self.id is UNSET else ProductId(self.id),
            edit=self.to_edit(),
            stock=None if self.stock is UNSET else self.stock,
        )


class StockRowBody(AdjustStockBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a stock, as `POST /products/{product_id}/stock` takes it."""

    product_id: NumberedId | UnsetType = UNSET
    sku: Annotated[str, Meta(min_length=1, max_length=MAX_SKU)] | UnsetType = UNSET
    reference: Annotated[str, Meta(min_length=1, max_length=_MAX_REFERENCE, pattern=PRINTABLE)] | None = None

    def to_row(self) -> StockRow:
        """Raise `InvalidRequest`."""
        if (self.product_id is UNSET) == (self.sku is UNSET):
            raise InvalidRequest(in_body("product_id", "either this or the SKU is needed, not both", "required"))
        return StockRow(
            product_id=None if self.product_id is UNSET else ProductId(self.product_id),
            sku=None if self.sku is UNSET else self.sku,
            delta=self.delta,
            reason=self.reason,
            expected=self.expected,
            reference=self.reference,
        )


class OrderRowBody(NewDetailsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order that waits to be paid for, as `POST /orders` takes it, known by its `external_id`."""

    external_id: ExternalId
    user_id: WrittenCustomerId
    items: RequestedItems
    status: str = OrderStatus.PENDING

    def members(self) -> int:
        # No such number, so that each row is looked through for members that were written twice.
        return -1

    def to_row(self) -> OrderRow:
        """Raise `InvalidRequest`."""
        if self.status != OrderStatus.PENDING:
            rule = (
                "only orders that wait to be paid for are taken: PENDING; the money of the others was taken elsewhere"
            )
            raise InvalidRequest(in_body("status", rule, "not_one_of"))
        items = tuple(item.requested() for item in self.items)
        return OrderRow(
            self.external_id, OrderRequest(customer_id_of(self.user_id, in_body), items, details=self.details())
        )


class ImportBody(Struct, frozen=True):
    """An import, and how far it is."""

    job_id: UUID
    what: What
    format: Format
    dry_run: bool
    on_error: OnError
    status: JobStatus
    error: str | None
    progress: ProgressBody
    # Whether its rows were done, or are being done. Without it, they were only tried.
    applied: bool
    rows: int
    # How many rows have each outcome.
    outcomes: dict[str, int]
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, found: Import) -> "ImportBody":
        job, wanted = found.job, found.request
        return cls(
            job_id=job.id,
            what=wanted.what,
            format=wanted.format,
            dry_run=wanted.dry_run,
            on_error=wanted.on_error,
            status=job.status,
            error=job.error,
            progress=ProgressBody(job.done, job.total),
            applied=found.is_applied,
            **counts_in(found.results),
            created_at=job.created_at,
            finished_at=job.finished_at,
        )


# Which shape a row of each kind has.
ROWS: dict[str, Any] = {"products": ProductRowBody, "stock": StockRowBody, "orders": OrderRowBody}
