"""What a person on duty does: try what has failed, and decide about many things at once."""

from attrs import frozen

from application.access.guarded import Guarded
from application.access.scopes import Scope
from application.assembly.shared import Shared
from application.execution.bounded import Bounded
from application.operations.trial import Trial
from application.operations.try_dead_letter import TryDeadLetter


@frozen(kw_only=True, slots=False)
class OperationsUseCases:
    try_dead_letter: Guarded[..., Trial]


def operations_use_cases(shared: Shared) -> OperationsUseCases:
    ports, uow = shared.ports, shared.uow
    return OperationsUseCases(
        try_dead_letter=Guarded(
            Scope.DEAD_LETTERS_REPLAY, Bounded(TryDeadLetter(uow, ports.provider_ledger, ports.now))
        ),
    )
