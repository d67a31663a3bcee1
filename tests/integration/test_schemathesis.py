"""schemathesis reads `/openapi.json`, and sends what the document allows and what it does not allow.

All its checks are on. Two customers' keys let it find reads of another customer's orders, and a key of the shop lets it
get past the check of access everywhere. By default a run is short.
For about 2,000 requests on each set-up, others each time:
`HOLDFAST_TEST_CASES=2000 ./dev test tests/integration/test_schemathesis.py`.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex

import msgspec
import pytest

from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.preconditions import GUARDS
from entrypoints.http.ranges import RANGES
from entrypoints.http.routes.route import Route
from tests.http.browser import app_over
from tests.service import Service
from tests.unit.shop import Shop

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
ROUTES: dict[str, Route] = app_over(Shop().use_cases).routes  # type: ignore[attr-defined]
CASES = int(os.environ.get("HOLDFAST_TEST_CASES", "0"))
SECONDS = 600 if not CASES else 7200
# A short run sends the same requests each time, on a quick machine and on a slow one: what it finds is found again, and
# by whoever changed something.
EXTENT = (
    ["--max-examples", str(max(2, CASES // len(ROUTES))), "--generation-database", "none"]
    if CASES
    else ["--max-examples", "2", "--phases", "examples,fuzzing", "--seed", "1", "--generation-deterministic"]
)

# It reads a response to its end, and a stream without enough events has none.
STREAM = "/events/stream"
REFUSED = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 429]
# What a right request may be answered with as well, where a rule can't be written in a schema: a product that is not
# there, a network that is none, a role without its customer.
RULES_OF_THE_SHOP = {
    "POST /orders": [422],
    "POST /orders/check": [422],
    "POST /products": [422],
    "PATCH /products/{product_id}": [422],
    "POST /products/{product_id}/stock": [422],
    "PATCH /orders/{order_id}": [422],
    # An address that is not on the internet, or not by https.
    "POST /webhook-endpoints": [422],
    "PATCH /webhook-endpoints/{endpoint_id}": [422],
    # A time that is too long.
    "POST /webhook-endpoints/{endpoint_id}/rotate-secret": [422],
    # A position that is written with a fraction, as 2.0.
    "POST /webhook-endpoints/{endpoint_id}/enable": [422],
    "POST /keys": [422],
    "POST /keys/{key_id}/rotate": [422],
    # A filter of another kind of export.
    "POST /exports": [422],
    # A range behind the end.
    "GET /exports/{job_id}": [416],
    # A text that is no table, or names no columns.
    "POST /imports": [422],
    "GET /imports/{job_id}/results": [416],
    # A discard without a reason.
    "POST /bulk-operations": [422],
    "GET /bulk-operations/{job_id}/results": [416],
    "GET /reconciliations/{job_id}/discrepancies": [416],
    # An edited message that is no event, or is too long when it is written as bytes.
    "POST /dead-letters/{letter_id}/try": [413, 422],
    "POST /dead-letters/{letter_id}/replay": [413, 422],
    # Every character of a long text may be written as twelve bytes, which are too many for a body.
    "POST /messages": [413, 422],
    "POST /orders/{order_id}/messages": [413, 422],
    # A whole number that is written with a fraction, as 2.0.
    "PUT /carts/{user_id}/items/{product_id}": [422],
    # The name of a customer that is written as a number out of range.
    "GET /orders": [422],
    # It has its cursor in the body.
    "POST /orders/search": [400, 422],
    # To wait is to wait for a version.
    "GET /orders/{order_id}": [422],
    # A position that was never given.
    "GET /events": [410],
}

# It tells what a deleted endpoint was sent, too.
LISTED_WHEN_DELETED = "GET /webhook-endpoints/{endpoint_id}/deliveries"


def configuration(auth: Path, caller: str) -> str:
    """A right request under a key that was used for another one is refused with 422."""
    accepted: list[object] = ["2xx", 304, 401, 403, 404, 409, 412]
    tables = [
        f'hooks = "{HOOKS}"',
        f'[auth.wfc]\npath = "{auth}"\nuser = "{caller}"\npeers = ["{caller}", "bert"]',
        f"[checks.negative_data_rejection]\nexpected-statuses = {REFUSED}",
        f"[checks.missing_required_header]\nexpected-statuses = {REFUSED}",
        f"[checks.positive_data_acceptance]\nexpected-statuses = {accepted}",
    ]
    for route in ROUTES.values():
        if route.wording is not None:
            # It is no part of the document.
            continue
        name = f"{route.method} {route.path.replace('<', '{').replace('>', '}')}"
        more = [*RULES_OF_THE_SHOP.get(name, [])]
        more += [422] * (IDEMPOTENCY_KEY in route.honours)
        # It can't make a cursor, and sends `0` where it can make no text of a pattern, such as that of entity tags.
        more += [400] * ("cursor" in route.parameters or not route.honours.isdisjoint(GUARDS))
        own = {"positive_data_acceptance": [*accepted, *more]} if more else {}
        if not route.honours.isdisjoint(RANGES):
            # RFC 9110, 14.2: a range in a unit that nobody knows is ignored.
            own |= {"negative_data_rejection": [200, *REFUSED]}
        checks = [f"[operations.checks.{check}]\nexpected-statuses = {own[check]}" for check in own]
        if name == LISTED_WHEN_DELETED:
            checks.append("[operations.checks.use_after_free]\nenabled = false")
        if checks:
            tables += [f'[[operations]]\ninclude-name = "{name}"', *checks]
    return "\n\n".join(tables)


def findings(printed: str) -> str:
    """What it has found, with the beginnings of long lines: a single body may have 100,000 characters."""
    lines = [line if len(line) < 500 else f"{line[:500]}..." for line in printed.splitlines()]
    first = next((at for at, line in enumerate(lines) if " FAILURES " in line), 0)
    return "\n".join(lines[first:])[:50_000]


def make_key(service: Service, *options: str) -> str:
    printed = service.run("keys", "create", "--name", "schemathesis", *options, seconds=120)
    [key] = [line for line in printed.splitlines() if line.startswith("hf_")]
    return key


@pytest.fixture
def sqlite(migrated: Service) -> Service:
    return migrated


@pytest.fixture
def postgresql(tmp_path: Path, new_migrated_database: Callable[[], str], redis_url: str) -> Iterator[Service]:
    # Without Redis there are no carts, and all requests to them get 501.
    namespace = f"test-{token_hex(6)}"
    settings = {"DATABASE_URL": new_migrated_database(), "REDIS_URL": redis_url, "HOLDFAST_NAMESPACE": namespace}
    service = Service(folder=tmp_path, settings=settings)
    yield service
    service.kill()


@pytest.mark.parametrize("caller", ["anna", "shop"])
@pytest.mark.parametrize("set_up", ["sqlite", "postgresql"])
def test_schemathesis_finds_nothing(request: pytest.FixtureRequest, set_up: str, caller: str, tmp_path: Path) -> None:
    service: Service = request.getfixturevalue(set_up)
    service.settings |= {
        "HOLDFAST_AUTH": "required",
        "HOLDFAST_RATE_LIMIT": "off",
        "HOLDFAST_TRUSTED_PROXIES": "127.0.0.1",
    }
    keys = {
        "anna": make_key(service, "--role", "customer", "--user-id", "1"),
        "bert": make_key(service, "--role", "customer", "--user-id", "2"),
        "shop": make_key(service, "--role", "admin"),
    }
    entries = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {key}"}]}
        for name, key in keys.items()
    ]
    auth, config = tmp_path / "auth.json", tmp_path / "schemathesis.toml"
    auth.write_bytes(msgspec.json.encode({"auth": entries}))
    config.write_text(configuration(auth, caller))
    service.start_all(["up"])
    service.add_product(stock=1000)
    found = subprocess.run(
        [
            *[str(SCHEMATHESIS), "--config-file", str(config), "run", f"{service.url}/openapi.json"],
            *["--checks", "all"],
            *["--exclude-path", STREAM, "--request-timeout", "60"],
            # A request may wait for 10 s, and then has to be answered.
            *["--max-response-time", "60"],
            *["--no-color", "--continue-on-failure", *EXTENT],
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=SECONDS,
        check=False,
    )
    assert found.returncode == 0, findings(found.stdout + found.stderr)
    assert "generated" in found.stdout
    assert "Traceback" not in service.logs()
