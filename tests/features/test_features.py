"""The steps of the features. A step is a plain function: a coroutine would pass without running."""

import json
import re
from http import HTTPStatus

from pytest_bdd import given, parsers, scenarios, then, when

from tests.features.drivers.shop import ChargeSeen, CheckSeen, LookSeen, Refused, Shop
from tests.features.story import Story, minor_units

scenarios(".")


def words(code: str) -> str:
    """A code as the features write it: `out_of_stock` is out of stock."""
    return code.lower().replace("_", " ")


# --- The shop and what it sells


@given(parsers.re(r"the shop has (?P<stock>\d+) (?P<name>.+) at (?P<amount>[\d.]+) (?P<currency>[A-Z]{3}) each"))
def the_shop_has(story: Story, stock: str, name: str, amount: str, currency: str) -> None:
    story.sell(name, price=minor_units(amount, currency), currency=currency, stock=int(stock))


@given(parsers.re(r"the shop has received (?P<units>\d+) (?P<name>.+)"))
def the_shop_has_received(story: Story, units: str, name: str) -> None:
    story.shop.restock(story.product(name), int(units))


@given(parsers.re(r"the shop sells (?P<name>.+) at (?P<amount>[\d.]+) (?P<currency>[A-Z]{3}) from now on"))
@when(parsers.re(r"the shop sells (?P<name>.+) at (?P<amount>[\d.]+) (?P<currency>[A-Z]{3}) from now on"))
def the_shop_sells_at(story: Story, name: str, amount: str, currency: str) -> None:
    story.shop.reprice(story.product(name), price=minor_units(amount, currency), currency=currency)


@given(parsers.re(r"the shop has taken (?P<name>.+) out of sale"))
def the_shop_takes_out_of_sale(story: Story, name: str) -> None:
    story.shop.sell(story.product(name), active=False)


@given(parsers.re(r"the shop sells (?P<name>.+) again"))
def the_shop_sells_again(story: Story, name: str) -> None:
    story.shop.sell(story.product(name), active=True)


@given("cards are being declined")
def cards_are_declined(shop: Shop) -> None:
    shop.decline_cards(declined=True)


@given("cards are being accepted")
def cards_are_accepted(shop: Shop) -> None:
    shop.decline_cards(declined=False)


@then(parsers.re(r"(?P<units>\d+) (?P<name>.+) (is|are) left"))
def units_are_left(story: Story, units: str, name: str) -> None:
    assert story.shop.stock_of(story.product(name)) == int(units)


# --- Who calls


@given("she has a key")
def she_has_a_key(story: Story) -> None:
    story.shop.use_key_of(story.customer)


@given("another customer has a key")
def another_customer_has_a_key(story: Story) -> None:
    story.shop.use_key_of(story.customer + 1_000_000)


@given("her key was revoked")
def her_key_was_revoked(shop: Shop) -> None:
    shop.revoke_key()


@given(parsers.parse('she has asked to pay under the key "{key}"'))
def she_has_asked_to_pay(story: Story, key: str) -> None:
    story.she_asks_to_pay(key=key)
    assert not story.refusal
    story.shop.settle()


@when("he looks at her order")
def he_looks_at_her_order(story: Story) -> None:
    with story.allowing_refusal():
        story.seen()


@when("he cancels her order")
def he_cancels_her_order(story: Story) -> None:
    with story.allowing_refusal():
        story.shop.cancel(story.order)


@when(parsers.parse('he asks to pay under the key "{key}"'))
def he_asks_to_pay_under_a_key(story: Story, key: str) -> None:
    story.she_asks_to_pay(key=key)


@when("she asks for a refund")
def she_asks_for_a_refund(story: Story) -> None:
    with story.allowing_refusal():
        story.shop.refund(story.order)


@then("to the shop her order is pending")
def to_the_shop_her_order_is_pending(story: Story) -> None:
    story.shop.use_key_of(None)
    assert story.seen().status == "PENDING"


# --- What customers do


KEY = r'( under the key "(?P<key>.+)")?'


@given(parsers.re(rf"(a|another) customer has ordered (?P<items>\d[^\"]+?){KEY}"))
@when(parsers.re(rf"(a|another) customer orders (?P<items>\d[^\"]+?){KEY}"))
def a_customer_orders(story: Story, items: str, key: str | None) -> None:
    story.someone_orders(items, key=key)


@given(parsers.re(r"a customer has put (?P<quantity>\d+) (?P<name>.+) into her cart"))
def a_customer_has_put(story: Story, quantity: str, name: str) -> None:
    story.someone_comes()
    story.shop.put_into_cart(story.customer, story.product(name), int(quantity))


