"""The currencies in which something can be priced today. A product keeps its price when its currency is withdrawn."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from iso4217 import Currency

# The digits of each currency's minor unit. Gold, "no currency" and the like have none, so nothing is priced in them.
DIGITS: Final[Mapping[str, int]] = MappingProxyType(
    {known.code: known.exponent for known in Currency if known.exponent is not None}
)
UNKNOWN: Final = "the code of a currency of ISO 4217 with minor units, as in EUR, USD or JPY"
