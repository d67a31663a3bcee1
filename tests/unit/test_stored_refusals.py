"""Refusals under idempotency keys, as bytes."""

from adapters.codecs import stored_responses
from domain.errors import DomainError, UnknownProduct

# Written by the first release.
OLD = (
    b'{"schema":1,"refusal":{"code":"unknown_product","message":"there is no product 9","field":"items[1].product_id"}}'
)


def read(stored: bytes) -> DomainError:
    error = stored_responses.decode(stored)
    assert isinstance(error, DomainError)
    return error


def test_a_refusal_with_one_error_is_written_as_ever() -> None:
    error = read(OLD)
    assert (type(error), str(error), error.field) == (UnknownProduct, "there is no product 9", "items[1].product_id")
    assert error.others == ()
    assert stored_responses.encode(error) == OLD


def test_a_refusal_with_several_errors_comes_back_with_all_of_them() -> None:
    other = UnknownProduct("there is no product 8", field="items[2].product_id")
    error = read(stored_responses.encode(UnknownProduct("there is no product 9", field="items[1]", others=[other])))
    [again] = error.others
    assert (type(again), str(again), again.field) == (UnknownProduct, str(other), other.field)
