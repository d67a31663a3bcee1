"""Who gets which page of the console, without a browser. Each test walks every route, also that of a new screen."""

import ast
import re
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

import pytest
from attrs import evolve, frozen
from quart import Quart, Request
from quart.testing import QuartClient

from adapters.codecs.events import encode
from application.access.principal import SYSTEM, Principal, Unauthenticated
from application.access.scopes import CUSTOMER_SCOPES, ROLES, Role, Scope
from application.assembly import assemble
from application.assembly.limits import Limits
from application.errors import OutcomeUnknown, Unavailable
from application.ports.overview import Overview, QueueState
from domain.dead_letter import DeadMessage
from domain.dead_letter_groups import reason_of
from domain.ids import JobId, OrderId, UserId
from domain.jobs.job import new_job
from domain.orders.details import OrderDetails
from domain.orders.order import Order
from entrypoints.http.console import entrance
from entrypoints.http.console.formats import short
from entrypoints.http.console.navigation import NAVIGATION
from entrypoints.http.console.screens.entry import SIGN_IN
from entrypoints.http.console.sessions import COOKIE, LASTS
from entrypoints.http.routes.route import Open, Route
from tests.brokers import payment_requested
from tests.http.browser import app_over
from tests.http.test_jobs import work
from tests.unit.builders import NOW
from tests.unit.shop import Shop, a_request
from tests.unit.webhooks import BROKEN, URL, Webhooks

TEMPLATES = Path(entrance.__file__).parent / "templates"
NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"
ORIGIN = "http://shop.example"
ADDRESSES = {
    "<path:name>": "console.css",
    "<order_id>": NOWHERE,
    "<product_id>": "1",
    "<job_id>": NOWHERE,
    "<key_id>": "0123456789ab",
    "<endpoint_id>": NOWHERE,
    "<delivery_id>": f"{NOWHERE}.1",
    "<letter_id>": "1",
}


@frozen
class Door:
    """Lets in by the name of a role, or as the customer 1."""

    required: bool = True

    async def by_token(self, token: str, request: Request) -> Principal:
        if token == Role.CUSTOMER:
            return Principal(token, user_id=UserId(1), scopes=CUSTOMER_SCOPES)
        if token not in ROLES:
            raise Unauthenticated("there is no such key")
        return Principal(token, scopes=ROLES[Role(token)])


class Visitor:
    """A browser without a screen."""

    def __init__(self, app: Quart) -> None:
        self._client = QuartClient(app, use_cookies=False)
        self.cookie = ""

    async def send(self, method: str, path: str, form: str = "", *, origin: str | None = ORIGIN, **headers: str) -> Any:
        sent = {"Host": "shop.example", "Cookie": self.cookie}
        if method != "GET":
            sent |= {"Content-Type": "application/x-www-form-urlencoded"} | ({"Origin": origin} if origin else {})
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        raw = {"raw_path": path.partition("?")[0].encode()}
        return await self._client.open(path, method=method, data=form.encode(), headers=sent, scope_base=raw)

    async def get(self, path: str, **headers: str) -> Any:
        return await self.send("GET", path, **headers)

    async def sign_in(self, key: str) -> Any:
        response = await self.send("POST", SIGN_IN, f"key={key}")
        self.cookie = response.headers.get("Set-Cookie", "").partition(";")[0]
        return response


def app_for(shop: Shop, door: Door | None = None) -> Quart:
    return app_over(shop.use_cases, console=door or Door(), now=shop.clock)


@pytest.fixture
def visitor(shop: Shop) -> Visitor:
    return Visitor(app_for(shop))


async def routes_of(app: Quart) -> dict[str, Route]:
    made: Any = await app.console.app()  # type: ignore[attr-defined]
    return dict(made.routes)


def address(route: Route) -> str:
    return reduce(lambda path, named: path.replace(*named), ADDRESSES.items(), route.path)


async def test_nobody_gets_a_page_without_a_key(shop: Shop) -> None:
    app = app_for(shop)
    open_to_all = set()
    for route in (await routes_of(app)).values():
        response = await Visitor(app).send(route.method, address(route))
        if route.access is Open.TO_ALL:
            open_to_all.add(route.path)
        else:
            assert response.status_code == 303
            assert response.headers["Location"].startswith(SIGN_IN)
    # Nothing of the shop is in these.
    assert open_to_all == {
        SIGN_IN, "/console/", "/console/sign-out", "/console/theme", "/console/static/<path:name>"
    }  # fmt: skip


