"""Problems: their form, their catalogue, and that one answer names all that is wrong."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from attrs import evolve
from quart import Quart

import entrypoints.http.problem_table
from application.assembly.use_cases import UseCases
from application.errors import OutcomeUnknown
from entrypoints.http.problem_kinds import Kind
from entrypoints.http.problem_table import CATALOGUE, path_of
from entrypoints.http.refusals import FIELD_CODES
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop

ROOT = Path(__file__).parents[2]
ORDER_PATH = "/orders/01890a5d-ac96-774b-bcce-b302099a8057"
# What no code of ours raises, with the test that provokes it.
ELSEWHERE = {
    "unauthenticated": "test_nobody_gets_past_a_route_that_is_not_open_to_all",
    "internal": "test_an_internal_error_is_written_to_the_log_alone",
    "method_not_allowed": "test_a_method_that_is_not_there_names_those_that_are",
    "deadline": "test_a_temporary_problem_is_worth_a_retry",
}


async def test_the_catalogue_lists_every_kind_and_each_has_an_address(browser: Browser) -> None:
    listed = (await browser.get("/problems")).body["items"]
    assert [kind["code"] for kind in listed] == list(CATALOGUE)
    for kind in listed:
        one = await browser.get(kind["type"])
        assert (one.status, one.body) == (200, kind)
        assert all(one.body[name] for name in ("title", "cause", "remedy"))
    assert (await browser.get("/problems/nothing")).code == "not_found"


@pytest.mark.parametrize("path", ["/problems", "/problems/overloaded"])
async def test_a_browser_gets_a_page(app: Quart, path: str) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    response = await app.test_client().get(path, headers={"Accept": accept})
    text = await response.get_data(as_text=True)
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Vary"] == "Accept"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "overloaded" in text
    assert "<script" not in text


async def test_the_type_of_a_problem_leads_to_its_explanation(browser: Browser) -> None:
    problem = await browser.get("/orders?limit=0")
    explained = (await browser.get(problem.body["type"])).body
    assert [explained[name] for name in ("code", "title", "status")] == [
        problem.body[name] for name in ("code", "title", "status")
    ]


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: str(kind.code))
def test_each_kind_of_problem_is_raised_somewhere(kind: Kind) -> None:
    if kind.code in ELSEWHERE:
        tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
        assert f"def {ELSEWHERE[kind.code]}(" in tests
        return
    kinds = entrypoints.http.problem_table.KINDS
    rows = {cls for cls, each in kinds.items() if each is kind}
    constants = {name for name, value in vars(entrypoints.http.problem_table).items() if value is kind}
    raised = {each.__name__ for cls in rows for each in _with_subclasses(cls) if _row(each, kinds) is cls}
    assert (raised | constants) & _used(), f"no code raises {kind.code}"


def _with_subclasses(cls: type[Exception]) -> Iterator[type[Exception]]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _with_subclasses(subclass)


def _row(cls: type, kinds: object) -> type | None:
    return next((base for base in cls.__mro__ if base in kinds), None)  # type: ignore[operator]


@cache
def _used() -> frozenset[str]:
    """The names that are called, raised or handed on anywhere in the product, apart from the table itself."""
    found: set[str] = set()
    for folder in ("domain", "application", "adapters", "entrypoints"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name in {"problem_table.py", "problem_kinds.py"} and path.parent.name == "http":
                continue
            # Below a node whose names count, all names do.
            nodes: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text()), False)]
            while nodes:
                node, counts = nodes.pop()
                if counts and isinstance(node, ast.Name):
                    found.add(node.id)
                parts = [node.func, *node.args] if isinstance(node, ast.Call) else []
                parts += [node.exc] if isinstance(node, ast.Raise) and node.exc is not None else []
                parts += (
                    [node.value] if isinstance(node, ast.Return | ast.Assign | ast.AnnAssign) and node.value else []
                )
                nodes += ((child, counts or child in parts) for child in ast.iter_child_nodes(node))
    return frozenset(found)


def test_the_documentation_lists_every_code() -> None:
    again = {"no": "no", "yes": "yes", "guarded": "under a key"}
    rows = [
        f"| `{kind.code}` | {kind.status.value} | {again[kind.again]} | {kind.cause} {kind.remedy} |"
        for kind in CATALOGUE.values()
    ]
    table = "\n".join(["| code | status | retryable | cause and remedy |", "|---|---|---|---|", *rows])
    fields = "\n".join(
        ["| code | meaning |", "|---|---|", *(f"| `{code}` | {meaning} |" for code, meaning in FIELD_CODES.items())]
    )
    docs = (ROOT / "docs" / "http.md").read_text()
    assert table in docs, f"docs/http.md needs this table:\n\n{table}\n"
    assert fields in docs, f"docs/http.md needs this table:\n\n{fields}\n"
    assert all(path_of(kind) == f"/problems/{code}" for code, kind in CATALOGUE.items())


async def test_one_answer_names_what_is_wrong_in_query_headers_and_body(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    answer = await browser.send(
        "POST",
        "/orders?limit=1",
        b'{"user_id": 0, "items": [{"product_id": 1, "quantity": "1"}], "note~/": 1}',
        keys=["x" * 256],
        more=[("Content-Range", "bytes 0-1/2")],
    )
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert {(where, error["code"]) for where, error in zip(answer.wrong, answer.body["errors"], strict=True)} == {
        ("limit", "unknown"),
        ("Content-Range", "not_honoured"),
        ("Idempotency-Key", "wrong_format"),
        ("/user_id", "out_of_range"),
        ("/items/0/quantity", "wrong_type"),
        ("/note~0~1", "unknown"),
    }
    assert answer.errors["/items/0/quantity"] == "it is a whole number, not a text"
    assert answer.errors["/user_id"] == "it is a whole number, at least 1"
    assert len(shop.store.orders) == 0


@pytest.mark.parametrize(
    ("send", "wrong"),
    [
        ({"body": b"{", "keys": ["a", "b"]}, ["Idempotency-Key", ""]),
        ({"body": b"{}", "more": [("If-Match", "v1")], "content_type": "text/csv"}, ["If-Match", "Content-Type"]),
        ({"body": b'{"a":1}', "more": [("If-None-Match", "v1")]}, ["If-None-Match", "/a"]),
    ],
)
async def test_the_stages_are_joined_whichever_fails_first(
    shop: Shop, browser: Browser, send: dict[str, object], wrong: list[str]
) -> None:
    await shop.sells()
    order = await browser.order()
    answer = await browser.send("POST", f"/orders/{order['order_id']}/pay", **send)  # type: ignore[arg-type]
    assert sorted(answer.wrong) == sorted(wrong)
    assert (await browser.get(f"/orders/{order['order_id']}")).body["status"] == "PENDING"


@pytest.mark.parametrize(
    ("method", "path", "keys", "retryable"),
    [("POST", "/orders", [], False), ("POST", "/orders", ["monday"], True), ("GET", ORDER_PATH, [], True)],
)
async def test_what_may_have_happened_is_repeated_only_where_it_does_no_harm(
    use_cases: UseCases, method: str, path: str, keys: list[str], *, retryable: bool
) -> None:
    async def fail(*_: object) -> None:
        raise OutcomeUnknown("no answer to the commit")

    browser = Browser(app_over(evolve(use_cases, place_order=fail, get_order=fail)))
    answer = await browser.send(
        method, path, b'{"user_id":1,"items":[{"product_id":1,"quantity":1}]}' if method == "POST" else b"", keys=keys
    )
    assert (answer.code, answer.body["retryable"]) == ("outcome_unknown", retryable)


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/xml, text/*;q=0.5",
        "application/json;q=0",
        "application/json;q=0.0, text/html",
        "*/*;q=0",
    ],
)
async def test_a_client_that_takes_no_json_is_told_so_and_nothing_is_done(
    shop: Shop, browser: Browser, accept: str
) -> None:
    await shop.sells()
    answer = await browser.send(
        "POST", "/orders", b'{"user_id":1,"items":[{"product_id":1,"quantity":1}]}', more=[("Accept", accept)]
    )
    assert (answer.status, answer.code) == (406, "not_acceptable")
    assert len(shop.store.orders) == 0


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/*",
        "application/json",
        "text/html, */*;q=0.1",
        "Application/JSON ; q=0.5",
        ",",
        "a;q=x,*/*",
    ],
)
async def test_a_client_that_takes_json_gets_it(browser: Browser, accept: str) -> None:
    assert (await browser.send("GET", "/orders", more=[("Accept", accept)])).status == 200


async def test_what_is_refused_in_another_way_does_not_spoil_the_answer(browser: Browser) -> None:
    path = f"{ORDER_PATH}/events?limit=1"
    answer = await browser.send("GET", path, more=[("Expect", "tea"), ("Content-Encoding", "gzip")])
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.wrong[0] == "limit"
