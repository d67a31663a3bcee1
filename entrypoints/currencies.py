"""The currencies that are known, and those in which something can be priced today.

A product and an order keep their price when its currency is withdrawn, or is not taken any more.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from iso4217 import Currency

# The digits of each currency's minor unit. Gold, "no currency" and the like have none.
DIGITS: Final[Mapping[str, int]] = MappingProxyType(
    {known.code: known.exponent for known in Currency if known.exponent is not None}
)
# Nobody pays in these: what ISO 4217 marks as a fund, such as an indexed unit of account; and two that it does not
# mark, the unit of Uruguayan pensions and that in which Arab central banks keep their accounts with each other.
_FUNDS: Final = frozenset({"BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI"} | {"UYW", "XAD"})
# In which new prices may be.
PRICED_IN: Final = DIGITS.keys() - _FUNDS
UNKNOWN: Final = "the code of a currency of ISO 4217 in which people pay, as in EUR, USD or JPY"
