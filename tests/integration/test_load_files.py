"""The load tests of systems before, and our own: no request of their customers fails."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.service import Service

_LOAD: Final = Path("bench")
# For each file, the entrance that its requests go to.
FILES: Final = {"locustfile.py": "", "locustfile_flask_orders.py": "/from/flask-orders"}
PROGRAMS: Final = ("api", "worker", "relay")
# Seconds. In the first, nothing may be done where the machine is busy.
_RUN_TIMES: Final = (2, 20, 100)


def test_every_load_file_is_run() -> None:
    assert {path.name for path in _LOAD.glob("locustfile*.py")} == FILES.keys()


def test_every_load_test_succeeds_embedded(embedded: Service) -> None:
    embedded.start("up")
    embedded.wait_until_ready()
    _run_all(embedded)


async def test_every_load_test_succeeds_on_servers(on_servers: Service) -> None:
    await asyncio.to_thread(on_servers.run, "seed")
    await asyncio.to_thread(on_servers.start_all, PROGRAMS)
    await asyncio.to_thread(on_servers.wait_until_ready)
    await asyncio.to_thread(_run_all, on_servers)


def _run_all(service: Service) -> None:
    for file, entrance in FILES.items():
        _run(file, f"{service.url}{entrance}")


def _run(file: str, url: str) -> None:
    for seconds in _RUN_TIMES:
        requests = _requests(file, url, seconds)
        if requests.get("POST /orders"):
            return
    pytest.fail(f"no order in {_RUN_TIMES[-1]} s: {requests}")


def _requests(file: str, url: str, seconds: int) -> dict[str, int]:
    """How many requests of each kind the load test makes, none of which fails."""
    options = ("--headless", "--users", "5", "--spawn-rate", "5", "--run-time", f"{seconds}s", "--json", "--skip-log")
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(_LOAD / file), "--host", url, *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {entry["name"]: entry["num_requests"] for entry in json.loads(done.stdout)}
