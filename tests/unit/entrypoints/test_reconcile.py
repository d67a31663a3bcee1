import pytest

from application.reconciliation.discrepancies import Discrepancy, Remedy
from entrypoints.cli.reconcile import what_is_left

_ALL = [None, *Remedy]


@pytest.mark.parametrize("remedies", [[None], [None, None], [Remedy.PAY], [None, Remedy.REFUND], _ALL])
def test_a_repair_is_recommended_for_what_it_repairs(remedies: list[Remedy | None]) -> None:
    found = [Discrepancy(about="stock", what="odd", remedy=remedy) for remedy in remedies]
    said = what_is_left(found, [None] * len(found), repair=False)
    repairable = len(found) - remedies.count(None)
    assert ("--repair" in said) is (repairable > 0)
    assert said.startswith(f"{len(found)} discrepancies")
    assert not repairable or said.endswith(f"can repair {repairable} of them")


def test_after_a_repair_none_is_recommended() -> None:
    found = [Discrepancy(about="charge", what="odd", remedy=remedy) for remedy in _ALL]
    said = what_is_left(found, [None, None, *["done"] * (len(found) - 2)], repair=True)
    assert said == f"2 of {len(found)} discrepancies are left for a person to decide"
