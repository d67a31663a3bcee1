"""The client library as its users have it: the examples of its page, against a running service."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.service import Service

_PAGE: Final = Path("clients/python/README.md").read_text()
EXAMPLES: Final = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(folder=tmp_path_factory.mktemp("client"))
    service.run("migrate")
    service.add_product(stock=100)
    service.start("up")
    service.wait_until_ready()
    yield service
    service.stop()


def run(example: str, service: Service) -> list[str]:
    code = example.replace("http://127.0.0.1:8000", service.url)
    assert code != example
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_example_of_its_page_runs(service: Service) -> None:
    paid, refused, followed, waited = EXAMPLES
    *events, status = run(paid, service)
    assert [line.split()[1] for line in events][-1] == "order.paid"
    assert status == "PAID"
    assert run(refused, service) == ["['/items/0/quantity']", "illegal_transition", "unknown_order"]
    order, event = run(followed, service)
    assert order.split()[1] == "2500"
    assert event.split()[1] == order.split()[0]
    assert run(waited, service) == ["PAID"]


def test_from_nothing_to_a_paid_order_takes_eleven_lines() -> None:
    assert len([line for line in EXAMPLES[0].splitlines() if line.strip()]) <= 11
