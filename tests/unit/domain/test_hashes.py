"""Values go into sets and are keys. What a value holds must not keep it from having a hash."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import attrs
import pytest

import domain
from domain.orders.details import OrderDetails
from tests.unit.builders import placed

HAVE_NO_HASH = ("Mapping[", "dict[", "list[", "set[", "Sequence[")


def values() -> Iterator[type]:
    for module in pkgutil.walk_packages(domain.__path__, "domain."):
        for found in vars(import_module(module.name)).values():
            if isinstance(found, type) and found.__module__ == module.name and attrs.has(found):
                yield found


# A class that has the hash of its values makes one; of what is compared by identity, the hash is that of any object.
HASHED = [each for each in values() if each.__hash__ not in {None, object.__hash__}]


def test_there_are_values() -> None:
    assert OrderDetails in HASHED


@pytest.mark.parametrize("value", HASHED, ids=lambda value: value.__name__)
def test_no_field_of_a_value_keeps_it_from_having_a_hash(value: type) -> None:
    in_the_hash = [each for each in attrs.fields(value) if (each.eq if each.hash is None else each.hash)]
    written = {each.name: str(each.type) for each in in_the_hash}
    assert {
        name: type_
        for name, type_ in written.items()
        if any(part in type_.replace("frozenset[", "") for part in HAVE_NO_HASH)
    } == {}


def test_an_event_of_an_order_with_metadata_is_in_a_set_by_what_it_says() -> None:
    _, event = placed()
    first, same, other = (
        attrs.evolve(event, details=OrderDetails(metadata=metadata)) for metadata in ({"till": "7"}, {"till": "7"}, {})
    )
    assert len({first, same, other}) == 2
