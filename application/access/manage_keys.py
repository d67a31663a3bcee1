"""Make, list, rotate and revoke API keys."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import ClassVar, Final

from attrs import evolve, frozen

from application.access.audit import caller_of
from application.access.principal import Forbidden, Principal
from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, ROLES, Role, Scope
from application.access.tokens import digest_of, id_of, is_id, token_of
from application.ports.api_keys import ApiKey, Kind, Network
from application.ports.audit import AuditEntry
from application.ports.environment import Clock, NewSecret
from application.ports.persistence import Transaction, UnitOfWork
from domain.errors import DomainError
from domain.ids import CustomerId

MAX_NAME: Final = 200
MAX_NETWORKS: Final = 20
LONGEST_OVERLAP: Final = timedelta(days=7)
_ROTATED: Final = "key.rotated"
# Of one key, that are looked through for its first rotation.
_MOST_ACTS: Final = 1000


class UnknownKey(DomainError):
    """There is no such API key."""

    code: ClassVar[str] = "unknown_key"


class InvalidKey(DomainError):
    """An API key that breaks a rule."""

    code: ClassVar[str] = "invalid_key"


@frozen(kw_only=True)
class NewKey:
    """A key that somebody asks for. Without scopes it gets those of its role."""

    name: str
    role: Role
    kind: Kind = "live"
    scopes: frozenset[Scope] | None = None
    user_id: CustomerId | None = None
    networks: tuple[str, ...] = ()
    expires_at: datetime | None = None


@frozen
class IssuedKey:
    """A new key. Its `token` is known here for the only time."""

    key: ApiKey
    token: str


@frozen
class CreateKey:
    """Make a key. Nobody gives rights that the giver does not have. Raise `InvalidKey` or `Forbidden`."""

    _unit_of_work: UnitOfWork
    _new_secret: NewSecret
    _now: Clock

    async def __call__(self, by: Principal, new: NewKey) -> IssuedKey:
        issued = self._issue(by, new)
        _expect_rights(by, issued.key)
        async with self._unit_of_work() as tx:
            await tx.api_keys.add_many([issued.key])
            await tx.audit.add_many([_entry(by, "key.created", issued.key, issued.key.created_at)])
        return issued

    def _issue(self, by: Principal, new: NewKey) -> IssuedKey:
        now, secret = self._now(), self._new_secret()
        scopes = ROLES[new.role] if new.scopes is None else new.scopes
        if errors := list(_wrong_in(new, scopes, now)):
            raise InvalidKey(str(errors[0]), field=errors[0].field, others=errors[1:])
        token = token_of(new.kind, new.role, secret)
        key = ApiKey(
            id=id_of(secret),
            digest=digest_of(token),
            kind=new.kind,
            role=new.role,
            name=new.name,
            scopes=frozenset(map(str, scopes)),
            user_id=new.user_id,
            networks=tuple(map(network_of, new.networks)),
            created_at=now,
            created_by=by.key_id,
            expires_at=new.expires_at,
        )
        return IssuedKey(key, token)


@frozen
class ListKeys:
    """List the keys by their ids, also those that work no more. A page begins after the key `after`."""

    _unit_of_work: UnitOfWork

    async def __call__(self, _by: Principal, *, after: str | None = None, limit: int) -> Sequence[ApiKey]:
        async with self._unit_of_work.reading() as tx:
            return await tx.api_keys.page(after=after, limit=limit)


@frozen
class NameKeys:
    """Return the names of these keys, also of those that work no more. Callers that are no key have none."""

    _unit_of_work: UnitOfWork

    async def __call__(self, _by: Principal, key_ids: Collection[str]) -> Mapping[str, str]:
        ids = {id_ for id_ in key_ids if is_id(id_)}
        if not ids:
            return {}
        async with self._unit_of_work.reading() as tx:
            return {id_: key.name for id_, key in (await tx.api_keys.get_many(ids)).items()}


@frozen
class RotateKey:
    """Make a key with the same rights, and let the old one work for the `overlap`, but no longer than before.

    Raise `UnknownKey`, `InvalidKey` or `Forbidden`.
    """

    _unit_of_work: UnitOfWork
    _new_secret: NewSecret
    _now: Clock

    async def __call__(self, by: Principal, key_id: str, *, overlap: timedelta) -> IssuedKey:
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise InvalidKey("the overlap is 0 to 7 days", field="overlap")
        now, secret = self._now(), self._new_secret()
        async with self._unit_of_work() as tx:
            old = await _locked(tx, key_id)
            _expect_rights(by, old)
            if not old.works(now):
                raise InvalidKey(f"the key {key_id} works no more; make a new one", field="id")
            token = token_of(old.kind, old.role, secret)
            key = evolve(
                old,
                id=id_of(secret),
                digest=digest_of(token),
                created_at=now,
                created_by=by.key_id,
                last_used_at=None,
                expires_at=await _own_end(tx, old),
            )
            await tx.api_keys.save_many([evolve(old, expires_at=_earlier(now + overlap, old.expires_at))])
            await tx.api_keys.add_many([key])
            await tx.audit.add_many([_entry(by, _ROTATED, old, now, replaced_by=key.id)])
        return IssuedKey(key, token)


@frozen
class RevokeKey:
    """End a key. One that was revoked before is returned unchanged. Raise `UnknownKey`."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, by: Principal, key_id: str) -> ApiKey:
        async with self._unit_of_work() as tx:
            key = await _locked(tx, key_id)
            # A scope that this release does not know gives no right here, and must not keep a key from being ended.
            _expect_rights(by, evolve(key, scopes=key.scopes & ALL_SCOPES))
            if key.revoked_at is None:
                key = evolve(key, revoked_at=self._now())
                await tx.api_keys.save_many([key])
                await tx.audit.add_many([_entry(by, "key.revoked", key, self._now())])
        return key