@when(parsers.re(r"she puts (?P<quantity>\d+) (?P<name>.+) into her cart"))
def she_puts(story: Story, quantity: str, name: str) -> None:
    story.shop.put_into_cart(story.customer, story.product(name), int(quantity))


@given("she has ordered her cart")
@when("she orders her cart")
def she_orders_her_cart(story: Story) -> None:
    story.she_orders_her_cart()


@when(parsers.re(r'she orders her cart under the key "(?P<key>.+)"'))
def she_orders_her_cart_under_a_key(story: Story, key: str) -> None:
    story.she_orders_her_cart(key=key)


@then("her cart is empty")
def her_cart_is_empty(story: Story) -> None:
    assert story.shop.cart_of(story.customer) == {}


@then(parsers.re(r"her cart has (?P<quantity>\d+) (?P<name>.+)"))
def her_cart_has(story: Story, quantity: str, name: str) -> None:
    assert story.shop.cart_of(story.customer) == {story.product(name): int(quantity)}


@given(parsers.re(rf"she has ordered (?P<items>\d[^\"]+?){KEY}"))
@when(parsers.re(rf"she orders (?P<items>\d[^\"]+?){KEY}"))
def she_orders(story: Story, items: str, key: str | None) -> None:
    story.she_orders(items, key=key)


@given(parsers.re(rf"(a|another) customer has ordered and paid for (?P<items>[^\"]+?){KEY}"))
def a_customer_has_ordered_and_paid(story: Story, items: str, key: str | None) -> None:
    story.someone_orders(items, key=key, pay=True)


@when(parsers.re(rf"(a|another) customer orders and pays for (?P<items>[^\"]+?){KEY}"))
def a_customer_orders_and_pays(story: Story, items: str, key: str | None) -> None:
    story.someone_orders(items, key=key, pay=True)
    story.shop.settle()


@when(parsers.re(rf"she orders and pays for (?P<items>[^\"]+?){KEY}"))
def she_orders_and_pays(story: Story, items: str, key: str | None) -> None:
    story.she_orders(items, key=key, pay=True)
    if not story.refusal:
        story.shop.settle()


@given("she has paid")
@when("she pays")
def she_pays(story: Story) -> None:
    story.shop.ask_to_pay(story.order)
    story.shop.settle()


@when("she asks to pay")
def she_asks_to_pay(story: Story) -> None:
    story.she_asks_to_pay()


@given(parsers.re(r'she has asked to pay under the key "(?P<key>.+)"'))
@when(parsers.re(r'she asks to pay under the key "(?P<key>.+)"'))
def she_asks_to_pay_under_a_key(story: Story, key: str) -> None:
    story.she_asks_to_pay(key=key)
    story.shop.settle()


@when("she asks to pay twice")
def she_asks_to_pay_twice(story: Story) -> None:
    story.shop.ask_to_pay(story.order)
    story.shop.ask_to_pay(story.order)
    story.shop.settle()


@when(parsers.re(r"(?P<customers>\d+) customers order and pay for (?P<items>.+) each, all at once"))
def customers_order_and_pay_at_once(story: Story, customers: str, items: str) -> None:
    for _ in range(int(customers)):
        story.someone_orders(items)
    for order in story.orders:
        story.shop.ask_to_pay(order)
    story.shop.settle()


# --- What the shop does by hand


@given("the shop has cancelled her order")
@when("the shop cancels her order")
def the_shop_cancels(story: Story) -> None:
    with story.allowing_refusal():
        story.shop.cancel(story.order)


@given("the shop has completed her order")
@when("the shop completes her order")
def the_shop_completes(story: Story) -> None:
    with story.allowing_refusal():
        story.shop.complete(story.order)


@given("the shop has refunded her order")
@when("the shop refunds her order")
def the_shop_refunds(story: Story) -> None:
    with story.allowing_refusal():
        story.shop.refund(story.order)
        story.shop.settle()


@when("the shop deletes her order")
def the_shop_deletes(story: Story) -> None:
    with story.allowing_refusal():
        story.shop.delete(story.order)


# --- Time and failures


@given("the time to pay has passed")
@when("the time to pay has passed")
def the_time_to_pay_has_passed(shop: Shop) -> None:
    shop.let_the_time_to_pay_pass()


@given("the shop has been closed for a weekend")
def the_shop_has_been_closed(shop: Shop) -> None:
    shop.close_for_a_weekend()


@when("the request for her payment arrives again")
def the_payment_is_brought_again(story: Story) -> None:
    story.shop.bring_again(story.order, "order.payment_requested")


@when("the request for her refund arrives again")
def the_refund_is_brought_again(story: Story) -> None:
    story.shop.bring_again(story.order, "order.refund_requested")


