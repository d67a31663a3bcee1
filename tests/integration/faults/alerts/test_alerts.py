"""The table of alerts, and the scale on which it is tried. `./dev faults --alerts` tries it, which takes long."""

import re

import yaml

from tests.integration.faults.alerts.prometheus import shortened
from tests.integration.faults.alerts.rows import OF_A_SLOW_MACHINE, ROWS
from tests.integration.faults.alerts.run import troubles_of
from tests.servers.compose import ROOT

RULES = yaml.safe_load((ROOT / "deploy" / "observability" / "holdfast.rules.yml").read_text())
ALERTS = {rule["alert"] for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}


def test_every_alert_is_fired_by_a_fault() -> None:
    assert {name for row in ROWS for name in row.fires} == ALERTS


def test_the_table_in_the_docs_has_each_row_with_what_it_must_fire() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text().partition("## Alerts")[2].partition("\n## ")[0]
    told = {
        cells[0].removeprefix("| "): set(re.findall(r"`(\w+)`", cells[1]))
        for line in page.splitlines()
        if line.startswith("| ") and len(cells := line.split(" | ")) > 1
    }
    assert {row.name: set(row.fires) for row in ROWS} == {name: told.get(name) for name in (row.name for row in ROWS)}


def test_every_row_names_alerts_that_there_are() -> None:
    named = {name for row in ROWS for name in (*row.fires, *row.may)} | OF_A_SLOW_MACHINE
    assert named <= ALERTS
    assert len(ROWS) >= 15
    assert any(not row.fires for row in ROWS)


def test_the_scale_changes_times_and_nothing_else() -> None:
    short = shortened(yaml.safe_load(yaml.safe_dump(RULES)))
    rules = {rule["alert"]: rule for group in short["groups"] for rule in group["rules"] if "alert" in rule}
    assert (rules["HoldfastOutboxOld"]["expr"], rules["HoldfastOutboxOld"]["for"]) == (
        "max(holdfast_outbox_oldest_age_seconds) > 5",
        "2000ms",
    )
    assert "[30000ms]" in rules["HoldfastDeadLetters"]["expr"]
    assert rules["HoldfastOrdersStuck"]["expr"] == "max by (reason) (holdfast_stuck_orders) > 0"
    assert rules["HoldfastPoolWait"]["expr"].endswith("[10000ms]))) > 0.25")


def test_an_alert_that_is_late_silent_or_too_much_is_a_trouble() -> None:
    row = next(row for row in ROWS if set(row.fires) == {"HoldfastOutboxOld"} and not row.may)
    assert troubles_of(row, {"HoldfastOutboxOld": 5.0, "HoldfastLoopLag": 1.0}) == []
    assert troubles_of(row, {}) == ["HoldfastOutboxOld must fire within 18 s, and stayed silent"]
    assert troubles_of(row, {"HoldfastOutboxOld": 99.0, "HoldfastDeadLetters": 2.0}) == [
        "HoldfastOutboxOld must fire within 18 s, and fired after 99.0 s",
        "HoldfastDeadLetters must stay silent, and fired after 2.0 s",
    ]
