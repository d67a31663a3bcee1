"""Whether the provider's ledger is that of this shop."""

from adapters.sql.shop import shop_id
from entrypoints.container import Container
from entrypoints.database import NotReady


async def expect_own_ledger(container: Container, *, claim: bool = False) -> None:
    """Refuse the ledger of another shop: every payment of this one would be missing in it. Raise `NotReady`.

    With `claim`, a ledger that no shop has claimed becomes this shop's. Raise `Unavailable` as well.
    """
    shop, ledger = await shop_id(container.engine()), container.provider().file
    if shop is None:
        return
    owner = await (ledger.claim(shop) if claim else ledger.owner())
    if owner not in {None, shop}:
        raise NotReady(
            f"the payment ledger {container.settings().ledger} is another shop's: name this shop's ledger with"
            " HOLDFAST_GATEWAY_LEDGER, or its database with DATABASE_URL or --data"
        )
