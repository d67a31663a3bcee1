import pytest

from application.access.limits import GUESSES, FailedAttempts, TooManyGuesses
from application.access.token_bucket import TokenBuckets
from application.ports.rate_limits import Quota

GUESSED = range(GUESSES.quantity)


def test_guesses_are_counted_by_address() -> None:
    failed = FailedAttempts()
    for _ in GUESSED:
        failed.expect_room("192.0.2.1")
        failed.note("192.0.2.1")
    with pytest.raises(TooManyGuesses) as refused:
        failed.expect_room("192.0.2.1")
    assert 0 < refused.value.usage.retry_after <= GUESSES.window
    failed.expect_room("192.0.2.2")


@pytest.mark.parametrize(
    ("one", "same", "another"),
    [
        # A client of IPv6 has a whole network to choose its addresses from.
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::1"),
        ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("<local>", "<local>", "192.0.2.1"),
        ("", "", "::1"),
    ],
)
def test_an_address_is_that_of_a_client_and_not_one_of_many_that_it_has(one: str, same: str, another: str) -> None:
    failed = FailedAttempts()
    for _ in GUESSED:
        failed.note(one)
    with pytest.raises(TooManyGuesses):
        failed.expect_room(same)
    failed.expect_room(another)


def test_there_is_room_again_after_a_while() -> None:
    now = [0.0]
    failed = FailedAttempts(TokenBuckets([GUESSES], time=lambda: now[0]))
    for _ in GUESSED:
        failed.note("192.0.2.1")
    now[0] += GUESSES.window / GUESSES.quantity
    failed.expect_room("192.0.2.1")
    failed.note("192.0.2.1")
    with pytest.raises(TooManyGuesses):
        failed.expect_room("192.0.2.1")


def test_a_bounded_number_of_callers_is_remembered() -> None:
    buckets = TokenBuckets([Quota("one", 1, 1e9)], most=2)
    assert [buckets.take(caller).retry_after > 0 for caller in ("a", "b", "b", "c", "b", "a")] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]
