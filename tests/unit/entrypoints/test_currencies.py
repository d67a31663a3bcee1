"""New prices are in currencies in which people pay. What is stored in another one is read and shown."""

import pytest
from iso4217 import raw_xml

from entrypoints.cli import products as commands
from entrypoints.cli.common import CommandError
from entrypoints.currencies import DIGITS, PRICED_IN
from entrypoints.http.bodies.products import known_currency
from entrypoints.http.refusals import InvalidRequest
from entrypoints.setting_values import expect_currency

# What ISO 4217 marks as a fund in the list that is installed, which may be a newer one, and what it does not mark.
FUNDS = {code.text or "" for code in raw_xml.iterfind(".//CcyNm[@IsFund='true']/../Ccy")}
NOT_MARKED = {"UYW", "XAD"}
WITHOUT_UNITS = {"XDR", "XSU", "XUA", "XXX", "XTS", "XAU", "XAG", "XPT", "XPD", "XBA", "XBB", "XBC", "XBD"}


def test_the_list_has_funds() -> None:
    assert {"BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI"} <= FUNDS


@pytest.mark.parametrize("code", sorted(FUNDS | NOT_MARKED | WITHOUT_UNITS | {"XXY", "eur", "EUR ", ""}))
def test_nothing_is_priced_in_what_nobody_pays_in(code: str) -> None:
    with pytest.raises(InvalidRequest, match="ISO 4217 in which people pay"):
        known_currency(code)
    with pytest.raises(ValueError, match="ISO 4217 in which people pay"):
        expect_currency(code)
    with pytest.raises(CommandError, match="ISO 4217 in which people pay"):
        commands._expect_currency(code)  # noqa: SLF001 - what both commands ask


@pytest.mark.parametrize("code", ["EUR", "USD", "CHF", "CLP", "COP", "MXN", "UYU", "BOB", "XOF", "XAF", "XCD", "JPY"])
def test_what_people_pay_in_is_taken(code: str) -> None:
    expect_currency(code)
    assert known_currency(code) == code


def test_what_is_no_longer_taken_is_shown_with_its_digits() -> None:
    assert DIGITS.keys() - PRICED_IN == FUNDS | NOT_MARKED
    assert (DIGITS["CLF"], DIGITS["USN"]) == (4, 2)
