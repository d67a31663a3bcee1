"""The requests of the four systems that came before this one, each in its own shapes.

Each interface stands behind a prefix, so that a client moves by its base URL. What collides with nothing of ours is at
the root as well. `docs/coming-from.md` has the tables.
"""

from attrs import frozen

from application.assembly.use_cases import UseCases
from domain.money import Money
from entrypoints.http.routes.ancestors.common import health_route
from entrypoints.http.routes.ancestors.flask_orders import flask_orders_routes
from entrypoints.http.routes.ancestors.messages import add_message_route, messages_routes
from entrypoints.http.routes.ancestors.replicas import replicas_routes
from entrypoints.http.routes.ancestors.shop import shop_routes
from entrypoints.http.routes.route import Route
from entrypoints.readiness import CheckReadiness

PREFIX = "/from/"
FLASK_ORDERS = f"{PREFIX}flask-orders"
SHOP = f"{PREFIX}shop"
MESSAGES = f"{PREFIX}messages"
REPLICAS = f"{PREFIX}replicas"
_EACH = (FLASK_ORDERS, SHOP, MESSAGES, REPLICAS)


@frozen(kw_only=True)
class Ancestors:
    """`create`: a product that is ordered by an unknown name is added. Prices without a currency are in `currency`."""

    create: bool = False
    currency: str = "EUR"

    @property
    def price_of_new(self) -> Money | None:
        return Money(0, self.currency) if self.create else None


def ancestors_routes(
    use_cases: UseCases, check_readiness: CheckReadiness, ancestors: Ancestors, namespace: str
) -> list[Route]:
    return [
        *flask_orders_routes(FLASK_ORDERS, use_cases, price_of_new=ancestors.price_of_new, namespace=namespace),
        *shop_routes(SHOP, use_cases, ancestors.currency),
        *messages_routes(MESSAGES, use_cases),
        add_message_route("", use_cases),
        *replicas_routes(REPLICAS, use_cases),
        *replicas_routes("", use_cases),
        *(health_route(prefix, check_readiness) for prefix in ("", *_EACH)),
    ]
