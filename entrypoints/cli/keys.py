"""`holdfast keys`: API keys."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from entrypoints.cli.common import CommandError, Data, command_settings, with_use_cases
from entrypoints.cli.output import say, tell

if TYPE_CHECKING:
    from application.access.manage_keys import IssuedKey
    from application.access.scopes import Scope
    from application.assembly.use_cases import UseCases
    from application.ports.api_keys import ApiKey
    from domain.ids import CustomerId

KeyId = Annotated[str, Parameter(help="Id of the key, as `holdfast keys list` prints it.")]
# As `application.access.scopes` names them, whose import no help waits for; a test compares the two.
Role = Literal["admin", "shop", "customer", "read", "operator"]

_BY = "holdfast keys"
_PAGE = 200


def create(
    *,
    role: Annotated[Role, Parameter(help="What the key may do.")],
    name: Annotated[str, Parameter(help="Who uses it, or what for: 1 to 200 characters.")],
    user_id: Annotated[str | None, Parameter(help="The customer, for a key with the role customer.")] = None,
    scopes: Annotated[str | None, Parameter(help="Instead of those of the role: orders:read,events:read.")] = None,
    networks: Annotated[str | None, Parameter(help="Where it may be used from, as in 10.0.0.0/8,192.0.2.7.")] = None,
    expires_in: Annotated[str | None, Parameter(help="As in 90d. Default: it does not expire.")] = None,
    test: Annotated[bool, Parameter(negative="", help="Begin the key with hf_test.")] = False,
    if_none: Annotated[bool, Parameter(negative="", help="Do nothing if there is a key already.")] = False,
    data: Data = None,
) -> None:
    from datetime import UTC, datetime, timedelta

    from application.access.manage_keys import NewKey
    from application.access.principal import the_system
    from application.access.scopes import Role as KnownRole

    expires_at = None
    if expires_in is not None:
        expires_at = datetime.now(UTC) + timedelta(seconds=_seconds("--expires-in", expires_in))
    new = NewKey(
        name=name,
        role=KnownRole(role),
        kind="test" if test else "live",
        scopes=None if scopes is None else frozenset(map(_scope, scopes.split(","))),
        user_id=None if user_id is None else _customer(user_id),
        networks=tuple(networks.split(",")) if networks else (),
        expires_at=expires_at,
    )

    async def work(use_cases: "UseCases") -> None:
        by = the_system(_BY)
        if if_none and await use_cases.list_keys(by, limit=1):
            say("there are API keys already: none was made")
            return
        _show(await use_cases.create_key(by, new))

    with_use_cases(command_settings(data=data), work)


def list_keys(*, data: Data = None) -> None:
    from application.access.principal import the_system

    async def work(use_cases: "UseCases") -> None:
        last: str | None = None
        tell(_LINE.format("ID", "ROLE", "CREATED", "LAST USED", "WORKS", "NAME"))
        while page := await use_cases.list_keys(the_system(_BY), after=last, limit=_PAGE):
            for key in page:
                tell(_line(key))
            last = page[-1].id

    with_use_cases(command_settings(data=data), work)


def rotate(
    id: KeyId,  # noqa: A002 - the help shows this name
    /,
    *,
    overlap: Annotated[str, Parameter(help="How long the old key works on, as in 24h; 7d at most.")] = "0s",
    data: Data = None,
) -> None:
    from datetime import timedelta

    from application.access.principal import the_system

    time = timedelta(seconds=_seconds("--overlap", overlap))

    async def work(use_cases: "UseCases") -> None:
        _show(await use_cases.rotate_key(the_system(_BY), id, overlap=time))

    with_use_cases(command_settings(data=data), work)


def revoke(
    id: KeyId,  # noqa: A002 - the help shows this name
    /,
    *,
    data: Data = None,
) -> None:
    from application.access.principal import the_system

    async def work(use_cases: "UseCases") -> None:
        key = await use_cases.revoke_key(the_system(_BY), id)
        tell(f"{key.start} is revoked; within 5 seconds no process takes it any more")

    with_use_cases(command_settings(data=data), work)


_LINE = "{:12}  {:8}  {:19}  {:19}  {:22}  {}"


def _line(key: "ApiKey") -> str:
    works = "until it is revoked"
    if key.revoked_at is not None:
        works = "revoked"
    elif key.expires_at is not None:
        works = f"until {key.expires_at:%Y-%m-%d %H:%M}"
    used = "never" if key.last_used_at is None else f"{key.last_used_at:%Y-%m-%d %H:%M:%S}"
    return _LINE.format(key.id, key.role, f"{key.created_at:%Y-%m-%d %H:%M:%S}", used, works, key.name)


def _show(issued: "IssuedKey") -> None:
    # The key alone on standard output, so that a script can take it.
    say("this is the key; it is shown this once, and only its hash is stored")
    tell(issued.token)


def _customer(text: str) -> "CustomerId":
    from domain.ids import customer_id

    try:
        return customer_id(text)
    except ValueError as error:
        raise CommandError(f"--user-id: {error}") from None


def _scope(text: str) -> "Scope":
    from application.access.scopes import Scope

    try:
        return Scope(text.strip())
    except ValueError:
        raise CommandError(f"{text!r} is no scope; there are {', '.join(Scope)}") from None


def _seconds(option: str, text: str) -> float:
    from entrypoints.setting_values import seconds_in

    try:
        return seconds_in(text)
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from None
