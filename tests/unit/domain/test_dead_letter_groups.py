"""What a reason says of the cause of a dead letter."""

from datetime import timedelta

import pytest

from application.messaging.reasons import reason_for
from domain.dead_letter_groups import CAUSE_IN, Cause, LetterSummary, cause_in, grouped, reason_of
from domain.errors import InvalidAmount
from domain.money import Money
from tests.unit.builders import NOW


@pytest.mark.parametrize(
    ("reason", "error", "place"),
    [
        ("KeyError: 'surprise'", "KeyError", ""),
        ("KeyError in a.B.c: 'surprise'", "KeyError", "a.B.c"),
        ("KeyError in a.<locals>.b: x in y: z", "KeyError", "a.<locals>.b"),
        ("no reason was given", "no reason was given", ""),
        ("KeyError", "KeyError", ""),
        ("", "", ""),
        ("delivered 1000 times: enough", "delivered 1000 times: enough", ""),
    ],
)
def test_a_reason_names_its_cause(reason: str, error: str, place: str) -> None:
    assert cause_in("payments", reason) == Cause(queue="payments", error=error, place=place)


def test_the_longest_cause_is_found_in_the_beginning_of_a_reason() -> None:
    reason = reason_of("E" * 500, "p" * 500, "why")
    assert cause_in("payments", reason[:CAUSE_IN]) == cause_in("payments", reason)
    assert cause_in("payments", reason).place == "p" * 200


def test_the_place_is_the_innermost_function_of_the_product() -> None:
    with pytest.raises(InvalidAmount) as caught:
        Money(1, "EUR") + Money(2**63, "EUR")
    assert cause_in("q", reason_for(caught.value)).place.startswith("domain.money.")


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert reason_for(KeyError("x")) == "KeyError: 'x'"


def test_groups_are_counted_and_the_largest_is_first() -> None:
    def letter(number: int, reason: str, *, again: bool = False) -> LetterSummary:
        at = NOW + timedelta(minutes=number)
        return LetterSummary(id=number, consumer="payments", reason=reason, first_at=at, last_at=at, failed_again=again)

    groups = grouped([letter(1, "A: 1"), letter(3, "B in x: 1", again=True), letter(2, "B in x: 2"), letter(4, "B: 1")])
    assert [(each.cause.error, each.cause.place, each.count, each.failed_again) for each in groups] == [
        ("B", "x", 2, 1),
        ("A", "", 1, 0),
        ("B", "", 1, 0),
    ]
    assert (groups[0].first_at, groups[0].last_at) == (NOW + timedelta(minutes=2), NOW + timedelta(minutes=3))
