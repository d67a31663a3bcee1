"""Rules of the architecture that the import contracts can't express."""

import ast
from collections.abc import Iterator
from pathlib import Path

from domain.orders.status import SET_BY_HAND
from tests.unit.shop import Shop

_ROOT = Path(__file__).parents[2]
_PRODUCT = ("domain", "application", "adapters", "entrypoints")


def _imports(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, name.name) for name in node.names)


def test_no_module_of_ours_reaches_into_another_for_what_is_private() -> None:
    files = [file for package in _PRODUCT for file in (_ROOT / package).rglob("*.py")]
    private = [
        f"{file.relative_to(_ROOT)} imports {name} of {module}"
        for file in files
        for module, name in _imports(file)
        if module.split(".")[0] in _PRODUCT and (name.startswith("_") or "._" in module)
    ]
    assert len(files) > 200
    assert private == []


def test_whatever_status_is_set_by_hand_has_its_use_case(shop: Shop) -> None:
    assert shop.use_cases.by_hand.keys() == SET_BY_HAND