@given("the service stopped right after her card was charged")
def the_service_stopped_after_charging(story: Story) -> None:
    story.shop.stop_right_after_charging(story.order)


@given("the service has been started again")
@when("the service is started again")
def the_service_is_started_again(shop: Shop) -> None:
    shop.start_again()


@given("the database is out of reach")
def the_database_is_out_of_reach(shop: Shop) -> None:
    shop.lose_database()


@given("the database and the broker are out of reach")
def the_database_and_the_broker_are_out_of_reach(shop: Shop) -> None:
    shop.lose_database(and_broker=True)


@when("the database is back")
@when("the database and the broker are back")
def they_are_back(shop: Shop) -> None:
    shop.find_them_again()


# --- What has become of an order


@then("her order awaits payment")
def it_awaits_payment(story: Story) -> None:
    assert story.seen().status == "PENDING"


@then(parsers.re(r"her order (is|has) (?P<status>paid|completed|cancelled|expired|refunded)"))
def it_is(story: Story, status: str) -> None:
    assert story.seen().status == status.upper()


@then(parsers.parse("her order has failed: {reason}"))
def it_has_failed(story: Story, reason: str) -> None:
    seen = story.seen()
    assert (seen.status, words(seen.failure_reason or "")) == ("FAILED", reason)


@then("her order is gone")
def it_is_gone(story: Story) -> None:
    with story.allowing_refusal():
        story.seen()
    assert story.refusal is not None
    assert story.refusal.code == "unknown_order"
    assert story.order not in story.shop.orders_of(story.customer)


@then("she is told the same as before")
def she_is_told_the_same(story: Story) -> None:
    assert story.refusal is None
    *_, before, now = story.told
    assert now == before


@then(parsers.re(r"she has (?P<number>\d+) orders?"))
def she_has_orders(story: Story, number: str) -> None:
    assert len(story.shop.orders_of(story.customer)) == int(number)


@then("her order is among her orders")
def it_is_among_her_orders(story: Story) -> None:
    assert story.shop.orders_of(story.customer) == [story.order]


@then(parsers.parse("her order is refused: {reason}"))
@then(parsers.parse("that is refused: {reason}"))
def that_is_refused(story: Story, reason: str) -> None:
    assert isinstance(story.refusal, Refused), "it was allowed"
    assert words(story.refusal.code) == reason


@then("she is asked to try again")
def she_is_asked_to_try_again(story: Story) -> None:
    assert story.sent_away


@then("that is not refused")
def that_is_not_refused(story: Story) -> None:
    assert story.refusal is None


@then(parsers.re(r"its total is (?P<amount>[\d.]+) (?P<currency>[A-Z]{3})"))
def its_total_is(story: Story, amount: str, currency: str) -> None:
    assert story.seen().total == minor_units(amount, currency)


@then(parsers.re(r"(?P<number>\d+) of them have paid for their orders"))
def so_many_have_paid(story: Story, number: str) -> None:
    assert [story.shop.order(order).status for order in story.orders].count("PAID") == int(number)
    assert sum(len(story.shop.charges_of(order)) for order in story.orders) == int(number)


@then(parsers.re(r"(?P<number>\d+) of them have been told: (?P<reason>.+)"))
def so_many_were_told(story: Story, number: str, reason: str) -> None:
    reasons = [story.shop.order(order).failure_reason for order in story.orders]
    assert [words(reason or "") for reason in reasons].count(reason) == int(number)


# --- Money and events


@then("her card has not been charged")
def nothing_was_charged(story: Story) -> None:
    assert story.shop.charges_of(story.order) == []


@then(parsers.re(r"her card has been charged (?P<amount>[\d.]+) (?P<currency>[A-Z]{3})"))
def it_was_charged(story: Story, amount: str, currency: str) -> None:
    assert story.shop.charges_of(story.order) == [ChargeSeen(minor_units(amount, currency), given_back=False)]


@then(parsers.re(r"her card has been charged (?P<amount>[\d.]+) (?P<currency>[A-Z]{3}) and given it back"))
def it_was_charged_and_refunded(story: Story, amount: str, currency: str) -> None:
    assert story.shop.charges_of(story.order) == [ChargeSeen(minor_units(amount, currency), given_back=True)]


@then("the payment has been recorded once")
def the_payment_was_recorded_once(story: Story) -> None:
    assert story.shop.events_of(story.order).count("order.paid") == 1


@then("the refund has been recorded once")
def the_refund_was_recorded_once(story: Story) -> None:
    assert story.shop.events_of(story.order).count("order.refunded") == 1


@then(parsers.parse("the events of her order are: {events}"))
def the_events_are(story: Story, events: str) -> None:
    told = [words(event.removeprefix("order.")) for event in story.shop.events_of(story.order)]
    assert told == events.split(", ")


