"""Every use case, made from ports and limits: the whole composition, in one place, with a file for each capability.

The programs, the tests and the simulation call `assemble`, so that what the simulation proves is what runs.
"""

from typing import Any

from attrs import asdict

from application.assembly.access import access_use_cases
from application.assembly.carts import cart_use_cases
from application.assembly.catalogue import catalogue_use_cases
from application.assembly.exports import export_use_cases
from application.assembly.feed import feed_use_cases
from application.assembly.imports import import_use_cases
from application.assembly.jobs import job_use_cases
from application.assembly.limits import Limits
from application.assembly.measuring import measured, traced
from application.assembly.messaging import messaging_use_cases
from application.assembly.operations import operations_use_cases
from application.assembly.orders import order_use_cases
from application.assembly.overview import overview_use_cases
from application.assembly.ports import Ports
from application.assembly.shared import Shared
from application.assembly.upkeep import upkeep_use_cases
from application.assembly.use_cases import UseCases
from application.assembly.webhooks import webhook_use_cases

_CAPABILITIES = (
    order_use_cases,
    catalogue_use_cases,
    cart_use_cases,
    feed_use_cases,
    access_use_cases,
    job_use_cases,
    export_use_cases,
    import_use_cases,
    messaging_use_cases,
    operations_use_cases,
    webhook_use_cases,
    upkeep_use_cases,
    overview_use_cases,
)


def assemble(ports: Ports, limits: Limits) -> UseCases:
    shared = Shared.of(measured(traced(ports)), limits)
    made: dict[str, Any] = {}
    for capability in _CAPABILITIES:
        made |= asdict(capability(shared), recurse=False)
    return UseCases(**made, batches=shared.batches)
