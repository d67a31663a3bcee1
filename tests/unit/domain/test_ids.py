from uuid import RFC_4122, UUID

import pytest
from attrs import evolve

from domain.ids import MAX_ID, OrderId, UserId, UserName, customer_id, is_made, payment_after
from tests.unit.builders import an_order


@pytest.mark.parametrize(
    ("written", "id_"),
    [
        (7, 7),
        ("7", 7),
        (MAX_ID, MAX_ID),
        (str(MAX_ID), MAX_ID),
        ("007", "007"),
        ("auth0|Zoë Łuk", "auth0|Zoë Łuk"),
        ("7.0", "7.0"),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", "\N{ARABIC-INDIC DIGIT SEVEN}"),
        ("x" * 64, "x" * 64),
    ],
)
def test_the_id_of_a_customer_is_a_number_or_a_name_however_it_is_written(written: int | str, id_: int | str) -> None:
    assert customer_id(written) == id_


@pytest.mark.parametrize(
    "written", [0, -1, MAX_ID + 1, "", "0", str(MAX_ID + 1), "x" * 65, "a\nb", "\0", "\ud800", "\x7f"]
)
def test_what_is_no_id_of_a_customer_is_refused(written: int | str) -> None:
    with pytest.raises(ValueError, match="the id of a customer"):
        customer_id(written)


@pytest.mark.parametrize("wrong", [UserId(0), UserName("7"), UserName(""), None, 1.0])
def test_an_order_is_of_a_customer_whose_id_has_its_one_form(wrong: UserId | UserName) -> None:
    with pytest.raises(ValueError, match=r"user_id|customer"):
        evolve(an_order(), user_id=wrong)


ORDER = OrderId(UUID(int=0x0195_5000_0000_7000_8000_0000_0000_0001))


def test_the_payments_of_an_order_have_the_same_ids_in_every_process_and_every_release() -> None:
    first = payment_after(None, ORDER)
    second = payment_after(first, ORDER)
    assert [str(first), str(second)] == ["15fc5a77-f1d7-87f0-92c5-c2934233f890", "7ecbcbd3-6270-8ddc-a11b-299902d97abe"]
    assert len({first, second, payment_after(second, ORDER), payment_after(None, OrderId(UUID(int=1)))}) == 4


def test_the_id_of_a_payment_is_a_uuid_of_version_8() -> None:
    id_ = payment_after(None, ORDER)
    assert (id_.version, id_.variant) == (8, RFC_4122)
    assert is_made(id_)
    assert not is_made(ORDER)