@then(parsers.parse("her order waits for {whom}: {because}"))
def her_order_waits_for(story: Story, whom: str, because: str) -> None:
    why = story.shop.why(story.order)
    assert (why.waits_for, why.because) == (whom.removeprefix("the "), because)


@then(parsers.parse("it came there by: {steps}"))
def it_came_there_by(story: Story, steps: str) -> None:
    assert [words(step.removeprefix("order.")) for step in story.shop.why(story.order).steps] == steps.split(", ")


# --- What would be, what belongs to an order, and what is found


@when(parsers.re(r"a customer asks what (?P<items>\d.+) would cost"))
def a_customer_asks(story: Story, items: str) -> None:
    story.someone_asks(items)


@then(parsers.re(r"she is told (?P<amount>[\d.]+) (?P<currency>[A-Z]{3}), and that (?P<stock>.+)"))
def she_is_told_what_it_would_be(story: Story, amount: str, currency: str, stock: str) -> None:
    in_stock = {"it is in stock": True, "there is too little in stock": False}[stock]
    assert story.checked == CheckSeen(minor_units(amount, currency), in_stock)


@given(parsers.re(r'"(?P<note>.+)" has been noted on her order'))
@when(parsers.re(r'"(?P<note>.+)" is noted on her order$'))
def it_is_noted(story: Story, note: str) -> None:
    story.shop.change_details(story.order, note=note)


@when(parsers.re(r'"(?P<note>.+)" is noted on her order as it was placed'))
def it_is_noted_on_the_first_version(story: Story, note: str) -> None:
    with story.allowing_refusal():
        story.shop.change_details(story.order, version=1, note=note)


@given(parsers.re(r'her order has been marked "(?P<key>.+): (?P<value>.+)"'))
@when(parsers.re(r'her order is marked "(?P<key>.+): (?P<value>.+)"'))
def it_is_marked(story: Story, key: str, value: str) -> None:
    story.shop.change_details(story.order, metadata={key: value})


@when(parsers.re(r'her order is no longer marked "(?P<key>.+)"'))
def it_is_no_longer_marked(story: Story, key: str) -> None:
    story.shop.change_details(story.order, metadata={key: None})


@then(parsers.re(r'her order bears the note "(?P<note>.+)"'))
def it_bears_the_note(story: Story, note: str) -> None:
    assert story.shop.details_of(story.order)["note"] == note


@then("her order bears no mark")
def it_bears_no_mark(story: Story) -> None:
    assert story.shop.details_of(story.order)["metadata"] == {}


@then(parsers.re(r"her order bears the marks: (?P<marks>.+)"))
def it_bears_the_marks(story: Story, marks: str) -> None:
    assert story.shop.details_of(story.order)["metadata"] == dict(mark.split(": ") for mark in marks.split(", "))


@then(parsers.re(r"(?P<number>\d+|none) of her orders (has|have) (?P<name>.+)"))
def so_many_have(story: Story, number: str, name: str) -> None:
    assert len(story.shop.search(story.customer, product=story.product(name))) == so_many(number)


@then(parsers.re(r"(?P<number>\d+|none) of her orders (is|are) (?P<status>\w+)"))
def so_many_are(story: Story, number: str, status: str) -> None:
    assert len(story.shop.search(story.customer, status=status.upper())) == so_many(number)


@then(parsers.re(r"(?P<number>\d+|none) of her orders costs? (?P<amount>[\d.]+) (?P<currency>[A-Z]{3}) or more"))
def so_many_cost(story: Story, number: str, amount: str, currency: str) -> None:
    assert len(story.shop.search(story.customer, total_min=minor_units(amount, currency))) == so_many(number)


def so_many(number: str) -> int:
    return 0 if number == "none" else int(number)


@then("a look shows no payment and no refund")
def a_look_shows_nothing(story: Story) -> None:
    assert story.shop.look(story.order) == LookSeen([], 0)


@then(parsers.re(r"a look shows 1 payment that has been (?P<status>\w+), and (?P<refund>no|1) refund.*"))
def a_look_shows(story: Story, status: str, refund: str) -> None:
    assert story.shop.look(story.order) == LookSeen([status.upper()], 1 if refund == "1" else 0)


# --- Messages and jobs


@given(parsers.re('she has written "(?P<content>.*)" about her order$'))
@when(parsers.re('she writes "(?P<content>.*)" about her order$'))
def she_writes_about_her_order(story: Story, content: str) -> None:
    story.she_writes(content, about=story.order)


