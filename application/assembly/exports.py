"""Exports: files with all orders, products or events."""

from collections.abc import Awaitable, Callable

from attrs import frozen

from application.access.guarded import Guarded
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.shared import Shared
from application.execution.idempotency import Keyed
from application.exports.get_export import Export, GetExport
from application.exports.pages import ReadExportPages
from application.exports.request import ExportRequest
from application.exports.start_export import StartExport
from application.feed.read_feed import ReadFeed
from application.jobs.add_job import AddJob, StartedJob
from application.jobs.files import ReadFile
from application.jobs.remove_old import RemoveFiles
from domain.ids import JobId


@frozen(kw_only=True, slots=False)
class ExportUseCases:
    start_export: Callable[[Principal, ExportRequest | Keyed[ExportRequest]], Awaitable[StartedJob]]
    get_export: Callable[[Principal, JobId], Awaitable[Export]]
    read_export: Guarded[..., bytes]
    read_export_pages: ReadExportPages
    remove_files: RemoveFiles


def export_use_cases(shared: Shared) -> ExportUseCases:
    uow = shared.uow
    add_job = AddJob(uow, shared.ports.new_id, shared.ports.now)
    return ExportUseCases(
        start_export=Guarded(Scope.ORDERS_READ, StartExport(add_job), by_shop=True),
        get_export=Guarded(Scope.ORDERS_READ, GetExport(uow), by_shop=True),
        read_export=Guarded(Scope.ORDERS_READ, ReadFile(uow), by_shop=True),
        read_export_pages=ReadExportPages(uow, ReadFeed(uow)),
        remove_files=RemoveFiles(uow, shared.limits.export_retention),
    )
