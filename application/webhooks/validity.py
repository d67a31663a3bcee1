from collections.abc import Callable, Collection, Sequence

from application.ports.feed import FED_TYPES, types_among
from application.webhooks.destinations import Allowed, RefusedUrl, check_url
from domain.webhooks.endpoint import (
    MAX_EVENTS,
    Endpoint,
    InvalidEndpoint,
    Signature,
    expect_description,
    expect_headers,
    expect_limits,
)


def expect_valid(
    endpoint: Endpoint, allowed: Allowed, *, has_keys: bool, changed: Collection[str] | None = None
) -> None:
    """Raise `InvalidEndpoint`, which has all that is wrong. `has_keys`: the shop can sign with keys of its own.

    Where some is `changed`, nothing else is checked: an endpoint keeps what was once accepted, and can be disabled
    though its URL is not allowed any more.
    """
    checks: Sequence[tuple[set[str], Callable[[], None]]] = (
        ({"url"}, lambda: _expect_url(endpoint.url, allowed)),
        ({"description"}, lambda: expect_description(endpoint.description)),
        ({"events"}, lambda: _expect_events(endpoint.events)),
        ({"headers"}, lambda: expect_headers(endpoint.headers)),
        (
            {"rate_per_s", "max_concurrency"},
            lambda: expect_limits(rate_per_s=endpoint.rate_per_s, max_concurrency=endpoint.max_concurrency),
        ),
        ({"signature"}, lambda: expect_signature(endpoint.signature, has_keys=has_keys)),
    )
    errors = []
    for names, check in checks:
        if changed is not None and names.isdisjoint(changed):
            continue
        try:
            check()
        except InvalidEndpoint as error:
            errors.append(error)
    if errors:
        raise InvalidEndpoint(str(errors[0]), field=errors[0].field, others=errors[1:])


def expect_signature(signature: Signature, *, has_keys: bool) -> None:
    """Raise `InvalidEndpoint`."""
    if signature is Signature.V1A and not has_keys:
        raise InvalidEndpoint(
            "the shop has no key to sign with: set HOLDFAST_WEBHOOK_SIGNING_KEYS for all of its processes, or take v1",
            field="signature",
        )


def _expect_url(url: str, allowed: Allowed) -> None:
    try:
        check_url(url, allowed)
    except RefusedUrl as error:
        raise InvalidEndpoint(str(error), field="url") from None


def _expect_events(patterns: Sequence[str]) -> None:
    known = f"there are {', '.join(sorted(FED_TYPES))}; order.* stands for all of them, and * for all that ever will be"
    if not 1 <= len(patterns) <= MAX_EVENTS:
        raise InvalidEndpoint(f"an endpoint wants 1 to {MAX_EVENTS} types of events: {known}", field="events")
    for index, pattern in enumerate(patterns):
        if not types_among(FED_TYPES, [pattern]):
            raise InvalidEndpoint(f"{pattern[:40]!r} names no type: {known}", field=f"events[{index}]")
