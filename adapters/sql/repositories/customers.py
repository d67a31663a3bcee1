"""How the id of a customer is stored: a number in one column and, if it is a name, the name in another beside it.

Numbers are as fast as ever, and their column keeps its type, its check and its index. The number of a name is a hash,
so the same index finds the orders of a name. Two customers may share a number, so the name is compared as well.
"""

from hashlib import blake2b
from typing import Any

from domain.ids import MAX_ID, CustomerId, UserId, UserName


def number_of(customer: CustomerId) -> int:
    """The same in every release, as it is stored."""
    if isinstance(customer, int):
        return customer
    return int.from_bytes(blake2b(customer.encode(), digest_size=8).digest(), "big") % MAX_ID + 1


def name_of(customer: CustomerId) -> str | None:
    return None if isinstance(customer, int) else customer


def customer_in(row: Any) -> CustomerId:
    return UserId(row.user_id) if row.user_name is None else UserName(row.user_name)
