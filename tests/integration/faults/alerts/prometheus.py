"""A Prometheus with the rules that are shipped, on a scale on which a fault of seconds counts as one of minutes."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote
from urllib.request import urlopen

import yaml
from attrs import define, field

from tests.servers import Process, free_port, plain_environment
from tests.servers.compose import ROOT
from tests.servers.packages import find_prometheus
from tests.servers.server import Server
from tests.service import Service

# What takes a minute takes 2 s.
SCALE: Final = 30
# What may be a minute old may be 5 s: on a busy machine, work in order takes a second or two.
_SCALE_OF_AGES: Final = 12
_RULES: Final = ROOT / "deploy" / "observability" / "holdfast.rules.yml"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
# Thresholds that are times of the shop's own life, and not of how long a request may take.
_TIMES: Final = (
    "holdfast_outbox_oldest_age_seconds",
    "holdfast_reconcile_last_success_timestamp_seconds",
    "holdfast_webhook_lag_seconds",
)


def _seconds(duration: str) -> float:
    return int(duration[:-1]) * _UNITS[duration[-1]]


def _shorter(duration: str) -> str:
    return f"{round(_seconds(duration) * 1000 / SCALE)}ms"


def shortened(rules: dict[str, Any]) -> dict[str, Any]:
    """The rules with all their times divided by the scale, and nothing else changed."""
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        expr = re.sub(r"\[(\d+[smh])\]", lambda found: f"[{_shorter(found[1])}]", rule["expr"])
        if any(name in expr for name in _TIMES):
            expr = re.sub(r"> (\d+)$", lambda found: f"> {int(found[1]) / _SCALE_OF_AGES:g}", expr)
        rule["expr"] = expr
        if "for" in rule:
            rule["for"] = _shorter(rule["for"])
    return rules


class PrometheusServer(Server):
    """Scrapes what the file of targets names, each second."""

    name: ClassVar[str] = "Prometheus"

    def __init__(self, targets: Path) -> None:
        super().__init__()
        self._targets = targets

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _config(self) -> Path:
        return self.folder / "prometheus.yml"

    def _prepare(self) -> None:
        rules = shortened(yaml.safe_load(_RULES.read_text()))
        (self.folder / "rules.yml").write_text(yaml.safe_dump(rules, width=1000))
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {
                    "job_name": "holdfast",
                    "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "1s"}],
                }
            ],
        }
        self._config.write_text(yaml.safe_dump(config))

    def _build(self) -> Process:
        return Process(
            argv=[
                str(find_prometheus() / "prometheus"),
                f"--config.file={self._config}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            log=self.log,
            env=plain_environment(),
            cwd=self.folder,
        )

    def _serves(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=1) as answer:  # noqa: S310 - the address is our own
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self, expression: str) -> list[dict[str, Any]]:
        with urlopen(f"{self.url}/api/v1/query?query={quote(expression)}", timeout=30) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def firing(self) -> set[str]:
        return {each["metric"]["alertname"] for each in self.ask('ALERTS{alertstate="firing"}')}


# The relay looks at the database every 15 s, and so at the same scale.
_PROGRAM: Final = (
    "import entrypoints.programs.metrics as metrics; metrics._SAMPLE_EVERY = 0.5;"
    " from entrypoints.cli.main import main; main()"
)


@define(kw_only=True, eq=False)
class WatchedService(Service):
    """Each of its processes has a port for metrics, and stands in the file of targets until it is taken from there."""

    program: Sequence[str] = (sys.executable, "-c", _PROGRAM)
    kind: type[Process] = Process
    ports: dict[str, int] = field(factory=dict, init=False)

    @property
    def targets(self) -> Path:
        return self.folder / "targets.json"

    def start(self, command: str, *arguments: str, name: str | None = None) -> Process:
        name = name or command
        port = self.ports.setdefault(name, free_port())
        kept = dict(self.settings)
        self.settings["HOLDFAST_METRICS_PORT"] = str(port)
        try:
            process = super().start(command, *arguments, name=name)
        finally:
            self.settings = kept
        self.tell_targets()
        return process

    def tell_targets(self) -> None:
        new = self.targets.with_suffix(".new")
        new.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}" for port in self.ports.values()]}]))
        new.replace(self.targets)
