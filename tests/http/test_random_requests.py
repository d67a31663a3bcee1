"""Requests without sense make no 5xx, and each response is one that `/openapi.json` has (`browser.py`).

For many: `HOLDFAST_TEST_REQUESTS=100000 ./dev test tests/http/test_random_requests.py`.
"""

import json
import os
import re
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrypoints.http.accept import EVENT_STREAM
from entrypoints.http.routes.route import Route
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop

REQUESTS = int(os.environ.get("HOLDFAST_TEST_REQUESTS", "200"))
ORDER_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
# A stream has no end that could be waited for.
ROUTES: list[Route] = [
    route
    for route in app_over(Shop().use_cases).routes.values()  # type: ignore[attr-defined]
    if EVENT_STREAM not in route.produces
]
NAMES = sorted({name for route in ROUTES for name in route.parameters})

words = st.sampled_from(["", "0", "1", "-1", "x", ORDER_ID, "PENDING", "*", '"v1"', "%00", "%FF", "9" * 30, "a,b"])
segment = words | st.text(st.sampled_from("abc019-._~%"), max_size=12).map(lambda text: re.sub("%", "%25", text))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
headers = st.sampled_from(
    [
        "Accept", "Idempotency-Key", "If-Match", "If-None-Match", "If-Unmodified-Since", "If-Modified-Since",
        "Request-Id", "Content-Encoding", "Content-Digest", "Expect", "Origin", "Authorization", "Range", "Cookie",
    ]
)  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn, route: Route) -> bytes:
    """Bodies that come close to being right get further than noise does."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=30))
    members = {} if route.body is None else {name: draw(json_values) for name in route.body.type.__struct_fields__}
    example: dict[str, Any] = {} if route.example is None else msgspec.to_builtins(route.example)
    kept = {name: value for name, value in (members | example).items() if draw(st.booleans())}
    if draw(st.booleans()):
        kept |= draw(st.dictionaries(st.text(max_size=8), json_values, max_size=2))
    return json.dumps(kept).encode()


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes, list[tuple[str, str]]]:
    route = draw(st.sampled_from(ROUTES))
    path = re.sub(r"<\w+>", lambda _: draw(segment) or "x", route.path)
    pairs = draw(st.lists(st.tuples(st.sampled_from(NAMES), words), max_size=3))
    query = "&".join(f"{name}={value}" for name, value in pairs)
    method = draw(st.sampled_from([route.method] * 4 + ["GET", "POST", "PUT", "PATCH", "DELETE"]))
    more = draw(st.lists(st.tuples(headers, words), max_size=3))
    return method, f"{path}?{query}" if query else path, draw(bodies(route)), more


@settings(
    max_examples=REQUESTS,
    # A short run sends the same requests each time.
    derandomize="HOLDFAST_TEST_REQUESTS" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(request=requests())
async def test_no_request_whatever_makes_a_5xx(
    browser: Browser, request: tuple[str, str, bytes, list[tuple[str, str]]]
) -> None:
    method, path, body, more = request
    answer = await browser.send(method, path, body, more=more)
    assert answer.status < 500, answer
