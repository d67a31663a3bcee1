"""`/openapi.json` and `/docs`. `browser.py` compares each response of all tests with the document."""

import json
from html.parser import HTMLParser

import pytest
from openapi_spec_validator import validate
from quart import Quart

from entrypoints.http.routes.route import Open, Route
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop

# The requests of other systems are described in theirs.
ROUTES: dict[str, Route] = app_over(Shop().use_cases, ancestors=None).routes  # type: ignore[attr-defined]


async def test_the_document_is_valid_and_has_every_route(browser: Browser) -> None:
    document = (await browser.get("/openapi.json")).body
    validate(document)
    operations = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods if method != "head"
    }
    assert operations == {(route.method, route.path.replace("<", "{").replace(">", "}")) for route in ROUTES.values()}


async def test_what_generates_clients_finds_the_servers_each_tag_and_nothing_unused(browser: Browser) -> None:
    document = (await browser.get("/openapi.json")).body
    assert [server["url"] for server in document["servers"]] == ["/", "/v1"]
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    used = {tag for operation in operations for tag in operation["tags"]}
    assert [tag["name"] for tag in document["tags"]] == sorted(used)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    text = json.dumps(document)
    for kind in ("schemas", "responses", "headers"):
        for name in document["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text, f"nothing refers to {kind}/{name}"


@pytest.mark.parametrize("name", ROUTES)
def test_each_route_says_what_it_does_and_answers(name: str) -> None:
    route = ROUTES[name]
    assert route.summary, "give the route a summary"
    assert route.answers, "say with which statuses the route answers, and give an example of each body"
    assert route.body is None or not route.needs_body or route.example is not None, "give an example of the body"


async def test_the_document_names_the_scope_of_each_route(browser: Browser) -> None:
    document = (await browser.get("/openapi.json")).body
    place = document["paths"]["/orders"]["post"]
    assert place["security"] == [{"key": ["orders:write"]}]
    for route in ROUTES.values():
        operation = document["paths"][route.path.replace("<", "{").replace(">", "}")][route.method.lower()]
        assert bool(operation["security"]) is (route.access is not Open.TO_ALL)


async def test_a_document_that_a_client_has_is_not_sent_again(browser: Browser, app: Quart) -> None:
    for path in ("/openapi.json", "/docs", "/docs/style.css", "/asyncapi.json"):
        first = await app.test_client().get(path)
        content = await first.get_data(as_text=False)
        again = await app.test_client().get(path, headers={"If-None-Match": f'"v1", W/{first.headers["ETag"]}'})
        assert (again.status_code, await again.get_data(as_text=False)) == (304, b"")
        assert first.headers["Cache-Control"] == "no-cache"
        other = await app.test_client().get(path, headers={"If-None-Match": '"v1"'})
        assert (other.status_code, await other.get_data(as_text=False)) == (200, content)


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"href", "src"}:
                self.found.append((tag, str(value)))
            if name == "id":
                self.ids.add(str(value))
            assert name != "style"
            assert not name.startswith("on")


async def test_the_page_needs_nothing_from_elsewhere(app: Quart) -> None:
    client = app.test_client()
    response = await client.get("/docs", headers={"Accept": "text/html"})
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = Links()
    page.feed(await response.get_data(as_text=True))
    assert not page.tags & {"script", "img", "iframe", "style"}
    for tag, address in page.found:
        if address.startswith("#"):
            assert address[1:] in page.ids
        else:
            target = await client.get(address, headers={"Accept": "text/css" if tag == "link" else "*/*"})
            assert target.status_code == 200, address
    document = json.loads(await (await client.get("/openapi.json")).get_data(as_text=True))
    operations = {each["operationId"] for methods in document["paths"].values() for each in methods.values()}
    assert operations <= page.ids