@pytest.mark.parametrize("role", Role)
async def test_a_role_gets_the_screens_of_its_scopes_and_sees_no_others(shop: Shop, role: Role) -> None:
    app = app_for(shop)
    visitor = Visitor(app)
    await visitor.sign_in(role)
    if role is Role.CUSTOMER:
        assert visitor.cookie == ""
        return
    scopes = ROLES[role]
    home = await visitor.get("/console")
    for route in (await routes_of(app)).values():
        if route.path.endswith("/live") or isinstance(route.access, Open):
            continue
        needed = route.access if isinstance(route.access, frozenset) else frozenset({route.access})
        if route.method == "GET":
            response = await visitor.get(address(route))
            assert (response.status_code == 403) == needed.isdisjoint(scopes), route.path
            # An order, a job or the like that does not exist is told in a page, too.
            assert response.status_code in {200, 303, 403, 404}, route.path
        elif needed.isdisjoint(scopes):
            response = await visitor.send(route.method, address(route))
            assert response.status_code == 403, route.path
    shown = {
        entry.path
        for group in NAVIGATION
        for entry in group.entries
        if not scopes.isdisjoint({entry.needs} if isinstance(entry.needs, Scope) else entry.needs)
    }
    if shown:
        html = await (await visitor.get(home.headers["Location"])).get_data(as_text=True)
        assert set(re.findall(r'<li><a href="([^"]+)"', html)) == shown
    else:
        assert home.status_code == 403


async def test_a_change_is_made_from_the_pages_of_this_host_alone(shop: Shop) -> None:
    app = app_for(shop)
    visitor = Visitor(app)
    await visitor.sign_in("admin")
    for route in (await routes_of(app)).values():
        if route.method == "GET":
            continue
        for origin in (
            None,
            "null",
            "http://evil.example",
            "http://shop.example.evil.example",
            "http://shop.example:81",
        ):
            assert (await visitor.send(route.method, address(route), origin=origin)).status_code == 403
        across = {"Sec_Fetch_Site": "cross-site"}
        assert (await visitor.send(route.method, address(route), **across)).status_code == 403


