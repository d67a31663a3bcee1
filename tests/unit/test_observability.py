"""The rules, the panels and the runbooks that are shipped belong together, and promtool finds nothing wrong there."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from application.reconciliation.discrepancies import KINDS

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy" / "observability"
RUNBOOKS = ROOT / "docs" / "runbooks"
GROUPS = yaml.safe_load((SHIPPED / "holdfast.rules.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
TESTS = yaml.safe_load((SHIPPED / "holdfast.rules.test.yml").read_text())["tests"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "holdfast.rules.yml"),
        ("test", "rules", "holdfast.rules.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...], prometheus_program: Path) -> None:
    done = subprocess.run(
        [str(prometheus_program / "promtool"), *arguments],
        cwd=SHIPPED,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_both_ways() -> None:
    names = {alert["alert"] for alert in ALERTS}
    assert len(names) == len(ALERTS)
    for name in names:
        tried = [
            test["promql_expr_test"][-1]["exp_samples"]
            for test in TESTS
            if test["name"].startswith((f"{name} ", f"{name}:"))
        ]
        assert any(tried), f"{name} never fires"
        assert not all(tried), f"{name} is never silent"


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    names = {alert["alert"] for alert in ALERTS}
    for alert in ALERTS:
        assert alert["annotations"]["runbook"] == f"docs/runbooks/{alert['alert']}.md"
        assert alert["labels"]["severity"] in {"page", "ticket"}
    assert {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"} == names
    index = (RUNBOOKS / "README.md").read_text()
    assert set(re.findall(r"\((\w+)\.md\)", index)) == names


def test_the_runbook_of_discrepancies_explains_each_kind() -> None:
    text = (RUNBOOKS / "HoldfastDiscrepancies.md").read_text()
    assert {kind for kind in KINDS if f"`{kind}`" not in text} == set()


def _expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    for panel in json.loads((SHIPPED / "grafana" / "holdfast.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_every_recorded_ratio_that_is_used_is_recorded() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    used = {name for expression in _expressions() for name in re.findall(r"\bholdfast:[a-z0-9_:]+", expression)}
    assert used == recorded


def test_no_pages_about_commands_that_do_not_exist() -> None:
    """The commands and the settings in the runbooks are those of this release."""
    commands = (ROOT / "entrypoints" / "cli" / "commands.py").read_text()
    settings = (ROOT / "docs" / "settings.md").read_text()
    for page in RUNBOOKS.glob("*.md"):
        text = page.read_text()
        for written in re.findall(r"`holdfast ([a-z-]+)", text):
            command = written.replace("-", "_")
            assert f'"{command}"' in commands or f':{command}"' in commands, (page.name, command)
        for setting in re.findall(r"HOLDFAST_[A-Z_]+", text):
            assert f"`{setting}`" in settings, (page.name, setting)
