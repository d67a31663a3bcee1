"""API keys and the audit."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from attrs import frozen

from application.access.audit import ActsFound, ListActs, ListAudit
from application.access.authenticate import Authenticate, FindKeys, NoteUse
from application.access.guarded import Guarded
from application.access.manage_keys import CreateKey, IssuedKey, ListKeys, NameKeys, NewKey, RevokeKey, RotateKey
from application.access.principal import Principal
from application.access.scopes import Scope
from application.access.sessions import ConsoleSessions, FindEndedSessions, RecordEndedSessions, RemoveSessions
from application.assembly.shared import Shared
from application.execution.circuit_breaker import CircuitBreaker
from application.ports.api_keys import ApiKey
from application.ports.audit import AuditEntry

C = TypeVar("C")
R = TypeVar("R")


@frozen(kw_only=True, slots=False)
class AccessUseCases:
    list_audit: Guarded[..., Sequence[AuditEntry]]
    list_acts: Guarded[..., ActsFound]
    create_key: Callable[[Principal, NewKey], Awaitable[IssuedKey]]
    list_keys: Guarded[..., Sequence[ApiKey]]
    name_keys: Guarded[..., Mapping[str, str]]
    rotate_key: Guarded[..., IssuedKey]
    revoke_key: Callable[[Principal, str], Awaitable[ApiKey]]
    authenticate: Authenticate
    console_sessions: ConsoleSessions
    remove_sessions: RemoveSessions


def access_use_cases(shared: Shared) -> AccessUseCases:
    limits, uow, now, new_secret = shared.limits, shared.uow, shared.ports.now, shared.ports.new_secret

    def breaker(work: Callable[[Sequence[C]], Awaitable[Sequence[R]]]) -> CircuitBreaker[C, R]:
        return CircuitBreaker(shared.batches(work), seconds=limits.database_timeout, pause=limits.breaker_pause)

    return AccessUseCases(
        list_audit=Guarded(Scope.AUDIT_READ, ListAudit(uow)),
        list_acts=Guarded(Scope.AUDIT_READ, ListActs(uow)),
        create_key=Guarded(Scope.KEYS_WRITE, CreateKey(uow, new_secret, now)),
        list_keys=Guarded(Scope.KEYS_WRITE, ListKeys(uow)),
        # Whoever sees what was done sees who did it.
        name_keys=Guarded(None, NameKeys(uow), by_shop=True),
        rotate_key=Guarded(Scope.KEYS_WRITE, RotateKey(uow, new_secret, now)),
        revoke_key=Guarded(Scope.KEYS_WRITE, RevokeKey(uow, now)),
        authenticate=Authenticate(
            breaker(FindKeys(uow)),
            shared.batches(NoteUse(uow, now)),
            now,
            database_answers=uow.answers,
            time=shared.ports.elapsed,
        ),
        console_sessions=ConsoleSessions(
            breaker(FindEndedSessions(uow)), breaker(RecordEndedSessions(uow)), time=shared.ports.elapsed
        ),
        remove_sessions=RemoveSessions(uow, now),
    )
