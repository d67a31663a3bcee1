import pytest

from entrypoints.cli.reconcile import what_is_left


@pytest.mark.parametrize(("left", "repairable"), [(1, 0), (2, 0), (1, 1), (2, 1), (6, 5)])
def test_a_repair_is_recommended_for_what_it_repairs(left: int, repairable: int) -> None:
    said = what_is_left(left, left, repairable, repair=False)
    assert ("--repair" in said) is (repairable > 0)
    assert said.startswith(f"{left} discrepancies")
    assert not repairable or said.endswith(f"can repair {repairable} of them")


def test_after_a_repair_none_is_recommended() -> None:
    assert what_is_left(6, 2, 0, repair=True) == "2 of 6 discrepancies are left for a person to decide"
