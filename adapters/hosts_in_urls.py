"""The hosts of a server, as its URL names them: one, or several with commas in between."""

import re
from typing import Final, NamedTuple

_PARTS: Final = re.compile("([^:/?#]*://(?:[^/?#]*@)?)([^/?#]*)(.*)", re.DOTALL)


class HostsInUrl(NamedTuple):
    before: str
    # Each as it is written, with its port if it has one.
    hosts: list[str]
    after: str


def hosts_in(url: str) -> HostsInUrl:
    """Take the URL apart. Raise `ValueError`, whose message does not repeat it: it may contain a password."""
    parts = _PARTS.fullmatch(url)
    if parts is None:
        raise ValueError("this is no URL")
    before, hosts, after = parts.groups()
    return HostsInUrl(before, hosts.split(","), after)
