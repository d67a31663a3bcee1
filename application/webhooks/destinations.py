"""Where webhooks may go. Whoever makes an endpoint chooses its URL, and must not reach what only the shop can reach.

A URL is read here and nowhere else, so that what is checked is what is connected to. `destination_of` refuses what can
be told from the URL alone, `refusal_of` an address that the name turned out to have.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

from attrs import field, frozen

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL: Final = 2048
SETTING: Final = "HOLDFAST_WEBHOOK_ALLOW"
_USUAL: Final = {"https": 443, "http": 80}
_HTTPS_PORTS: Final = frozenset({443, 8443})
_ANY_HTTP_PORTS: Final = _HTTPS_PORTS | {80}
_LONGEST_HOST: Final = 253
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
# A host whose last label is one of these is an IPv4 address to some programs, as in 0x7f.1 or 017700000001.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
# A name with one of these characters is two different names under IDNA 2003 and IDNA 2008.
_TWO_NAMES: Final = frozenset("ßς\u200c\u200d")
_BRACKETS: Final = re.compile(r"\[[^\[\]]*\](?::\d*)?|[^\[\]]*")
_ENTRY: Final = re.compile(
    r"(?P<network>[0-9.]+(?:/\d+)?|\[[0-9a-f:.]+(?:/\d+)?\]|(?=[^\[]*:[^\[]*:)[0-9a-f:.]+(?:/\d+)?|)"
    r"(?::(?P<port>\d{1,5}|\*))?",
    re.ASCII | re.IGNORECASE,
)

# What `is_global` of the standard library takes for public, or took in one of its versions.
_NOT_PUBLIC_4: Final = tuple(
    IPv4Network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments, some of them with metadata services
        "192.88.99.0/24",  # the nearest 6to4 relay
        "168.63.129.16/32",  # what Azure tells its virtual machines
    )
)
# All addresses of IPv6 that are in use between networks, and those that an IPv4 address is translated to.
_PUBLIC_6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC_6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo: an address of it reaches a host behind a NAT
        "2001:db8::/32",  # examples
        "2002::/16",  # 6to4: an IPv4 address behind relays that nobody runs any more; Python 3.13 refuses it, 3.11 not
        "3fff::/20",  # examples
        "3ffe::/16",  # given back
    )
)
_EMBEDDED: Final = 2**32 - 1


class RefusedUrl(ValueError):
    """No webhook goes there. The message says why, and what would be taken."""


@frozen
class Opening:
    """An entry of the setting: a network of the shop's own, where http is taken, too."""

    network: Network
    # None stands for the usual ones, `*` for all.
    port: int | Literal["*"] | None = None

    def covers(self, address: Address, port: int) -> bool:
        if self.port is None:
            return port in _ANY_HTTP_PORTS and address in self.network
        return self.port in (port, "*") and address in self.network


@frozen
class Allowed:
    """What is allowed beyond https to public addresses at ports 443 and 8443."""

    openings: tuple[Opening, ...] = ()
    https_ports: frozenset[int] = field(factory=frozenset)

    @classmethod
    def of(cls, text: str) -> "Allowed":
        """Read `10.0.0.0/8, 127.0.0.1:3000, [fd00::/8]:*, :9443`. Raise `ValueError`."""
        openings, ports = [], set()
        for entry in (part.strip() for part in text.split(",") if part.strip()):
            match = _ENTRY.fullmatch(entry)
            network, port = (match["network"].strip("[]"), match["port"]) if match else ("", None)
            number = int(port) if port and port != "*" else None
            if (not network and number is None) or (number is not None and not 0 < number < 2**16):
                raise ValueError(
                    f"{entry[:100]!r} is neither a network nor a port; write as in 10.0.0.0/8, 127.0.0.1:3000,"
                    " [fd00::/8]:*, or :9443 for another port of public addresses"
                )
            if network:
                openings.append(Opening(ip_network(network), "*" if port == "*" else number))
            elif number is not None:
                ports.add(number)
        return cls(tuple(openings), frozenset(ports))


NOTHING_ELSE: Final = Allowed()


