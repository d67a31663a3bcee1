"""What the audit says of a change of a product."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from application.access.audit import caller_of
from application.access.principal import Principal
from application.ports.audit import AuditEntry
from domain.catalogue.product import Product


def shown(product: Product) -> Mapping[str, Any]:
    return {
        "name": product.name,
        "price": product.price.minor,
        "currency": product.price.currency,
        "stock": product.stock,
        "sku": product.sku,
        "active": product.active,
        "metadata": dict(product.metadata),
    }


def entry(  # noqa: PLR0913 - who, what, and when
    by: Principal, action: str, before: Mapping[str, Any], product: Product, *, at: datetime, reason: str = ""
) -> AuditEntry:
    """Return the entry with what has changed since `before`; all of a product that is new."""
    after = shown(product)
    changed = [name for name in after if name not in before or before[name] != after[name]]
    return AuditEntry(
        at=at,
        by=caller_of(by),
        action=action,
        subject=f"product {product.id}",
        before={name: before[name] for name in changed if name in before},
        after={name: after[name] for name in changed},
        reason=reason,
    )
