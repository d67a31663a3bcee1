"""The JSON of the health checks."""

from msgspec import Struct

from entrypoints.readiness import Readiness


class LiveBody(Struct, frozen=True):
    status: str = "ok"


class ReadyBody(Struct, frozen=True):
    """Anybody may ask: no address, no version, and no server's own words."""

    status: str
    orders: bool
    payments: bool
    missing: tuple[str, ...]

    @classmethod
    def of(cls, readiness: Readiness) -> "ReadyBody":
        status = "unavailable" if not readiness.orders else "degraded" if readiness.missing else "ok"
        return cls(status, readiness.orders, readiness.payments, readiness.missing)
