"""Each act of the console is done by keyboard alone. `test_every_screen.py` fails for one that is not in the table."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import pytest
from attrs import field, frozen
from playwright.sync_api import BrowserContext, Page, expect

from tests.console.acts import Act, Keyboard, pattern, routes
from tests.console.conftest import Console, expect_accessible, sign_in
from tests.console.places import Places


@frozen
class Done:
    """How an act is done: on which page, by which keys, and what the next page shows."""

    on: Callable[[Places], str]
    by: Callable[[Keyboard], None]
    then: Callable[[Page], None]
    # Of the session itself, or of the theme, which other tests need as it is.
    in_its_own_session: bool = field(default=False, kw_only=True)


def at(address: str) -> Callable[[Places], str]:
    return lambda _: address


def asked(label: str, fields: Mapping[str, str] = {}) -> Callable[[Keyboard], None]:
    """A button, and the dialog that it opens."""

    def do(keys: Keyboard) -> None:
        keys.push(label)
        keys.confirm(label, fields)

    return do


def written(label: str, fields: Mapping[str, str]) -> Callable[[Keyboard], None]:
    """The fields of a form, and its button; without one, it is sent with Enter."""

    def do(keys: Keyboard) -> None:
        for name, text in fields.items():
            keys.write(name, text)
        if label:
            keys.push(label)
        else:
            keys.press("Enter")

    return do


def of_row(name: str, label: str) -> Callable[[Keyboard], None]:
    def do(keys: Keyboard) -> None:
        keys.reach(keys.page.get_by_role("row", name=name).get_by_role("button", name=label, exact=True))
        keys.press("Enter")
        keys.confirm(label)

    return do


def says(text: str) -> Callable[[Page], None]:
    return lambda page: expect(page.get_by_role("status").first).to_contain_text(text)


def headed(text: str) -> Callable[[Page], None]:
    return lambda page: expect(page.get_by_role("heading", name=text)).to_be_visible()


def shows(selector: str, text: str | re.Pattern[str]) -> Callable[[Page], None]:
    return lambda page: expect(page.locator(selector).first).to_contain_text(text)


def at_address(text: str) -> Callable[[Page], None]:
    return lambda page: expect(page).to_have_url(re.compile(re.escape(text)))


def _ticked(label: str) -> Callable[[Keyboard], None]:
    """One order by its key, another one as any box is ticked; and then what is done with both."""

    def do(keys: Keyboard) -> None:
        keys.press("j", "x")
        keys.reach(keys.page.locator("[data-row] input").nth(1))
        keys.press("Space")
        expect(keys.page.locator("[data-row] input:checked")).to_have_count(2)
        keys.push(label)

    return do


def _edit(keys: Keyboard) -> None:
    keys.choose("Order", down=1)
    keys.push("Save")


def _enable(keys: Keyboard) -> None:
    keys.push("Enable")
    keys.choose("It goes on", down=1)
    keys.confirm("Enable")


def _download(keys: Keyboard) -> None:
    with keys.page.expect_download() as download:
        keys.reach(keys.page.get_by_role("link", name="Download"))
        keys.press("Enter")
    assert "\norder_id,user_id," in download.value.path().read_text()


def _jobs(keys: Keyboard) -> None:
    keys.write("Kind", "export")
    keys.choose("Status", down=1)
    keys.push("Show")


def _replay_the_copy(keys: Keyboard) -> None:
    keys.push("Try the copy")
    expect(keys.page.get_by_role("heading", name="What a replay of your copy would do")).to_be_visible()
    keys.push("Replay the copy")


_ORDER, _HOOK, _JOB = "/console/orders/<order_id>", "/console/webhooks/<endpoint_id>", "/console/jobs/<job_id>"
_LETTER, _BULK = "/console/dead-letters/<letter_id>", "POST /console/bulk-operations"
_KEY, _CHECKS = "/console/keys/<key_id>", "/console/reconciliations"
_REASON: Final = {"Reason, for the audit": "a wrong price"}
ACTS: Final[Mapping[Act, Done]] = {
    # The session, and the frame of all screens.
    Act("POST /console/sign-in", "Sign in"): Done(
        at("/console/sign-in"),
        lambda keys: written("Sign in", {"API key": keys.token})(keys),
        shows(".caller", "ana"),
        in_its_own_session=True,
    ),
    Act("POST /console/sign-out", "Sign out"): Done(
        at("/console/now"), lambda keys: keys.push("Sign out"), says("You are signed out."), in_its_own_session=True
    ),
    **{
        Act("POST /console/theme", theme): Done(
            at("/console/audit"),
            lambda keys, theme=theme: keys.push(theme),
            lambda page, theme=theme: expect(page.locator("html")).to_have_attribute("data-theme", theme),
            in_its_own_session=True,
        )
        for theme in ("system", "light", "dark")
    },
    Act("GET /console/orders", "Find an order"): Done(
        at("/console/audit"),
        written("", {"Find an order": "status:PENDING"}),
        at_address("/console/orders?q=status%3APENDING"),
    ),
    # Orders.
    Act("GET /console/orders", "Search"): Done(
        at("/console/orders"),
        written("Search", {"Search": "status:PAID"}),
        at_address("/console/orders?q=status%3APAID"),
    ),
    Act("POST /console/orders/export", "Export"): Done(
        Places.orders_of_one, asked("Export"), says("The export is being written.")
    ),
    Act("GET /console/orders/many", "Cancel the chosen"): Done(
        Places.orders_of_one, _ticked("Cancel these or the chosen"), headed("Cancel 2 orders?")
    ),
    Act("GET /console/orders/many", "Retry payment of the chosen"): Done(
        Places.orders_of_one,
        _ticked("Retry payment of these or the chosen"),
        headed("Retry the payment of 2 orders?"),
    ),
    Act(_BULK, "Cancel them"): Done(
        lambda places: places.act_on_orders("cancel"),
        written("Cancel them", _REASON),
        lambda page: expect(page.locator("[data-row] .badge")).to_have_text(["done", "done"]),
    ),
    Act(_BULK, "Retry them"): Done(
        lambda places: places.act_on_orders("retry"), written("Retry them", _REASON), says("It has begun.")
    ),
    Act(f"POST {_ORDER}/pay", "Pay"): Done(Places.order, asked("Pay"), says("Its payment is requested.")),
    Act(f"POST {_ORDER}/complete", "Complete"): Done(
        Places.paid_order, asked("Complete"), shows("h1 .badge", "COMPLETED")
    ),
    Act(f"POST {_ORDER}/refund", "Refund"): Done(Places.paid_order, asked("Refund"), says("The refund is requested.")),
    Act(f"POST {_ORDER}/cancel", "Cancel order"): Done(
        Places.order, asked("Cancel order"), shows("h1 .badge", "CANCELLED")
    ),
    Act(f"POST {_ORDER}/again", "Ask again"): Done(
        Places.lost_order, asked("Ask again"), says("Its request is in the outbox again.")
    ),
    # Stock.
    Act("POST /console/stock/<product_id>/adjust", "Adjust"): Done(
        Places.product,
        asked("Adjust", {"Units to add, or with a minus to remove": "-3", "Reason": "broken in transport"}),
        shows("[aria-label='On hand']", "37"),
    ),
    # Dead letters, and bulk operations.
    Act("GET /console/dead-letters", "Find"): Done(
        at("/console/dead-letters"), written("Find", {"Find": "0195a2b3-c4d5"}), headed("Dead letters found")
    ),
    Act(f"POST {_LETTER}/try", "Try the copy"): Done(
        Places.letter, lambda keys: keys.push("Try the copy"), headed("What a replay of your copy would do")
    ),
    Act(f"POST {_LETTER}/replay", "Replay the copy"): Done(
        Places.letter, _replay_the_copy, says("It is in the outbox again.")
    ),
    Act(f"POST {_LETTER}/replay", "Replay"): Done(
        Places.letter, asked("Replay", _REASON), says("It is in the outbox again.")
    ),
    Act(f"POST {_LETTER}/discard", "Discard"): Done(
        Places.letter, asked("Discard", {"Reason": "an attack"}), says("It is discarded.")
    ),
    Act(_BULK, "Replay all"): Done(Places.group, asked("Replay all", _REASON), says("It has begun.")),
    Act(_BULK, "Discard all"): Done(
        Places.group,
        asked("Discard all", {"Reason": "an attack"}),
        lambda page: expect(page.locator("[data-row] .badge")).to_have_text(["done", "done"]),
    ),
    Act("POST /console/bulk-operations/<job_id>/stop", "Stop"): Done(
        Places.operation, asked("Stop"), says("It takes nothing more.")
    ),
    # The consistency check.
    Act(f"POST {_CHECKS}", "Check now"): Done(at(_CHECKS), asked("Check now"), says("A worker runs the check.")),
    Act(f"POST {_CHECKS}/<job_id>/repair", "Repair"): Done(
        Places.consistency_check, asked("Repair"), says("A worker checks again")
    ),
    # Webhooks.
    Act("POST /console/webhooks", "Register"): Done(
        at("/console/webhooks/new"),
        written("Register", {"Address": "https://warehouse.invalid/", "Description": "the warehouse"}),
        shows("#secret", "whsec_"),
    ),
    Act(f"POST {_HOOK}/edit", "Save"): Done(
        lambda places: f"{places.endpoint()}/edit", _edit, shows("[aria-label=Sends]", "best effort order")
    ),
    Act(f"POST {_HOOK}/test", "Test"): Done(Places.endpoint, asked("Test"), says("The test failed: dns")),
    Act(f"POST {_HOOK}/recover", "Recover"): Done(
        Places.endpoint, asked("Recover", {"Hours to go back": "2"}), says("This job sends again")
    ),
    Act(f"POST {_HOOK}/rotate", "Rotate secret"): Done(
        Places.endpoint,
        asked("Rotate secret", {"Hours for which the old one is valid": "1"}),
        shows("#secret", "whsec_"),
    ),
    Act(f"POST {_HOOK}/disable", "Disable"): Done(
        Places.endpoint, asked("Disable"), shows("[aria-label=Health]", "disabled")
    ),
    Act(f"POST {_HOOK}/enable", "Enable"): Done(
        Places.disabled_endpoint, _enable, says("The receiver is sent events again.")
    ),
    Act(f"POST {_HOOK}/delete", "Delete"): Done(Places.endpoint, asked("Delete"), says("The receiver is deleted.")),
    Act("POST /console/webhooks/deliveries/<delivery_id>/resend", "Resend"): Done(
        Places.delivery, asked("Resend"), says("It is sent once more.")
    ),
    # Jobs.
    Act("GET /console/jobs", "Show"): Done(at("/console/jobs"), _jobs, at_address("?kind=export&status=SCHEDULED")),
    Act(f"POST {_JOB}/retry", "Run again"): Done(
        Places.cancelled_job, asked("Run again"), says("The job is run again.")
    ),
    Act(f"POST {_JOB}/cancel", "Cancel job"): Done(Places.job, asked("Cancel job"), says("The job is cancelled.")),
    Act(f"GET {_JOB}/file", "Download"): Done(Places.export, _download, headed("Export")),
    # Audit and keys.
    Act("GET /console/audit", "Show"): Done(
        at("/console/audit"),
        written("Show", {"About": "product 1", "What": "stock.adjusted"}),
        at_address("/console/audit?subject=product+1&action=stock.adjusted"),
    ),
    Act("POST /console/keys", "Make a key"): Done(
        at("/console/keys"), asked("Make a key", {"Name": "the till"}), shows("#token", "hf_live_read_")
    ),
    Act(f"POST {_KEY}/rotate", "Rotate"): Done(
        lambda places: places.key("to be rotated"), of_row("to be rotated", "Rotate"), shows("#token", "hf_live_read_")
    ),
    Act(f"POST {_KEY}/revoke", "Revoke"): Done(
        lambda places: places.key("to be revoked"), of_row("to be revoked", "Revoke"), says("The key is revoked.")
    ),
}


@pytest.fixture
def own_page(new_context: Callable[..., BrowserContext], console: Console) -> Iterator[Page]:
    """A page of somebody who has a browser of their own, and has signed in."""
    page = new_context().new_page()
    sign_in(page, console.key)
    yield page
    page.close()


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.label)
def test_an_act_is_done_by_keyboard_alone(
    act: Act, places: Places, console: Console, request: pytest.FixtureRequest
) -> None:
    done = ACTS[act]
    page: Page = request.getfixturevalue("own_page" if done.in_its_own_session else "page")
    page.goto(done.on(places))
    sent: list[tuple[str, str]] = []
    page.on("request", lambda each: sent.append((each.method, urlsplit(each.url).path)))
    page.on("download", lambda each: sent.append(("GET", urlsplit(each.url).path)))
    answers: list[int] = []
    page.on("response", lambda each: answers.append(each.status) if each.request.method == "POST" else None)
    done.by(Keyboard(page, console.key))
    done.then(page)
    assert act.sends in {f"{method} {pattern(method, path)}" for method, path in sent}
    if 200 in answers:
        # It is answered with a page of its own, which has no address at which it could be looked at.
        expect_accessible(page)


def test_each_request_that_changes_something_is_in_the_table() -> None:
    every = {f"{route.method} {route.path}" for route in routes()}
    tried = {act.sends for act in ACTS}
    assert {each for each in every if not each.startswith("GET ")} <= tried
    assert tried <= every