@given(parsers.re('she has written "(?P<content>.*)" about her order under the key "(?P<key>.+)"'))
@when(parsers.re('she writes "(?P<content>.*)" about her order under the key "(?P<key>.+)"'))
def she_writes_under_a_key(story: Story, content: str, key: str) -> None:
    story.she_writes(content, about=story.order, key=key)


@when(parsers.re('she writes "(?P<content>.*)" to the shop'))
def she_writes_to_the_shop(story: Story, content: str) -> None:
    story.she_writes(content)


@when("she writes about an order that does not exist")
def she_writes_about_nothing(story: Story) -> None:
    story.she_writes("hello", about="01890a5d-ac96-774b-bcce-b302099a8057")


@when("the job is cancelled")
def the_job_is_cancelled(story: Story) -> None:
    assert story.shop.job(story.jobs[-1]) == "COMPLETED"
    with story.allowing_refusal():
        story.shop.cancel_job(story.jobs[-1])


@then("the job has been completed")
def the_job_is_completed(story: Story) -> None:
    assert story.shop.job(story.jobs[-1]) == "COMPLETED"


@then("her order is a job that has been completed")
def her_order_is_a_job(story: Story) -> None:
    assert story.shop.job(story.order) == "COMPLETED"


@then("it is the same job")
def it_is_the_same_job(story: Story) -> None:
    assert story.jobs[-1] == story.jobs[-2]


@then(parsers.re("the messages about her order are: (?P<contents>.+)"))
def the_messages_are(story: Story, contents: str) -> None:
    for job in story.jobs:
        story.shop.job(job)
    assert [f'"{content}"' for content in story.shop.messages(order=story.order)] == contents.split(", ")


@then(parsers.re('"(?P<content>.+)" is among the messages to the shop'))
def it_is_among_the_messages(story: Story, content: str) -> None:
    story.shop.job(story.jobs[-1])
    assert content in story.shop.messages()


# --- Clients of the systems that came before


@when(parsers.parse("a customer orders by name {items}"))
def a_customer_orders_by_name(story: Story, items: str) -> None:
    story.someone_comes()
    wanted = [item.split(" ", 1) for item in items.split(" and ")]
    named = [{"name": name.removesuffix("s"), "quantity": int(quantity)} for quantity, name in wanted]
    body = {"customer_name": str(story.customer), "items": named}
    story.asks_as_before("POST", "/from/flask-orders/orders", body)


@then("that is refused as the old system did")
def that_is_refused_as_before(story: Story) -> None:
    assert story.status == HTTPStatus.BAD_REQUEST


@given(parsers.parse('the shop has written "{label}" on her order'))
@when(parsers.parse('the shop writes "{label}" on her order'))
def the_shop_writes_on_it(story: Story, label: str) -> None:
    story.asks_as_before("PATCH", f"/from/flask-orders/orders/{story.order}/status", {"status": label})
    assert story.status == HTTPStatus.ACCEPTED


@then(parsers.parse('her order says "{label}"'))
def it_says(story: Story, label: str) -> None:
    assert story.asks_as_before("GET", f"/from/flask-orders/orders/{story.order}")["status"] == label


@when("she pays and waits")
def she_pays_and_waits(story: Story) -> None:
    story.said = story.asks_as_before("POST", f"/from/shop/orders/{story.order}/pay")["status"]


@then(parsers.parse("she was told that her order is {status}"))
def she_was_told(story: Story, status: str) -> None:
    # A worker that is slower than she waits is told of, too, and the order says it in the end.
    if story.said == "PROCESSING":
        story.shop.settle()
        story.said = story.seen().status
    assert story.said == status.upper()


@when("a customer orders the usual")
def a_customer_orders_the_usual(story: Story) -> None:
    told = story.asks_as_before("POST", "/order/place")
    assert (story.status, told["status"]) == (HTTPStatus.OK, "placed")


@then("her order is done in the end")
def it_is_done(story: Story) -> None:
    story.shop.settle()
    assert story.asks_as_before("GET", f"/order/get/{story.order}")["status"] == "done"


@when(parsers.parse('she leaves the message "{content}"'))
def she_leaves_a_message(story: Story, content: str) -> None:
    told = story.asks_as_before("POST", "/add_message", {"content": content})
    assert told["message"] == "Message enqueued"
    story.jobs.append(told["job_id"])


# --- The feed


@given("the accountant has read all that has happened")
def the_accountant_has_read_all(story: Story) -> None:
    while story.read_on():
        pass


@when("the accountant begins anew")
def the_accountant_begins_anew(story: Story) -> None:
    story.position = 0


@then(parsers.parse("the accountant reads of her order: {events}"))
def the_accountant_reads(story: Story, events: str) -> None:
    wanted = events.split(", ")
    read: list[str] = []
    # A position is given a moment after the event. Those of other stories may be many.
    for _ in range(100):
        read += [words(event.removeprefix("order.")) for order, event in story.read_on() if order == story.order]
        if len(read) >= len(wanted):
            break
    assert read == wanted


