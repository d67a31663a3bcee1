"""Rules of the architecture that the import contracts can't express."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

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


def test_whatever_is_written_as_json_may_have_the_id_of_a_request_that_is_traced() -> None:
    """It would fail for those alone that are sampled."""
    calls = re.compile(r"json\.Encoder\(|json\.encode\(|to_builtins\(")
    wrong = [
        f"{file.relative_to(_ROOT)}:{number}"
        for package in _PRODUCT
        for file in (_ROOT / package).rglob("*.py")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if calls.search(line) and "enc_hook=plain" not in line
    ]
    assert wrong == []


# The names under which distributions are imported, where these differ.
_IMPORTED_AS: Final = {
    "aio-pika": "aio_pika",
    "dependency-injector": "dependency_injector",
    "import-linter": "importlinter",
    "openapi-spec-validator": "openapi_spec_validator",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "prometheus-client": "prometheus_client",
    "pytest-asyncio": "pytest_asyncio",
    "pytest-bdd": "pytest_bdd",
    "pyjwt": "jwt",
    "python-dotenv": "dotenv",
    "pyyaml": "yaml",
    "uuid-utils": "uuid_utils",
}
_OURS: Final = {*_PRODUCT, "bench", "tests", "holdfast_client"}


def _declared(requirements: Iterable[str]) -> set[str]:
    names = {re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in requirements}
    return {_IMPORTED_AS.get(name, name) for name in names}


# The files that use what a library keeps private, as `not public` in pyproject.toml says. Ruff finds some of them.
_LIBRARY_OF: Final = {
    "adapters/redis/connections.py": "redis",
    "adapters/rabbitmq/underlay.py": "aiormq",
    "adapters/rabbitmq/received.py": "aiormq",
    "entrypoints/http/headers.py": "werkzeug",
    "entrypoints/http/this_request.py": "werkzeug",
    "entrypoints/http/server/connection.py": "quart",
    "entrypoints/http/server/protocol.py": "uvicorn",
}


def test_a_library_whose_inside_is_used_has_an_upper_bound_and_a_test_that_names_what_has_changed() -> None:
    required = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounded = {re.split(r"[\[<=>]", each)[0] for each in required if "<" in each}
    guarded = {each.name[5:-13] for each in (_ROOT / "tests" / "unit").rglob("test_*_internals.py")}
    marked = [
        str(file.relative_to(_ROOT))
        for package in _PRODUCT
        for file in (_ROOT / package).rglob("*.py")
        if "noqa: SLF001" in file.read_text()
    ]
    assert "adapters/redis/connections.py" in marked
    assert set(marked) - _LIBRARY_OF.keys() == set()
    assert set(_LIBRARY_OF.values()) <= bounded & guarded


def _foreign(packages: Iterable[str]) -> dict[str, str]:
    """What is imported from outside, anywhere in these packages, with a file that does."""
    found = {}
    for file in (file for package in packages for file in (_ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules = [node.module]
            else:
                continue
            found |= {module.partition(".")[0]: str(file.relative_to(_ROOT)) for module in modules}
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names | _OURS}


def test_whatever_is_imported_is_a_declared_dependency() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    runtime = _declared([*project["project"]["dependencies"], *(each for extra in extras for each in extra)])
    development = runtime | _declared(project["dependency-groups"]["dev"])
    product, others = _foreign(_PRODUCT), _foreign(["bench", "tests"])
    assert {name: file for name, file in product.items() if name not in runtime} == {}
    assert {name: file for name, file in others.items() if name not in development} == {}


def test_whatever_is_declared_is_imported_or_named_here() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    # A driver that SQLAlchemy imports by the name in a URL, and what httpcore imports if it is there.
    by_name = {"aiosqlite", "sniffio"}
    assert _declared(project["project"]["dependencies"]) - _foreign(_PRODUCT).keys() <= by_name


def test_whatever_status_is_set_by_hand_has_its_use_case(shop: Shop) -> None:
    assert shop.use_cases.by_hand.keys() == SET_BY_HAND