async def _own_end(tx: Transaction, key: ApiKey) -> datetime | None:
    """Return when the key was to end before it was rotated first: an answer was lost if it is rotated again."""
    acts = await tx.audit.page(subject=_subject(key), request_id=None, action=None, before=None, limit=_MOST_ACTS)
    rotations = [act for act in acts if act.action == _ROTATED]
    if not rotations:
        return key.expires_at
    end = rotations[-1].after.get("expires_at")
    return None if end is None else datetime.fromisoformat(end)


def _subject(key: ApiKey) -> str:
    return f"key {key.id}"


async def _locked(tx: Transaction, key_id: str) -> ApiKey:
    """Return the key, locked. Raise `UnknownKey`."""
    # What can't be an id may be what no database takes as a text.
    key = (await tx.api_keys.get_many([key_id], lock=True)).get(key_id) if is_id(key_id) else None
    if key is None:
        raise UnknownKey(f"there is no key {key_id}")
    return key


def _entry(by: Principal, action: str, key: ApiKey, at: datetime, **more: str) -> AuditEntry:
    shown = {
        "name": key.name,
        "role": key.role,
        "scopes": sorted(key.scopes),
        "user_id": key.user_id,
        "networks": [str(network) for network in key.networks],
        "expires_at": key.expires_at and key.expires_at.isoformat(),
    }
    return AuditEntry(at=at, by=caller_of(by), action=action, subject=_subject(key), after={**shown, **more})


def _wrong_in(new: NewKey, scopes: frozenset[Scope], now: datetime) -> Iterator[InvalidKey]:
    try:
        expect_name(new.name)
    except InvalidKey as error:
        yield error
    if new.expires_at is not None and new.expires_at <= now:
        yield InvalidKey("this is in the past", field="expires_at")
    if (new.role is Role.CUSTOMER) != (new.user_id is not None):
        yield InvalidKey("a customer's key has the id of its customer, and no other key has one", field="user_id")
    elif new.user_id is not None and not scopes <= CUSTOMER_SCOPES:
        yield InvalidKey(f"a customer has no other scopes than {', '.join(sorted(CUSTOMER_SCOPES))}", field="scopes")
    if len(new.networks) > MAX_NETWORKS:
        yield InvalidKey(f"a key has at most {MAX_NETWORKS} networks", field="networks")
    for index, text in enumerate(new.networks):
        try:
            network_of(text)
        except InvalidKey as error:
            yield InvalidKey(str(error), field=f"networks[{index}]")


def expect_name(name: str) -> None:
    """Raise `InvalidKey`."""
    # A NUL is what PostgreSQL can't store in a text.
    if not 1 <= len(name) <= MAX_NAME or "\0" in name:
        raise InvalidKey(f"a name has 1 to {MAX_NAME} characters, none of them NUL", field="name")


def network_of(text: str) -> Network:
    """Return the network that is written so. Raise `InvalidKey`."""
    if "%" in text:
        # It could be any text, and names an interface of the machine that the client is on.
        raise InvalidKey("a network has no zone, as in fe80::%eth0")
    try:
        return ip_network(text)
    except ValueError as error:
        raise InvalidKey(f"{error}; write a network as in 10.0.0.0/8") from None


def _earlier(moment: datetime, other: datetime | None) -> datetime:
    return moment if other is None else min(moment, other)


def _expect_rights(by: Principal, key: ApiKey) -> None:
    if beyond := key.scopes - by.scopes:
        raise Forbidden(f"the key has scopes that the caller does not have: {', '.join(sorted(beyond))}")
