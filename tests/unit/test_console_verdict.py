"""The first line of the console's Now: each fact that is not well makes it so, and is named."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
import yaml
from attrs import evolve

from application.ports.overview import ActiveRelay, FailingReceivers, Process, Upkeep, Waiting, WaitingOrder
from application.ports.payments import ProviderSilence
from domain.ids import OrderId
from domain.orders.status import OrderStatus
from entrypoints.http.console.parts import Part
from entrypoints.http.console.verdict import Facts
from entrypoints.readiness import Readiness
from tests.unit.builders import NOW

WAITING = Waiting(
    outbox=3,
    oldest_event=timedelta(seconds=1),
    oldest_order=None,
    orders=2,
    dead_letters=0,
    stuck={"PROCESSING": 0, "REFUND": 0},
    webhook_lag=timedelta(seconds=1),
    failing_receivers=None,
    disabled_receivers=0,
)
UPKEEP = Upkeep(
    processes=(),
    relay=ActiveRelay(name="one", since=NOW, until=NOW),
    discrepancies={"stock": 0},
    checked_at=NOW - timedelta(days=1),
)
SERVERS = Readiness(orders=True, payments=True, missing=())


def facts(**changes: Any) -> Facts:
    known: dict[str, Any] = {"waiting": WAITING, "upkeep": UPKEEP, "servers": SERVERS, "silence": None}
    parts = {name: Part(evolve(known[name], **changes.get(name, {})) if known[name] else None) for name in known}
    return Facts(**parts, others={}, now=NOW)


def test_all_is_well_while_the_shop_works() -> None:
    verdict = facts().verdict()
    assert (verdict.tone, verdict.findings) == ("good", [])
    assert verdict.of("dead letters") == "good"


@pytest.mark.parametrize(
    ("changes", "tone", "about", "says"),
    [
        ({"servers": {"orders": False}}, "bad", "orders", "orders can't be taken"),
        ({"servers": {"payments": False, "missing": ("worker",)}}, "bad", "worker", "no worker is at work"),
        (
            {"servers": {"missing": ("consumer of payments",)}},
            "bad",
            "consumer of payments",
            "consumer of payments does not answer",
        ),
        ({"servers": {"payments": False, "missing": ("broker",)}}, "bad", "broker", "broker does not answer"),
        # Orders are taken and paid for without it.
        ({"servers": {"missing": ("cache",)}}, "wait", "cache", "cache does not answer"),
        ({"waiting": {"stuck": {"PROCESSING": 1, "REFUND": 1}}}, "bad", "stuck orders", "2 orders are stuck"),
        ({"waiting": {"oldest_event": timedelta(seconds=61)}}, "bad", "outbox", "waited in the outbox for 1 min 1 s"),
        ({"waiting": {"dead_letters": 1}}, "wait", "dead letters", "1 dead letter waits for a decision"),
        ({"waiting": {"dead_letters": 1000}}, "wait", "dead letters", "1,000+ dead letters wait"),
        (
            {"waiting": {"failing_receivers": FailingReceivers(number=1, since=NOW, answer="")}},
            "wait",
            "webhooks",
            "1 receiver of webhooks fails",
        ),
        (
            {"waiting": {"disabled_receivers": 2}},
            "wait",
            "webhooks",
            "2 receivers of webhooks were disabled by the shop",
        ),
        ({"waiting": {"webhook_lag": timedelta(minutes=2)}}, "wait", "webhooks", "is 2 min behind"),
        ({"upkeep": {"relay": None}}, "bad", "active relay", "no relay publishes"),
        ({"upkeep": {"discrepancies": {"stock": 2}}}, "bad", "check", "the last consistency check has found 2"),
        ({"upkeep": {"checked_at": NOW - timedelta(days=3)}}, "wait", "check", "check was 3 d ago"),
    ],
)
def test_what_is_not_well_is_named(changes: dict[str, Any], tone: str, about: str, says: str) -> None:
    verdict = facts(**changes).verdict()
    assert (verdict.tone, verdict.of(about)) == (tone, tone)
    assert any(says in each.says for each in verdict.findings)


def test_a_provider_that_is_silent_is_told_with_what_waits_for_it() -> None:
    silent = evolve(facts(), silence=Part(ProviderSilence(since=NOW, failed_calls=2))).verdict()
    assert (silent.tone, silent.of("payments"), silent.of("payment provider")) == ("bad", "bad", "bad")
    assert "(2 calls failed): 2 orders wait, and go on by themselves" in silent.findings[-1].says


def test_of_orders_whose_requests_are_dead_letters_nobody_says_that_they_go_on_by_themselves() -> None:
    waiting = evolve(facts(waiting={"dead_letters": 1}), silence=Part(ProviderSilence(since=NOW, failed_calls=2)))
    [silent] = [each.says for each in waiting.verdict().findings if each.about == "payment provider"]
    assert silent.endswith("go on by themselves when it answers, unless the request is a dead letter")


def test_a_worker_that_is_missing_is_one_finding_and_not_one_of_each_of_its_queues() -> None:
    missing = ("consumer of intake", "consumer of payments", "worker")
    verdict = facts(servers={"payments": False, "missing": missing}).verdict()
    assert [each.says for each in verdict.findings] == ["payments wait", "no worker is at work"]


@pytest.mark.parametrize("part", ["waiting", "upkeep", "servers", "silence"])
def test_what_is_unknown_is_not_well(part: str) -> None:
    unknown: dict[str, Any] = {part: Part(None, unknown_since=NOW, why="gone")}
    verdict = evolve(facts(), **unknown).verdict()
    assert [(each.tone, each.says[:8]) for each in verdict.findings] == [("wait", "unknown:")]


def test_the_worst_is_told_first() -> None:
    verdict = facts(waiting={"dead_letters": 1, "stuck": {"REFUND": 1}}, servers={"missing": ("cache",)}).verdict()
    assert [each.tone for each in verdict.findings] == ["bad", "wait", "wait"]


_RULES: Final = yaml.safe_load((Path(__file__).parents[2] / "deploy/observability/holdfast.rules.yml").read_text())
_PAGING: Final = {
    rule["alert"]: rule["expr"]
    for group in _RULES["groups"]
    for rule in group["rules"]
    if rule.get("labels", {}).get("severity") == "page"
}
_TOO_OLD: Final = WaitingOrder(
    id=OrderId(UUID(int=1)), status=OrderStatus.PROCESSING, since=NOW - timedelta(seconds=61)
)
# What is the case while an alert pages somebody, and which mark tells of it.
_SEEN: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "HoldfastPaymentsLate": ({"waiting": {"oldest_order": _TOO_OLD}}, "waiting orders"),
    "HoldfastOrdersStuck": ({"waiting": {"stuck": {"PROCESSING": 1, "REFUND": 0}}}, "stuck orders"),
    "HoldfastDiscrepancies": ({"upkeep": {"discrepancies": {"stock": 1}}}, "check"),
    "HoldfastNoRelayLeads": ({"upkeep": {"relay": None}}, "active relay"),
    "HoldfastOutboxOld": ({"waiting": {"oldest_event": timedelta(seconds=61)}}, "outbox"),
    "HoldfastProcessDown": (
        {"upkeep": {"processes": (Process("worker", "machine:1", timedelta(seconds=61)),)}},
        "processes",
    ),
}
# Why the console can't know. docs/console.md says so to those who look at it.
_NOT_SEEN: Final = {
    "HoldfastOrdersNotAccepted": "each API process counts its own requests, and writes them nowhere",
    "HoldfastOrdersSlow": "the same",
    "HoldfastRequestsFailing": "the same",
    "HoldfastOutcomesUnknown": "a worker reports the provider's silence, and nothing while some calls are answered",
    "HoldfastProviderFailing": "the same",
}


def test_every_alert_that_pages_is_seen_here_or_it_is_known_why_not() -> None:
    assert not _SEEN.keys() & _NOT_SEEN.keys()
    assert _SEEN.keys() | _NOT_SEEN.keys() == _PAGING.keys()
    page = (Path(__file__).parents[2] / "docs/console.md").read_text()
    assert {name for name in _PAGING if f"`{name}`" in page} == _NOT_SEEN.keys()


@pytest.mark.parametrize("alert", _SEEN)
def test_all_is_not_well_while_an_alert_pages_somebody(alert: str) -> None:
    changes, about = _SEEN[alert]
    verdict = facts(**changes).verdict()
    assert verdict.tone != "good"
    assert [each.about for each in verdict.findings] == [about]


def test_the_limits_are_those_of_the_alerts() -> None:
    assert _PAGING["HoldfastOutboxOld"].endswith("> 60")
    assert 'le="60.0"' in str(_RULES)
    for seconds, tone in ((60, "good"), (61, "bad")):
        order = evolve(_TOO_OLD, since=NOW - timedelta(seconds=seconds))
        assert facts(waiting={"oldest_order": order, "oldest_event": timedelta(seconds=seconds)}).verdict().tone == tone


def test_a_process_is_missed_until_another_must_have_taken_its_place() -> None:
    tones = [
        facts(upkeep={"processes": (Process("worker", "machine:1", heard),)}).verdict().tone
        for heard in (timedelta(seconds=5), timedelta(minutes=2), timedelta(hours=2), None)
    ]
    assert tones == ["good", "wait", "good", "good"]


def test_an_order_that_is_stuck_is_not_told_of_twice() -> None:
    stuck = {"PROCESSING": 1, "REFUND": 0}
    verdict = facts(waiting={"oldest_order": _TOO_OLD, "stuck": stuck}).verdict()
    assert [each.about for each in verdict.findings] == ["stuck orders"]
