from collections.abc import Awaitable, Callable

from application.access.principal import Principal
from application.errors import Unavailable
from entrypoints.settings import Settings


def token_callers(settings: Settings) -> Callable[[str, str], Awaitable[Principal]] | None:
    """Return what finds out who a token speaks for, or None if there is no identity provider."""
    if not settings.jwt_issuer:
        return None
    # The library takes a tenth of a second to import, and most shops don't use it.
    from adapters.jwt.key_set import KeySet  # noqa: PLC0415
    from adapters.jwt.tokens import Issuer, TokenCallers  # noqa: PLC0415

    issuer = Issuer(settings.jwt_issuer, settings.jwt_audience, settings.jwt_user_claim, settings.jwt_scope_claim)
    return TokenCallers(issuer, KeySet(settings.jwt_keys))


async def provider_problem(settings: Settings) -> str | None:
    """Return why no token could be checked, or None if the keys can be read, or none are wanted."""
    if not settings.jwt_issuer:
        return None
    from adapters.jwt.key_set import keys_at  # noqa: PLC0415 - as above

    try:
        await keys_at(settings.jwt_keys)
    except Unavailable as error:
        return f"the keys of the identity provider can't be read, so no token works: check HOLDFAST_JWT_KEYS ({error})"
    return None