@frozen(kw_only=True)
class Destination:
    """A URL that was read, and may be tried. Each address that its host has is checked before it is connected to."""

    scheme: str
    # In lower case and ASCII, without brackets and without a dot at its end.
    host: str
    port: int
    # The path and the query.
    target: str
    # What the host is, if it is an address itself.
    address: Address | None

    @property
    def authority(self) -> str:
        """The header `Host`."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == _USUAL[self.scheme] else f"{host}:{self.port}"


def check_url(url: str, allowed: Allowed = NOTHING_ELSE) -> None:
    """Refuse, when an endpoint is made, what no attempt would ever reach. Raise `RefusedUrl`, which is a `ValueError`.

    Nothing is looked up: a name may still turn out to have an address that is refused.
    """
    destination_of(url, allowed)


def destination_of(url: str, allowed: Allowed = NOTHING_ELSE) -> Destination:
    """Raise `RefusedUrl`."""
    destination = read_url(url)
    if destination.address is not None:
        addresses: Iterable[Address] = (destination.address,)
    elif destination.host == "localhost" or destination.host.endswith(".localhost"):
        addresses = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
    else:
        _expect_some_way(destination, allowed)
        return destination
    refusals = [refusal_of(address, destination, allowed) for address in addresses]
    if all(refusals):
        raise RefusedUrl(refusals[0])
    return destination


def refusal_of(address: Address, destination: Destination, allowed: Allowed) -> str | None:
    """Why this address, which the host of the destination has, is not connected to; None if it may be."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        # What the system connects to.
        address = address.ipv4_mapped
    if any(opening.covers(address, destination.port) for opening in allowed.openings):
        return None
    if destination.scheme != "https":
        return f"http is only taken to networks that {SETTING} lists, and {address} is in none of them; write https://"
    if destination.port not in _HTTPS_PORTS | allowed.https_ports:
        return f"port {destination.port} is not allowed for {address}; use 443 or 8443, or list it in {SETTING}"
    if not is_public(address):
        return f"{address} is not a public address; {SETTING} can list its network"
    return None


def is_public(address: Address) -> bool:
    """Whether strangers may be sent there: it belongs to one host, which everybody on the Internet can reach."""
    if isinstance(address, IPv6Address) and address in _NAT64:
        return is_public(IPv4Address(int(address) & _EMBEDDED))
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def _expect_some_way(destination: Destination, allowed: Allowed) -> None:
    """Raise `RefusedUrl` if no address that the name may have is allowed with this scheme and port."""
    port = destination.port
    if any(opening.covers(opening.network[0], port) for opening in allowed.openings):
        return
    if destination.scheme != "https":
        raise RefusedUrl(f"http is only taken to networks that {SETTING} lists; write https://")
    if port not in _HTTPS_PORTS | allowed.https_ports:
        raise RefusedUrl(f"port {port} is not allowed; use 443 or 8443, or list it in {SETTING}")


def _split(url: str) -> tuple[SplitResult, int | None]:
    """Return the parts of a URL that every program splits alike. Raise `RefusedUrl`."""
    if len(url) > LONGEST_URL:
        raise RefusedUrl(f"the URL has {len(url)} characters; {LONGEST_URL} is the most")
    if not url.isprintable() or " " in url or "\\" in url:
        raise RefusedUrl("the URL has a space, a backslash or a control character; write %20, %5C and so on")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RefusedUrl(f"the URL can't be read: {error}") from None
    if port == 0:
        raise RefusedUrl("the URL has port 0; there is no such port")
    return parts, port


def read_url(url: str) -> Destination:
    """Return where the URL leads, allowed or not. Raise `RefusedUrl`."""
    parts, port = _split(url)
    if parts.scheme not in _USUAL:
        raise RefusedUrl("a webhook needs a URL with https://")
    if "@" in parts.netloc:
        raise RefusedUrl("the URL has a user or a password; leave them out, and set a header if the receiver needs one")
    if "#" in url:
        raise RefusedUrl("the URL has a fragment, which is never sent; leave out # and what follows")
    target = parts.path or "/"
    if parts.query:
        target = f"{target}?{parts.query}"
    if not target.isascii():
        raise RefusedUrl("the path has characters outside of ASCII; write them as %C3%A4 and so on")
    if _BRACKETS.fullmatch(parts.netloc) is None:
        raise RefusedUrl(f"{parts.netloc[:100]!r} is not a host; brackets stand around an IPv6 address alone")
    host, address = _host(parts.hostname or "", bracketed="[" in parts.netloc)
    return Destination(
        scheme=parts.scheme,
        host=host,
        port=_USUAL[parts.scheme] if port is None else port,
        target=target,
        address=address,
    )


def _host(written: str, *, bracketed: bool) -> tuple[str, Address | None]:
    """Return the host as it is looked up, and the address that it is, if it is one. Raise `RefusedUrl`."""
    if bracketed:
        try:
            address: Address = IPv6Address(written)
        except ValueError:
            raise RefusedUrl(f"[{written[:100]}] is not an IPv6 address") from None
        if "%" in written:
            raise RefusedUrl(f"[{written[:100]}] names an interface of this machine; leave out % and what follows")
        return str(address), address
    host = _in_ascii(written).removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            address = IPv4Address(host)
        except ValueError:
            raise RefusedUrl(
                f"{host[:100]!r} is not an IPv4 address as it is usually written, as in 192.0.2.7"
            ) from None
        return host, address
    if len(host) > _LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise RefusedUrl(f"{written[:100]!r} is not the name of a host")
    return host, None


def _in_ascii(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        if _TWO_NAMES.isdisjoint(host):
            return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        pass
    raise RefusedUrl(f"{host[:100]!r} is not a name that all programs read alike; write it in ASCII, as in xn--...")