@when("she reads what has happened, with a key of her own")
def she_reads_what_has_happened(story: Story) -> None:
    story.shop.use_key_of(story.customer)


@then(parsers.parse("she has read: {events}"))
def she_has_read(story: Story, events: str) -> None:
    read: list[tuple[str, str]] = []
    for _ in range(100):
        read += story.read_on()
        if read:
            break
    assert [(order, words(event.removeprefix("order."))) for order, event in read] == [(story.order, events)]


# --- Imports


@when(
    parsers.re(
        r"the shop (?P<how>imports|tries|imports what is right of) the delivery (?P<reference>\S+) of"
        r" (?P<units>\d+) (?P<name>.+) and (?P<more>\d+) (?P<other>.+)"
    )
)
def the_shop_imports(story: Story, how: str, reference: str, units: str, name: str, more: str, other: str) -> None:  # noqa: PLR0917 - as the step has them
    rows = ((story.product(name), units), (story.product(other), more))
    lines = (f"{product},{count},delivery,{reference}\n" for product, count in rows)
    table = "".join(["product_id,delta,reason,reference\n", *lines]).encode()
    on_error = "skip" if "right" in how else "stop"
    story.results = story.shop.import_file("stock", table, dry_run=how == "tries", on_error=on_error)


@when(parsers.parse("the shop imports an order of {units:d} {name} from its old system, {status}"))
def the_shop_imports_an_order(story: Story, units: int, name: str, status: str) -> None:
    items = json.dumps([{"product_id": story.product(name), "quantity": units}]).replace('"', '""')
    table = f'external_id,user_id,status,items\nold-1,{story.customer},{status},"{items}"\n'.encode()
    story.results = story.shop.import_file("orders", table)
    story.orders += [row.id for row in story.results if not row.wrong and row.id not in story.orders]


@then(parsers.parse("row {row:d} of the file is told to be bad: {code}"))
def the_row_is_bad(story: Story, row: int, code: str) -> None:
    assert [(each.row, words(each.wrong)) for each in story.results if each.wrong] == [(row, code)]


@then("it is one order")
def it_is_one_order(story: Story) -> None:
    assert len(story.orders) == 1


# --- Exports


@when("the accountant exports the orders")
def the_accountant_exports(story: Story) -> None:
    story.export_orders()


@then(parsers.parse("the export has her order: {status}"))
def the_export_has_her_order(story: Story, status: str) -> None:
    assert story.exported[story.order] == status


@then("the export does not have her order")
def the_export_has_it_not(story: Story) -> None:
    assert story.order not in story.exported


# --- Webhooks


@given(parsers.parse("the warehouse wants to hear of: {events}"))
def the_warehouse_wants(story: Story, events: str) -> None:
    wanted = [f"order.{code.replace(' ', '_')}" for code in events.split(", ")]
    story.endpoint = story.shop.tell(story.shop.open_receiver(), wanted)


@given(parsers.parse("the warehouse holds no secret, and wants to hear of: {events}"))
def the_warehouse_holds_no_secret(story: Story, events: str) -> None:
    wanted = [f"order.{code.replace(' ', '_')}" for code in events.split(", ")]
    story.endpoint = story.shop.tell(story.shop.open_receiver(), wanted, without_secret=True)


@given("the warehouse is closed")
def the_warehouse_is_closed(shop: Shop) -> None:
    shop.close_receiver(closed=True)


@when("the warehouse opens, and the shop sends what it has missed")
def the_warehouse_opens(story: Story) -> None:
    story.shop.close_receiver(closed=False)
    for delivery, _ in story.missed():
        story.shop.resend(delivery)


@then(parsers.parse("it is listed that the warehouse has missed of her order: {events}"))
def the_warehouse_has_missed(story: Story, events: str) -> None:
    # It is sent a moment after the event.
    for _ in range(100):
        story.shop.received()
        if found := [words(event.removeprefix("order.")) for _, event in story.missed()]:
            break
    assert found == events.split(", ")


@then(parsers.parse("the warehouse hears of her order: {events}"))
def the_warehouse_hears(story: Story, events: str) -> None:
    wanted = events.split(", ")
    for _ in range(100):
        received = story.shop.received()
        heard = [words(event.removeprefix("order.")) for order, event in received if order == story.order]
        if len(heard) >= len(wanted):
            break
    assert heard == wanted


@then("the warehouse is left alone for two minutes")
def the_warehouse_is_left_alone(story: Story) -> None:
    assert any(story.shop.is_left_alone(story.endpoint) for _ in range(600))


