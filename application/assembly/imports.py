"""Imports: files with products, with changes of stock, or with orders."""

from collections.abc import Awaitable, Callable

from attrs import frozen

from application.access.guarded import Guarded
from application.access.principal import Principal
from application.assembly.shared import Shared
from application.catalogue.add_products import AddProducts
from application.catalogue.adjust_stock import AdjustStock
from application.catalogue.change_product import ChangeProduct
from application.imports.get_import import GetImport, Import
from application.imports.orders import ApplyOrders
from application.imports.products import ApplyProducts
from application.imports.run_import import ApplyRows, RunImport
from application.imports.start_import import StartImport
from application.imports.stock import ApplyStock
from application.intake.place_order import PlaceOrder
from application.jobs.add_job import StartedJob
from application.jobs.files import ReadFile
from application.ports.rows import NDJSON
from domain.ids import JobId


@frozen(kw_only=True, slots=False)
class ImportUseCases:
    start_import: Callable[..., Awaitable[StartedJob]]
    get_import: Callable[[Principal, JobId], Awaitable[Import]]
    read_results: Guarded[..., bytes]


def import_use_cases(shared: Shared) -> ImportUseCases:
    # What is imported decides which scope is needed.
    uow, ports = shared.uow, shared.ports
    return ImportUseCases(
        start_import=Guarded(None, StartImport(uow, ports.row_parsers, ports.new_id, ports.now), by_shop=True),
        get_import=Guarded(None, GetImport(uow), by_shop=True),
        read_results=Guarded(None, ReadFile(uow), by_shop=True),
    )


def run_import(shared: Shared) -> RunImport:
    """Return the handler of the job. A new kind of row is a line here, and its shape in `bodies/imports.py`."""
    uow, ports, now = shared.uow, shared.ports, shared.ports.now
    apply: dict[str, ApplyRows] = {
        "products": ApplyProducts(AddProducts(uow, now), ChangeProduct(uow, now, ports.price_list)),
        "stock": ApplyStock(AdjustStock(uow, now)),
        "orders": ApplyOrders(PlaceOrder(uow), ports.new_id, now),
    }
    return RunImport(uow, ports.row_parsers, apply, ports.row_writers[NDJSON], batch=shared.limits.import_batch)
