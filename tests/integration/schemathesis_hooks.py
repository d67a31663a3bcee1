"""What schemathesis loads into itself, before it sends anything.

It tries each operation with a key that doesn't work as well. From one address those would be guesses, of which there
may be only a few a minute: the faster the machine, the more of them. So every test case comes from an address of its
own, as far as a shop behind a proxy can see.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import count
from typing import Any

import schemathesis

# Networks for documentation and tests, RFC 2544: nobody's.
ADDRESSES: Iterator[IPv4Address] = map(IPv4Address, count(int(IPv4Address("198.18.0.1"))))


@schemathesis.hook
def before_call(context: object, case: Any, kwargs: dict[str, Any]) -> None:
    """Give the case an address; what it is tried with afterwards keeps its headers."""
    case.headers["X-Forwarded-For"] = str(next(ADDRESSES))
