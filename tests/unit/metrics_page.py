"""Makes docs/metrics.md from the metrics that there are: `.venv/bin/python -m tests.unit.metrics_page` writes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from adapters.telemetry.prometheus import PREFIX
from application.telemetry.metrics import METRICS

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
_INTRODUCTION: Final = """\
# Metrics

<!-- Made from the metrics: `.venv/bin/python -m tests.unit.metrics_page` writes this page. A test compares the two. -->

With `HOLDFAST_METRICS_PORT=9464`, each process serves its metrics to Prometheus at `http://127.0.0.1:9464/metrics`.
`HOLDFAST_METRICS_HOST` chooses another address. There is no key and no TLS: whoever reaches the port may read.
Processes on one machine need a port each; those of `holdfast up --api 3` take the port and the next ones: first the
relay, then the workers, then the APIs.

A single process may have one port for everything: with `HOLDFAST_METRICS_PORT=8000`, which is the port of the API, the
API serves `/metrics`. Where keys are needed, that takes one with the scope `metrics:read`, as of
`holdfast keys create --role admin --scopes metrics:read --name prometheus`.

A scrape asks no server. What is in the database is looked at by each relay, every 15 s, and what is stuck every minute.
No label is an id or comes from a request. A metric appears in the processes in which it is taken. A process has less
than a thousand series, whatever a shop has and is asked for.

| name | kind | what it is | labels |
|---|---|---|---|
"""


def page() -> str:
    return _INTRODUCTION + "".join(f"{line}\n" for line in _rows())


def _rows() -> Iterator[str]:
    for metric in METRICS:
        labels = "; ".join(f"`{name}`: {meaning}" for name, meaning in metric.labels.items())
        yield f"| `{PREFIX}{metric.name}` | {metric.kind} | {metric.meaning} | {labels} |"


if __name__ == "__main__":
    PAGE.write_text(page())