async def test_each_page_forbids_what_no_page_needs(visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    for path in ("/console/audit", "/console/nowhere", SIGN_IN):
        response = await visitor.get(path)
        assert response.headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Frame-Options"] == "DENY"
        html = await response.get_data(as_text=True)
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", html)


async def test_a_session_has_its_time_and_is_of_this_shop(shop: Shop, visitor: Visitor) -> None:
    signed_in = await visitor.sign_in("admin")
    assert "HttpOnly; SameSite=Strict" in signed_in.headers["Set-Cookie"]
    assert (await visitor.get("/console/audit")).status_code == 200
    shop.clock.forward(LASTS - timedelta(seconds=1))
    assert (await visitor.get("/console/audit")).status_code == 200
    shop.clock.forward(timedelta(seconds=1))
    assert (await visitor.get("/console/audit")).status_code == 303

    await visitor.sign_in("admin")
    another = Visitor(app_over(shop.use_cases, console=Door(), now=shop.clock, cursor_secret=b"of another shop"))
    another.cookie = visitor.cookie
    assert (await another.get("/console/audit")).status_code == 303
    for forged in ("x", "A" * 200, "%00", visitor.cookie.partition("=")[2][:-2]):
        visitor.cookie = f"{COOKIE}={forged}"
        assert (await visitor.get("/console/audit")).status_code == 303


async def test_a_cookie_that_was_copied_before_signing_out_lets_nobody_in_anywhere(
    shop: Shop, visitor: Visitor
) -> None:
    await visitor.sign_in("admin")
    # Of another process, which has seen the session, and of one that has not.
    others = [Visitor(app_over(assemble(shop.ports, Limits()), console=Door(), now=shop.clock)) for _ in range(2)]
    copied = visitor.cookie
    for each in others:
        # The same bytes, written in another way.
        each.cookie = copied + "="
    assert (await others[0].get("/console/audit")).status_code == 200
    response = await visitor.send("POST", "/console/sign-out")
    assert response.headers["Location"] == f"{SIGN_IN}?done=signed-out"
    assert response.headers["Set-Cookie"].startswith(f"{COOKIE}=; Max-Age=0;")
    for each in (visitor, *others):
        for path in ("/console/audit", "/console/live"):
            assert (await each.get(path)).headers["Location"].startswith(SIGN_IN)
        assert (await each.send("POST", "/console/keys/x/revoke")).headers["Location"].startswith(SIGN_IN)
    await visitor.sign_in("admin")
    assert visitor.cookie != copied
    assert (await visitor.get("/console/audit")).status_code == 200


async def test_signing_out_without_a_session_leaves_nothing_behind(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    assert shop.store.ended_sessions == {}
    for cookie in ("", f"{COOKIE}=made-up"):
        stranger = Visitor(app_for(shop))
        stranger.cookie = cookie
        await stranger.send("POST", "/console/sign-out")
    assert shop.store.ended_sessions == {}


async def test_signing_out_without_the_database_says_what_a_copy_of_the_session_can_do(
    shop: Shop, visitor: Visitor
) -> None:
    await visitor.sign_in("admin")
    shop.unsteady.gone = True
    response = await visitor.send("POST", "/console/sign-out")
    assert response.headers["Set-Cookie"].startswith(f"{COOKIE}=; Max-Age=0;")
    assert "revoke the key" in await text_of(visitor, response.headers["Location"])
    assert (await visitor.get("/console/audit")).headers["Location"].startswith(SIGN_IN)


async def test_a_key_in_the_cookie_is_no_key_for_the_api(shop: Shop) -> None:
    async def nobody(_: Request) -> Principal:
        raise Unauthenticated("send a key")

    visitor = Visitor(app_over(shop.use_cases, console=Door(), now=shop.clock, authenticate=nobody))
    await visitor.sign_in("admin")
    assert (await visitor.get("/orders")).status_code == 401


async def test_an_open_shop_needs_no_key(shop: Shop) -> None:
    visitor = Visitor(app_for(shop, Door(required=False)))
    response = await visitor.get("/console/audit")
    assert response.status_code == 200
    assert "open to all" in await response.get_data(as_text=True)


async def test_a_console_that_is_turned_off_is_not_there(shop: Shop) -> None:
    response = await Visitor(app_over(shop.use_cases)).get("/console")
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_what_the_database_can_not_say_is_unknown_and_since_when(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    shop.unsteady.gone = True
    began = shop.clock()
    for minutes in (0, 5):
        shop.clock.forward(timedelta(minutes=minutes))
        response = await visitor.get("/console/audit")
        assert response.status_code == 503
        html = await response.get_data(as_text=True)
        assert f'Unknown since <time datetime="{began.isoformat(timespec="milliseconds")}"' in html
    shop.unsteady.gone = False
    assert (await visitor.get("/console/audit")).status_code == 200


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "/orders", "/console/../orders//x", "https://evil.example", "/console\\x"]
)
async def test_signing_in_leads_to_no_other_place(visitor: Visitor, wanted: str) -> None:
    await visitor.sign_in("admin")
    response = await visitor.get(f"{SIGN_IN}?kept=1&next={wanted}")
    assert response.headers["Location"] == "/console"


async def test_the_theme_is_changed_on_the_page_that_is_looked_at(shop: Shop, visitor: Visitor) -> None:
    """With its search: without it, a group of dead letters would be all of them."""
    await visitor.sign_in("admin")
    for path in ("/console/dead-letters/group?queue=payments&amp;error=KeyError", "/console/orders?q=total%3A%3E100"):
        page = await text_of(visitor, path.replace("&amp;", "&"))
        assert f'name="back" value="{path}"' in page
    # What an act has answered is not asked for again.
    endpoint = await Webhooks(shop).add()
    there = f"/console/webhooks/{endpoint}"
    for referer, back in (
        (f"{ORIGIN}{there}?done=webhook-changed&status=PENDING", f"{there}?status=PENDING"),
        ("", ""),
    ):
        response = await visitor.send("POST", f"{there}/test", Referer=referer)
        assert f'name="back" value="{back}"' in await response.get_data(as_text=True)


async def test_the_address_of_an_act_leads_to_the_page_of_what_it_is_about(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    routes = (await routes_of(app_for(shop))).values()
    readable = {route.path for route in routes if route.method == "GET"}
    for route in routes:
        # For the address of an order it is no id.
        if route.path not in readable | {"/console/orders/export"}:
            response = await visitor.get(address(route))
            assert response.status_code == 303, route.path
            above = response.headers["Location"]
            assert address(route).startswith(f"{above}/")
            # Of a thing that is not there, the page says so.
            assert (await visitor.get(above)).status_code in {200, 303, 404}, route.path


@pytest.mark.parametrize("path", ["%0d%0aSet-Cookie:x=1", "%0A", "%00", "%F0%9F%A6%8A", "%ff", "a%22b%3E"])
async def test_no_address_ends_a_line_of_the_header(visitor: Visitor, path: str) -> None:
    for site in ("none", "cross-site"):
        for query in ("", "?q=%0d%0a", "?q=%C3%A9"):
            response = await visitor.get(f"/console/orders/{path}{query}", Sec_Fetch_Site=site)
            assert response.status_code in {200, 303}
            for name in ("Location", "Refresh"):
                assert response.headers.get(name, "").isascii()
                assert response.headers.get(name, "").isprintable()


async def test_an_act_after_the_end_of_the_session_says_that_nothing_was_done(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    order = await shop.order((await shop.sells(), 1))
    shop.clock.forward(LASTS)
    page = f"/console/orders/{order.id}"
    for referer, following in (
        (f"{ORIGIN}{page}?done=order-pay", page),
        (f"{ORIGIN}/console/orders?q=status%3APAID", "/console/orders?q=status%3APAID"),
        ("", ""),
        ("http://[", ""),
        ("https://evil.example/orders", ""),
    ):
        response = await visitor.send("POST", f"{page}/cancel", f"version={order.version}", Referer=referer)
        assert response.status_code == 303
        told = await text_of(visitor, response.headers["Location"])
        assert "Your session had ended, so nothing was done." in told
        assert f'name="next" value="{following}"' in told
    assert await shop.now(order) == order


async def test_signing_in_leads_back_to_a_page_whose_part_was_asked_for_in_vain(visitor: Visitor) -> None:
    """What htmx asks for in the background sends the page away, and not for good."""
    for referer, there in (
        (f"{ORIGIN}/console/bulk-operations/{NOWHERE}?done=bulk-started", f"/console/bulk-operations/{NOWHERE}"),
        (f"{ORIGIN}/console/orders?q=stuck%3Ayes", "/console/orders?q=stuck%3Ayes"),
        ("", ""),
        ("https://evil.example/orders", ""),
    ):
        response = await visitor.get("/console/now/numbers", HX_Request="true", Referer=referer)
        assert response.status_code == 401
        assert response.headers["HX-Redirect"] == (f"{SIGN_IN}?{urlencode({'next': there})}" if there else SIGN_IN)


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.stem)
def test_no_value_of_a_row_stands_bare_on_a_phone(template: Path) -> None:
    """There, the heads of the columns are not seen. A link, a badge of a status and a button say what they are."""
    for table in re.findall(r'<table class="list">.*?</table>', template.read_text(), re.DOTALL):
        heads = {re.sub("<[^>]+>", "", head) for head in re.findall(r"<th [^>]*>(.*?)</th>", table)}
        for attributes, content in re.findall(r"<td([^>]*)>(.*?)</td>", table, re.DOTALL):
            label = re.search(r'data-label="([^"]*)"', attributes)
            if label is None:
                says = r"data-main|checkbox|colspan|acts|^\{\{ (parts\.badge|outcomes|webhook)|^\{\{ each\.name \}\}$"
                assert re.search(says, attributes + content), content
            else:
                assert label[1] in heads or "{{" in label[1]


async def test_a_text_of_others_is_never_a_part_of_the_page(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    html = await (await visitor.get("/console/audit?subject=%3Cscript%3Ealert(1)%3C/script%3E")).get_data(as_text=True)
    assert "<script>alert" not in html


def test_nothing_of_the_console_is_imported_before_it_is_asked_for() -> None:
    """But what it begins with, which needs neither templates nor ciphers."""
    console = Path(entrance.__file__).parent
    outside = [file for file in console.parents[1].rglob("*.py") if console not in file.parents]
    assert len(outside) > 100
    imported = {
        node.module
        for file in outside
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ImportFrom) and "http.console" in (node.module or "")
    }
    assert imported == {"entrypoints.http.console.entrance"}
    begins_with = {
        (node.module or "").partition(".")[0]
        for node in ast.parse(Path(entrance.__file__).read_text()).body
        if isinstance(node, ast.ImportFrom)
    }
    assert begins_with == {"collections", "typing", "attrs", "quart", "application"}


async def test_new_orders_are_counted_since_the_one_that_is_shown_first(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    assert "new</a>" not in await text_of(visitor, "/console/orders/new?q=&newest=")
    pen = await shop.sells(stock=9)
    shown = await shop.order((pen, 1))
    assert ">1 new</a>" in await text_of(visitor, "/console/orders/new?q=&newest=")
    shop.clock.forward(timedelta(seconds=1))
    await shop.order((pen, 1), user_id=2)
    assert ">1 new</a>" in await text_of(visitor, f"/console/orders/new?newest={shown.id}")
    assert "new</a>" not in await text_of(visitor, f"/console/orders/new?q=customer:1&newest={shown.id}")


async def text_of(visitor: Visitor, path: str) -> str:
    response = await visitor.get(path)
    assert response.status_code == 200
    return str(await response.get_data(as_text=True))


async def test_dead_letters_are_shown_by_cause_to_who_may_decide_about_them() -> None:
    shop = Shop()
    message = DeadMessage(
        body=b"1", reason=reason_of("ValueError", "charge", "no"), attempts=1, first_at=NOW, last_at=NOW
    )
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("payments", [message])
    told = {}
    for role in ("admin", "read"):
        visitor = Visitor(app_for(shop))
        await visitor.sign_in(role)
        told[role] = await text_of(visitor, "/console/now")
    assert "Dead letters by cause" in told["admin"]
    assert ">ValueError</a> <code>charge</code>" in told["admin"]
    assert "/console/dead-letters/group?queue=payments&amp;error=ValueError&amp;place=charge" in told["admin"]
    assert "Dead letters by cause" not in told["read"]
    # Whoever may not see them is told, and led nowhere.
    said = "1 dead letter waits for a decision"
    assert all(said in verdict_of(page) for page in told.values())
    assert f'href="/console/dead-letters">{said}</a>' in told["admin"]
    assert "/console/dead-letters" not in told["read"]


class Away:
    """The queues of a broker that does not answer, or of which one is missing."""

    def __init__(self) -> None:
        self.gone = True

    async def look(self) -> list[QueueState]:
        if self.gone:
            raise Unavailable("RabbitMQ can't be reached")
        return [QueueState(name="intake", ready=3, consumers=1), QueueState(name="payments", problem="no queue")]


async def test_a_broker_that_is_away_leaves_the_rest_of_the_flow_known(shop: Shop) -> None:
    away = Away()
    use_cases = assemble(evolve(shop.ports, queues=away), Limits())
    visitor = Visitor(app_over(use_cases, console=Door(), now=shop.clock))
    await visitor.sign_in("read")
    pen = await shop.sells()
    await shop.order((pen, 1))
    began = shop.clock().isoformat(timespec="milliseconds")
    for minutes in (0, 3):
        shop.clock.forward(timedelta(minutes=minutes))
        for path in ("/console/flow", "/console/flow/numbers"):
            html = await text_of(visitor, path)
            assert html.count(f'Unknown since <time datetime="{began}"') == 1
            assert "RabbitMQ can&#39;t be reached" in html
            assert "1<small>event</small>" in html
    away.gone = False
    html = await text_of(visitor, "/console/flow")
    # One queue is missing since now, and the other is known.
    now = shop.clock().isoformat(timespec="milliseconds")
    assert html.count(f'Unknown since <time datetime="{now}"') == 1
    assert 'data-label="Ready">3<' in html
    assert "HOLDFAST_AMQP_MANAGEMENT_URL" in html


async def test_a_database_that_is_away_leaves_the_queues_known(shop: Shop) -> None:
    class Gone:
        async def waiting(self, *, stuck_after: timedelta) -> Any:
            raise Unavailable("the database can't be reached")

        async def upkeep(self) -> Any:
            raise Unavailable("the database can't be reached")

    use_cases = assemble(evolve(shop.ports, overview=cast(Overview, Gone())), Limits())
    visitor = Visitor(app_over(use_cases, console=Door(), now=shop.clock))
    await visitor.sign_in("read")
    html = await text_of(visitor, "/console/flow")
    assert html.count("Unknown since") == 2
    assert html.count('data-label="Ready"') == 3


async def test_the_relay_that_leads_is_named(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in("read")
    assert "none publishes" in await text_of(visitor, "/console/flow")
    async with shop.unit_of_work() as tx:
        await tx.outbox.claim(by="machine:17", limit=1)
    html = await text_of(visitor, "/console/flow")
    assert "<code>machine:17</code>" in html
    assert f'Leads since</dt><dd><time datetime="{shop.clock().isoformat(timespec="milliseconds")}"' in html


def digest_in(html: str) -> str:
    [found] = set(re.findall(r'name="digest" value="([0-9a-f]{32})"', html))
    return str(found)


async def test_orders_are_chosen_by_a_search_or_one_by_one_and_counted_before_they_are_cancelled(
    shop: Shop, visitor: Visitor
) -> None:
    await visitor.sign_in("admin")
    pen = await shop.sells(stock=999)
    one, another = await shop.order((pen, 1)), await shop.order((pen, 1), user_id=2)
    html = await text_of(visitor, f"/console/orders/many?act=cancel&id={one.id}&id={another.id}&q=")
    assert "Cancel 2 orders?" in html
    assert f'name="id" value="{one.id}"' in html
    for nothing in ("q=", "q=stuck:yes", "q=nothing:1"):
        assert 'role="alert"' in await text_of(visitor, f"/console/orders/many?act=cancel&{nothing}")
    assert (await visitor.get("/console/orders/many")).headers["Location"] == "/console/orders"

    html = await text_of(visitor, f"/console/orders/many?act=cancel&id={one.id}&q=")
    sent = f"act=cancel&id={one.id}&count=1&digest={digest_in(html)}&reason=a+wrong+price"
    for unseen in ("", "0" * 32):
        other = sent.replace(digest_in(html), unseen)
        assert (await visitor.send("POST", "/console/bulk-operations", other)).status_code == 409
    begun = await visitor.send("POST", "/console/bulk-operations", sent)
    await work(shop)
    html = await text_of(visitor, begun.headers["Location"])
    assert "Cancel 1 order<" in html
    assert f'href="/console/orders/{one.id}"' in html
    assert ((await shop.now(one)).status.value, (await shop.now(another)).status.value) == ("CANCELLED", "PENDING")

    for _ in range(101):
        await shop.order((pen, 1), user_id=3)
    html = await text_of(visitor, "/console/orders/many?act=cancel&q=customer:3")
    assert "Cancel 101 orders?" in html
    assert "Type 101 to confirm" in html
    search = f"act=cancel&q=customer:3&digest={digest_in(html)}&reason=a+wrong+price"
    for wrong in ("", "100"):
        refused = await visitor.send("POST", "/console/bulk-operations", f"{search}&count={wrong}")
        assert refused.status_code == 409
    begun = await visitor.send("POST", "/console/bulk-operations", f"{search}&count=101")
    await work(shop)
    html = await text_of(visitor, begun.headers["Location"])
    assert re.search(r"<dt>Done</dt><dd><a [^>]+>101</a>", html)
    assert "<dt>User id</dt><dd>3</dd>" in html
    assert "cancel orders" in await text_of(visitor, "/console/bulk-operations")


@pytest.mark.parametrize(
    "search",
    [
        pytest.param(f"product:{','.join(map(str, range(1, 102)))}", id="products"),
        "email:foo",
        pytest.param(f"external:{'x' * 400}", id="long"),
        'external:""',
        "external:\0",
        pytest.param(f"product:{','.join(map(str, range(10**6, 10**6 + 90)))}", id="too long for the page"),
    ],
)
async def test_no_search_chooses_orders_that_the_api_could_not_tell_of(
    shop: Shop, visitor: Visitor, search: str
) -> None:
    await visitor.sign_in("admin")
    await shop.order((await shop.sells(), 1))
    q = urlencode({"q": search})
    assert 'role="alert"' in await text_of(visitor, f"/console/orders/many?act=cancel&{q}")
    started = await visitor.send("POST", "/console/bulk-operations", f"act=cancel&{q}&count=0&reason=x")
    assert started.status_code == 422
    exported = await visitor.send("POST", "/console/orders/export", q)
    assert (exported.status_code, shop.store.jobs) == (422, {})


async def test_many_orders_are_offered_to_who_may_change_them(shop: Shop) -> None:
    await shop.order((await shop.sells(), 1))
    for role, offered in (("admin", 2), ("operator", 0), ("read", 0)):
        visitor = Visitor(app_for(shop))
        await visitor.sign_in(role)
        html = await text_of(visitor, "/console/orders")
        assert len(re.findall(r'<button name="act" value="(?:cancel|retry)"', html)) == offered
        assert ("checkbox" in html) == bool(offered)


# Jobs whose start needs more than `orders:write`, and one that needs no more.
JOBS = {
    "message": {},
    "seed_orders": {},
    "bulk": {"act": "discard"},
    "export": {"what": "events"},
    "recover_webhooks": {},
    "a kind of a later release": {},
}


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.CUSTOMER])
@pytest.mark.parametrize(("kind", "arguments"), JOBS.items(), ids=JOBS)
async def test_a_job_is_offered_to_be_retried_or_cancelled_to_those_who_may(
    shop: Shop, role: Role, kind: str, arguments: dict[str, Any]
) -> None:
    visitor = Visitor(app_for(shop))
    await visitor.sign_in(role)
    for act in ("retry", "cancel"):
        job = new_job(id=JobId(shop.new_id()), kind=kind, arguments=arguments, now=shop.clock())
        if act == "retry":
            job.cancel(at=shop.clock())
        async with shop.unit_of_work() as tx:
            await tx.jobs.add_many([job])
        html = await text_of(visitor, f"/console/jobs/{job.id}")
        done = await visitor.send("POST", f"/console/jobs/{job.id}/{act}")
        assert done.status_code in {303, 403}
        assert (f'action="/console/jobs/{job.id}/{act}"' in html) == (done.status_code == 303)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.CUSTOMER])
