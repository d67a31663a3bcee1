"""docs/operations.md tells to set what the cluster of the tests is set to."""

import re
from typing import Any, Final

import yaml

from tests.integration.faults.cluster.members import ETCD, PATRONI, RABBITMQ
from tests.servers.compose import ROOT

PAGE: Final = (ROOT / "docs" / "operations.md").read_text()


def block(begins: str) -> str:
    """The indented lines from this one on."""
    [found] = re.findall(rf"^((?: +){re.escape(begins)}.*\n(?: +.*\n)*)", PAGE, flags=re.MULTILINE)
    return str(found)


def test_etcd_is_started_as_told() -> None:
    assert block("--heartbeat-interval").split() == list(ETCD)


def test_patroni_is_set_as_told() -> None:
    told: dict[str, Any] = yaml.safe_load(block("ttl:"))
    assert told == PATRONI


def test_rabbitmq_is_set_as_told() -> None:
    told = {line.strip() for line in block("cluster_formation.peer_discovery_backend").splitlines()}
    assert set(RABBITMQ) <= told
