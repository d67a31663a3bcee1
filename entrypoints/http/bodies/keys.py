"""The JSON of API keys."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from adapters.codecs.ids import in_json
from application.access.manage_keys import MAX_NAME as MAX_KEY_NAME
from application.access.manage_keys import MAX_NETWORKS, IssuedKey, NewKey, expect_name, network_of
from application.access.scopes import Role, Scope
from application.ports.api_keys import ApiKey
from entrypoints.http.bodies.common import LookedThrough, WrittenCustomerId
from entrypoints.http.field_errors import Rule
from entrypoints.http.ids import customer_id_of
from entrypoints.http.moments import overlap_in, within_years
from entrypoints.http.refusals import in_body


class NewKeyBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    """An API key that is asked for. Without scopes it gets those of its role."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_NAME), Rule(expect_name)]
    role: Role
    kind: Literal["live", "test"] = "live"
    scopes: Annotated[tuple[Scope, ...], Meta(max_length=len(Scope))] | None = None
    user_id: WrittenCustomerId | None = None
    networks: Annotated[tuple[Annotated[str, Rule(network_of)], ...], Meta(max_length=MAX_NETWORKS)] = ()
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None

    def to_new(self) -> NewKey:
        return NewKey(
            name=self.name,
            role=self.role,
            kind=self.kind,
            scopes=None if self.scopes is None else frozenset(self.scopes),
            user_id=None if self.user_id is None else customer_id_of(self.user_id, in_body),
            networks=self.networks,
            expires_at=None if self.expires_at is None else within_years(self.expires_at),
        )


class RotateKeyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the old key works on, as in 24h."""

    overlap: Annotated[str, Rule(overlap_in)] = "0"

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class KeyBody(Struct, frozen=True):
    id: str
    start: str
    role: str
    name: str
    scopes: list[str]
    user_id: int | str | None
    networks: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> "KeyBody":
        return cls(
            key.id,
            key.start,
            key.role,
            key.name,
            sorted(key.scopes),
            None if key.user_id is None else in_json(key.user_id),
            [str(network) for network in key.networks],
            key.created_at,
            key.created_by,
            key.expires_at,
            key.revoked_at,
            key.last_used_at,
        )


class IssuedKeyBody(Struct, frozen=True):
    """A new key. `token` is the key itself, which is shown here for the only time."""

    token: str
    key: KeyBody

    @classmethod
    def of(cls, issued: IssuedKey) -> "IssuedKeyBody":
        return cls(issued.token, KeyBody.of(issued.key))


class KeysBody(Struct, frozen=True):
    items: list[KeyBody]
    next: str | None