@when("the warehouse opens, and is tested")
def the_warehouse_is_tested(story: Story) -> None:
    story.shop.close_receiver(closed=False)
    story.shop.test_receiver(story.endpoint)


@then(parsers.re(r"within a minute the warehouse hears of all (?P<number>\d+) orders: (?P<event>.+)"))
def the_warehouse_hears_of_all(story: Story, number: str, event: str) -> None:
    wanted = {(order, f"order.{event.replace(' ', '_')}") for order in story.orders}
    assert len(wanted) == int(number)
    assert any(wanted <= set(story.shop.received()) for _ in range(600))


# --- What the person on duty does


@given("the message about her payment has been set aside")
def her_message_is_set_aside(story: Story) -> None:
    story.shop.settle()
    story.shop.set_aside(story.order)


@then("a replay of it would change nothing")
def a_replay_would_change_nothing(story: Story) -> None:
    [letter] = story.waiting_letters()
    told = story.asks_as_before("POST", f"/dead-letters/{letter}/try", {})
    assert (story.status, told["changes"], told["error"]) == (HTTPStatus.OK, [], None)


@when("the person on duty replays it")
def the_person_replays(story: Story) -> None:
    [letter] = story.waiting_letters()
    story.asks_as_before("POST", f"/dead-letters/{letter}/replay", {})
    assert story.status == HTTPStatus.OK
    story.shop.settle()


@when("the person on duty discards it without a reason")
def the_person_discards_without_a_reason(story: Story) -> None:
    [letter] = story.waiting_letters()
    story.asks_as_before("POST", f"/dead-letters/{letter}/discard", {"reason": ""})
    assert story.status == HTTPStatus.UNPROCESSABLE_ENTITY


@when(parsers.parse("the person on duty discards it, since {reason}"))
def the_person_discards(story: Story, reason: str) -> None:
    [letter] = story.waiting_letters()
    story.asks_as_before("POST", f"/dead-letters/{letter}/discard", {"reason": reason})
    assert story.status == HTTPStatus.OK


@then("it waits for a decision")
def it_waits_for_a_decision(story: Story) -> None:
    assert len(story.waiting_letters()) == 1


@then("nothing about her order waits for a decision")
def nothing_waits_for_a_decision(story: Story) -> None:
    assert story.waiting_letters() == []


@then(parsers.parse("the audit says of it: {reason}"))
def the_audit_says(story: Story, reason: str) -> None:
    told = story.asks_as_before("GET", "/audit?limit=5")
    [entry] = [each for each in told["items"] if each["subject"] == f"dead letter {story.letter}"]
    assert (entry["action"], entry["reason"]) == ("dead_letter.decided", reason)


@when("the person on duty checks the shop")
def the_person_checks(story: Story) -> None:
    story.jobs.append(story.asks_as_before("POST", "/reconciliations", {})["job_id"])
    assert story.shop.job(story.jobs[-1]) == "COMPLETED"


@then("stock, histories, payments and charges agree")
def everything_agrees(story: Story) -> None:
    found = story.asks_as_before("GET", f"/reconciliations/{story.jobs[-1]}")["found"]
    assert [found[kind] for kind in ("stock", "history", "payment", "charge", "provider")] == [0] * 5


@then("the check tells of a message that was set aside")
def the_check_tells_of_a_letter(story: Story) -> None:
    assert story.asks_as_before("GET", f"/reconciliations/{story.jobs[-1]}")["found"]["dead letter"] >= 1


@then("there is nothing that is safe to repair")
def nothing_is_safe_to_repair(story: Story) -> None:
    told = story.asks_as_before("POST", f"/reconciliations/{story.jobs[-1]}/repair", {})
    assert (story.status, told["code"]) == (HTTPStatus.CONFLICT, "nothing_to_repair")


# --- Many orders at once


@given("the person on duty has counted all her orders")
@when("the person on duty counts all her orders")
def the_person_counts_her_orders(story: Story) -> None:
    story.act_on_all("cancel", "counted", dry_run=True)


@then(parsers.re(r"there (is|are) (?P<number>\d+) of them"))
def there_are_so_many(story: Story, number: str) -> None:
    assert story.counted == int(number)


@when(parsers.parse("the person on duty cancels all her orders, since {reason}"))
def the_person_cancels_her_orders(story: Story, reason: str) -> None:
    story.act_on_all("cancel", reason)


@when("the person on duty retries the payment of all her orders")
def the_person_retries_her_orders(story: Story) -> None:
    story.act_on_all("retry", "")
    story.shop.settle()


