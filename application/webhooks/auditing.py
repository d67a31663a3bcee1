from collections.abc import Mapping
from datetime import datetime
from typing import Any

from application.access.audit import caller_of
from application.access.principal import Principal
from application.ports.audit import AuditEntry
from domain.webhooks.endpoint import Endpoint


def shown(endpoint: Endpoint) -> dict[str, Any]:
    """What the audit tells of an endpoint. The values of its headers may be secrets."""
    return {
        "url": endpoint.url,
        "description": endpoint.description,
        "events": list(endpoint.events),
        "payload": endpoint.payload.value,
        "ordering": endpoint.ordering.value,
        "signature": endpoint.signature.value,
        "headers": sorted(endpoint.headers),
        "rate_per_s": endpoint.rate_per_s,
        "max_concurrency": endpoint.max_concurrency,
        "disabled": endpoint.disabled and endpoint.disabled.value,
    }


def entry(  # noqa: PLR0913 - what an entry is made of
    by: Principal,
    what: str,
    endpoint: Endpoint,
    at: datetime,
    before: Mapping[str, Any] | None = None,
    *,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    return AuditEntry(
        at=at,
        by=caller_of(by),
        action=f"webhook_endpoint.{what}",
        subject=f"webhook_endpoint {endpoint.id}",
        before=before or {},
        after={**shown(endpoint), **(after or {})},
    )
