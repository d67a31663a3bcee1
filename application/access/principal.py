from typing import Final

from attrs import field, frozen

from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, Scope
from domain.ids import CustomerId


class AccessDenied(Exception):
    """The caller may not do this. Nothing was done."""


class Unauthenticated(AccessDenied):
    """It is not known who calls."""


class Forbidden(AccessDenied):
    """It is known who calls, and this caller may not do it."""


def _fits_customer(principal: "Principal", _: object, scopes: frozenset[Scope]) -> None:
    if principal.user_id is not None and not scopes <= CUSTOMER_SCOPES:
        beyond = ", ".join(sorted(scopes - CUSTOMER_SCOPES))
        raise ValueError(f"{beyond}: a customer has no such scope, since it concerns the orders of others")


@frozen
class Principal:
    """Who makes a call, and what it may do. Every operation takes it as its first argument.

    `key_id` names the caller in logs and in the audit. With a `user_id`, it is this customer, who sees and changes its
    own orders alone. Without one, it acts for the shop.
    """

    key_id: str
    # How a person calls the key. It says nothing about what it may do.
    name: str = field(default="", kw_only=True, eq=False)
    user_id: CustomerId | None = field(default=None, kw_only=True)
    scopes: frozenset[Scope] = field(kw_only=True, validator=_fits_customer)

    def expect(self, scope: Scope) -> None:
        """Raise `Forbidden`, which names the scope, without it."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope {scope}, which the caller does not have")

    def expect_shop(self) -> None:
        """Raise `Forbidden` for a customer."""
        if self.user_id is not None:
            raise Forbidden("this is done by the shop, not by a customer")

    def expect_customer(self, user_id: CustomerId) -> None:
        """Raise `Forbidden` for another customer than this one. The shop acts for any."""
        if self.user_id is not None and self.user_id != user_id:
            raise Forbidden(f"the caller is the customer {self.user_id}, and acts for no other one")

    def whose(self, user_id: CustomerId | None) -> CustomerId | None:
        """Return whose orders a list that was asked for with this `user_id` shows. Raise `Forbidden`."""
        if user_id is None:
            return self.user_id
        self.expect_customer(user_id)
        return user_id


def the_system(name: str) -> Principal:
    """Return the principal of Holdfast's own programs and commands, which nobody has to let in."""
    return Principal(name, scopes=ALL_SCOPES)


# Stands for everybody where nobody has to say who it is.
ANYBODY: Final[Principal] = Principal("anybody", scopes=ALL_SCOPES)
SYSTEM: Final[Principal] = the_system("system")