@then(parsers.re(r"(?P<done>\d+) of them (is|are) done(, and (?P<refused>\d+) (is|are) refused: (?P<reason>.+))?"))
def so_many_are_done(story: Story, done: str, refused: str | None, reason: str | None) -> None:
    assert story.shop.job(story.jobs[-1]) == "COMPLETED"
    told = story.asks_as_before("GET", f"/bulk-operations/{story.jobs[-1]}")
    assert (told["done"], told["failed"]) == (int(done), int(refused or 0))
    why = {words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)) for name in story.shop.refusals_of_bulk(story.jobs[-1])}
    assert why == ({reason} if reason else set())


@then(parsers.parse("that is not done, since there are {number:d} of them now"))
def there_are_others_now(story: Story, number: int) -> None:
    assert story.status == HTTPStatus.CONFLICT
    assert str(number) in story.said


# --- The console


@given("the person on duty has signed in")
def the_person_has_signed_in(story: Story) -> None:
    issued = story.asks_as_before("POST", "/keys", {"name": "on duty", "role": "shop"})
    story.key_id = issued["key"]["id"]
    story.session = story.submit("/console/sign-in", key=issued["token"]).cookie
    assert story.key_id in story.visit("/console/orders")


@given("the person on duty has looked at her order")
def the_person_has_looked(story: Story) -> None:
    story.visit(f"/console/orders/{story.order}")


@when("the person on duty searches for her orders")
def the_person_searches(story: Story) -> None:
    story.visit(f"/console/orders?q=customer:{story.customer}")


@then("her order is found")
def her_order_is_found(story: Story) -> None:
    assert re.findall(r'data-main id="order-([^"]+)"', story.page) == [story.order]


@then(parsers.parse("its page says: {sentence}"))
def its_page_says(story: Story, sentence: str) -> None:
    said = re.search(r'<p class="sentence">(.*?)</p>', story.visit(f"/console/orders/{story.order}"))
    assert said is not None
    assert sentence in said[1][0].lower() + said[1][1:]


@given("she has asked to pay, and the payment provider does not answer")
def the_provider_does_not_answer(shop: Shop, story: Story) -> None:
    shop.ask_a_silent_provider(story.order)


@when("the payment provider answers again")
def the_provider_answers(shop: Shop, story: Story) -> None:
    shop.hear_from_the_provider(story.order)


@then("the person on duty sees at once that the payment provider has not answered")
def the_silence_is_seen(story: Story) -> None:
    assert "the payment provider has not answered since" in story.visit("/console/now")


@then("the person on duty sees nothing of that any more")
def the_silence_is_over(story: Story) -> None:
    assert "has not answered" not in story.visit("/console/now")


@when("the person on duty cancels her order on its page")
def the_person_cancels_on_its_page(story: Story) -> None:
    story.visit(f"/console/orders/{story.order}")
    the_person_cancels_as_shown(story)


@when("the person on duty cancels her order as it was shown")
def the_person_cancels_as_shown(story: Story) -> None:
    [version] = set(re.findall(r'name="version" value="(\d+)"', story.page))
    story.submit(f"/console/orders/{story.order}/cancel", version=version)


@when(parsers.parse("the person on duty searches for her orders, and cancels them, since {reason}"))
def the_person_cancels_what_is_found(story: Story, reason: str) -> None:
    q = f"customer:{story.customer}"
    shown = story.visit(f"/console/orders/many?act=cancel&q={q}")
    sent = dict(re.findall(r'name="(count|digest)" value="([^"]+)"', shown))
    begun = story.submit("/console/bulk-operations", act="cancel", q=q, reason=reason, **sent)
    story.jobs.append(begun.location.rpartition("/")[2].partition("?")[0])


@then("the audit says that the person on duty did it")
def the_audit_names_the_person(story: Story) -> None:
    told = story.asks_as_before("GET", f"/audit?subject=order%20{story.order}")
    assert [(each["action"], each["key_id"]) for each in told["items"]] == [("order.cancelled", story.key_id)]


@given("somebody has copied the session")
def somebody_has_copied_the_session(story: Story) -> None:
    story.copied = story.session
    assert story.key_id in story.visit("/console/orders", session=story.copied)


@when("the person on duty signs out")
def the_person_signs_out(story: Story) -> None:
    left = story.submit("/console/sign-out")
    assert left.location.endswith("done=signed-out")
    story.session = left.cookie


@then("the copied session lets nobody in")
def the_copied_session_lets_nobody_in(story: Story) -> None:
    assert story.key_id not in story.visit("/console/orders", session=story.copied)


@when("somebody tries to sign in with a key that was made up")
def somebody_tries_to_sign_in(story: Story) -> None:
    story.session = story.submit("/console/sign-in", key="hf_live_admin_made_up").cookie


@then("there is no session")
def there_is_no_session(story: Story) -> None:
    assert story.session == ""
