"""API keys, as they are stored: all but the keys themselves."""

from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Literal

from attrs import field, frozen

from domain.ids import CustomerId

Kind = Literal["live", "test"]
Network = IPv4Network | IPv6Network

# The first characters of a key's random part. They name it in lists, logs and addresses, and find it in the database.
ID_LENGTH: Final = 12


@frozen(kw_only=True)
class ApiKey:
    """What is known of a key. `role` and `scopes` are names, as the release had them that made the key."""

    id: str
    # The SHA-256 of the whole key, in hex digits.
    digest: str = field(repr=False)
    kind: Kind
    role: str
    name: str
    scopes: frozenset[str]
    # The customer whose key it is.
    user_id: CustomerId | None = None
    # Where it may be used from; anywhere if there are none.
    networks: tuple[Network, ...] = ()
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    @property
    def start(self) -> str:
        """The beginning of the key, by which a person recognizes it."""
        return f"hf_{self.kind}_{self.role}_{self.id}"

    def works(self, at: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def may_be_used_from(self, address: str) -> bool:
        try:
            return not self.networks or any(ip_address(address) in network for network in self.networks)
        except ValueError:
            # A socket of this machine has no address.
            return False