async def test_an_act_on_an_order_or_a_dead_letter_is_offered_to_those_who_may(shop: Shop, role: Role) -> None:
    visitor = Visitor(app_for(shop))
    await visitor.sign_in(role)
    pen = await shop.sells(stock=9)
    orders = [await shop.order((pen, 1)), await shop.paid((pen, 1))]
    message = DeadMessage(
        body=b"1", reason=reason_of("ValueError", "charge", "no"), attempts=1, first_at=NOW, last_at=NOW
    )
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("payments", [message])
    ways = [(f"/console/orders/{order.id}", ("pay", "complete", "cancel", "refund")) for order in orders]
    for path, acts in [*ways, ("/console/dead-letters/1", ("replay", "discard"))]:
        page = await visitor.get(path)
        html = await page.get_data(as_text=True)
        offered = [act for act in acts if f'action="{path}/{act}"' in html]
        assert page.status_code in {200, 403}
        for act in offered:
            done = await visitor.send("POST", f"{path}/{act}", "version=999&reason=x")
            assert done.status_code != 403, (path, act)
        if role is Role.ADMIN:
            assert offered


async def test_a_provider_that_does_not_answer_is_told_of_at_the_top_of_now(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in(Role.SHOP)
    well = await (await visitor.get("/console/now/numbers")).get_data(as_text=True)
    assert "has not answered" not in well
    assert servers_of(well)["payment provider"] == ("good", "no silence is reported")

    order, request = await shop.payment_requested((await shop.sells(), 1))
    async with shop.unit_of_work() as tx:
        await tx.outbox.remove(await tx.outbox.page(after=None, limit=9))
    shop.provider.before.append(OutcomeUnknown("no answer"))
    since = shop.clock()
    await shop.process_payment([request])
    shop.clock.forward(timedelta(minutes=1))
    ill = await (await visitor.get("/console/now/numbers")).get_data(as_text=True)
    assert (
        f"the payment provider has not answered since {since:%Y-%m-%d %H:%M:%S} UTC (1 call failed):"
        " 1 order waits, and goes on by itself when it answers"
    ) in verdict_of(ill)[1:]
    assert servers_of(ill)["payment provider"][0] == "bad"
    assert servers_of(ill)["payments"] == ("bad", "wait")
    page = await (await visitor.get(f"/console/orders/{order.id}")).get_data(as_text=True)
    assert f"The payment provider has not answered since {since:%Y-%m-%d %H:%M:%S} UTC." in page
    # Whoever is about to replay what needs it is told.
    async with shop.unit_of_work() as tx:
        message = DeadMessage(body=b"1", reason="KeyError in a.b: 'x'", attempts=1, first_at=NOW, last_at=NOW)
        for queue in ("payments", "intake"):
            await tx.dead_letters.record(queue, [message])
    for path, is_told in (
        ("/group?queue=payments", True),
        ("/group", True),
        ("/1", True),
        ("/group?queue=intake", False),
        ("/2", False),
        ("/group?queue=refunds", False),
    ):
        assert ("a replay of many stops after" in await text_of(visitor, f"/console/dead-letters{path}")) == is_told
    # And whoever looks at a bulk operation that waits for it.
    for queue, is_told in (("payments", True), ("intake", False)):
        shown = await text_of(visitor, f"/console/dead-letters/group?queue={queue}")
        form = f"act=replay&queue={queue}&count=1&digest={digest_in(shown)}&reason="
        started = await visitor.send("POST", "/console/bulk-operations", form)
        assert ("What needs it waits" in await text_of(visitor, started.headers["Location"])) == is_told

    await shop.process_payment([request])
    assert "has not answered" not in await (await visitor.get("/console/now/numbers")).get_data(as_text=True)


def verdict_of(page: str) -> list[str]:
    """What the first line of Now says: whether all is well, and each thing that is not."""
    line = page.partition('<strong id="verdict">')[2].partition("</div>")[0]
    parts = re.split("</strong>|</li>", line)
    return [said for part in parts if (said := " ".join(re.sub("<[^>]+>", "", part).split()))]


def servers_of(page: str) -> dict[str, tuple[str, str]]:
    """What is said of each server, by its name, with its color."""
    lines = re.findall(r'<li><span class="badge (\w+)">([^<]+)</span><span>(.*?)</span></li>', page)
    return {name: (tone, said) for tone, name, said in lines}


async def test_orders_are_found_by_what_a_list_shows_of_their_id(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    pen = await shop.sells()
    one, another = await shop.order((pen, 1)), await shop.order((pen, 1))
    for word in (f"id:{short(one.id)}", short(one.id), f"{str(one.id)[:13]}...{str(one.id)[-6:]}"):
        response = await visitor.get(f"/console/orders?{urlencode({'q': word})}")
        assert response.headers.get("Location") == f"/console/orders/{one.id}", word
    both = await text_of(visitor, f"/console/orders?q=id:{str(one.id)[:8]}")
    assert all(f'href="/console/orders/{order.id}"' in both for order in (one, another))
    for little in (str(one.id)[:7], str(one.id)[-12:]):
        told = await text_of(visitor, f"/console/orders?q=id:{little}")
        assert "write at least the first 8 characters of the id" in told
    # What is found so is no filter of a bulk operation, nor of an export.
    refused = await text_of(visitor, f"/console/orders/many?act=cancel&q=id:{str(one.id)[:8]}+customer:1")
    assert 'role="alert"' in refused
    response = await visitor.send("POST", "/console/orders/export", f"q=id:{str(one.id)[:8]}&format=csv")
    assert response.status_code == 422


async def test_the_shops_own_id_of_an_order_comes_before_a_part_of_another_id(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    pen = await shop.sells()
    one = await shop.order((pen, 1))
    details = OrderDetails(external_id=str(one.id)[:8])
    [named] = await shop.place_order([evolve(a_request((pen, 1)), details=details)])
    assert isinstance(named, Order)
    html = await text_of(visitor, f"/console/orders?q={str(one.id)[:8]}")
    assert f'href="/console/orders/{named.id}"' in html
    assert f'href="/console/orders/{one.id}"' not in html


async def test_a_dead_letter_is_found_by_its_number_or_by_its_order(shop: Shop, visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    event = evolve(payment_requested(), order_id=OrderId(UUID("01890a5d-ac96-774b-bcce-b302099a8058")))
    message = DeadMessage(body=encode(event), reason="KeyError: x", attempts=1, first_at=NOW, last_at=NOW)
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("payments", [message])
    response = await visitor.get("/console/dead-letters?q=1")
    assert response.headers["Location"] == "/console/dead-letters/1"
    for word in (str(event.order_id), short(event.order_id), str(event.order_id)[:8]):
        html = await text_of(visitor, f"/console/dead-letters?{urlencode({'q': word})}")
        assert 'href="/console/dead-letters/1"' in html, word
    assert "No message of such an order" in await text_of(visitor, f"/console/dead-letters?q={NOWHERE}")
    for little in ("abc", str(event.order_id)[-12:]):
        told = await text_of(visitor, f"/console/dead-letters?q={little}")
        assert "Write the number of a dead letter, or of its order: write at least the first 8 characters" in told


async def test_the_number_of_orders_that_wait_for_the_worker_leads_to_them(shop: Shop, visitor: Visitor) -> None:
    pen = await shop.sells(stock=9)
    placed, (charged, _) = await shop.order((pen, 1)), await shop.payment_requested((pen, 1))
    refunded = await shop.paid((pen, 1))
    await shop.refund_requested(refunded)
    shop.clock.forward(timedelta(seconds=1))
    await visitor.sign_in("read")
    now = await text_of(visitor, "/console/now")
    [href] = re.findall(r'id="to-waiting-for-the-worker" href="([^"]+)"', now)
    found = await text_of(visitor, href)
    assert {each.id: str(each.id) in found for each in (placed, charged, refunded)} == {
        placed.id: False,
        charged.id: True,
        refunded.id: True,
    }


async def test_a_deleted_order_has_its_page_still(shop: Shop) -> None:
    visitor = Visitor(app_for(shop))
    await visitor.sign_in("admin")
    order = await shop.order((await shop.sells(), 1))
    await shop.use_cases.delete_order(SYSTEM, order.id)
    html = await text_of(visitor, f"/console/orders/{order.id}")
    for words in ("deleted</span>", "It was deleted", "It was never paid for."):
        assert words in html
    assert f'action="/console/orders/{order.id}' not in html


async def test_a_page_of_an_order_names_its_legs_and_its_webhooks_by_what_came_of_them() -> None:
    webhooks = Webhooks()
    webhooks.answers[URL] = lambda _: BROKEN
    id_ = await webhooks.add()
    [order] = await webhooks.orders()
    await webhooks.send()
    await webhooks.shop.use_cases.delete_endpoint(SYSTEM, id_)
    visitor = Visitor(app_for(webhooks.shop))
    await visitor.sign_in("read")
    html = await text_of(visitor, f"/console/orders/{order.id}")
    legs = re.findall(r'class="muted legs">([^<]+)<', html)
    assert legs[:2] == ["into the feed 0 ms", "into the feed 0 ms"]
    assert "worker and earlier attempts 0 ms, payment provider 0 ms, into the feed 0 ms" in legs
    assert 'class="what">Webhook order.placed skipped: endpoint deleted<' in html
