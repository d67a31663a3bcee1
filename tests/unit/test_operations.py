"""docs/operations.md tells to set what the cluster of the tests is set to."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

from entrypoints.read_settings import read_settings
from tests.integration.faults.cluster.members import BROKER_USER, DATABASE, RABBITMQ, Etcd, Postgres
from tests.integration.faults.cluster.network import Machine
from tests.integration.faults.cluster.restore import ARCHIVING, RESTORING, of_a_node, of_the_repository
from tests.servers.compose import ROOT

PAGE: Final = (ROOT / "docs" / "operations.md").read_text()
NODES: Final = [Machine(f"db{number}", f"10.77.0.1{number}") for number in (1, 2, 3)]


def block(begins: str) -> str:
    """The indented lines from this one on."""
    [found] = re.findall(rf"^((?: +){re.escape(begins)}.*\n(?: +.*\n)*)", PAGE, flags=re.MULTILINE)
    return str(found)


def lines(begins: str) -> list[str]:
    return [line.strip() for line in block(begins).splitlines()]


def test_all_know_the_names() -> None:
    assert lines("10.77.0.11 db1") == [f"{node.address} {node.name}" for node in NODES]


def test_etcd_is_started_as_told() -> None:
    [started] = Etcd(NODES[0], Path("/var/lib/etcd"), all=NODES).build()
    assert block("etcd --name db1").replace("\\\n", "").split() == list(started.argv)[len(NODES[0].command()) :]


def test_patroni_is_set_as_told(tmp_path: Path) -> None:
    told: dict[str, Any] = yaml.safe_load(block("scope: holdfast"))
    node = Postgres(NODES[0], Path("/var/lib/postgresql/holdfast"), all=NODES, patroni=tmp_path)
    is_set = node.settings()
    assert told["postgresql"].pop("bin_dir") == "/usr/lib/postgresql/15/bin", "where Debian 12 has it"
    # The server of the tests is run by another user than `postgres`.
    assert is_set["postgresql"]["pg_hba"].pop(0) == told["postgresql"]["pg_hba"].pop(0).replace("peer", "trust")
    assert told == is_set


def test_the_shop_has_its_database_as_told() -> None:
    assert [line.removesuffix(";") for line in lines("CREATE ROLE")] == list(DATABASE)


def test_rabbitmq_is_set_as_told() -> None:
    told = set(lines("cluster_formation.peer_discovery_backend"))
    nodes = {f"cluster_formation.classic_config.nodes.{n} = rabbit@{node.name}" for n, node in enumerate(NODES, 1)}
    assert {*RABBITMQ, *nodes} <= told
    assert lines("rabbitmqctl add_user") == list(BROKER_USER)


def test_holdfast_takes_the_settings() -> None:
    settings = read_settings(dict(line.split("=", 1) for line in lines("DATABASE_URL=postgresql://holdfast:")))
    for url, port in ((settings.database_url, 5432), (settings.amqp_url, 5672)):
        assert ",".join(f"{node.address}:{port}" for node in NODES) in str(url)


def test_a_cluster_is_backed_up_and_restored_as_told() -> None:
    folder = "/var/lib/postgresql/holdfast"
    certificates = "/etc/pgbackrest"
    assert lines("[global]\n    repo1-host") == of_a_node(data=f"{folder}/data", certificates=certificates)
    nodes = [(node.name, f"{folder}/data", folder) for node in NODES]
    told = lines("pg1-host=db1")
    repository = of_the_repository(nodes, repository="/var/lib/pgbackrest", certificates=certificates)
    for number, node in enumerate(NODES, 1):
        as_this = [line.replace("pg1-", f"pg{number}-").replace("=db1", f"={node.name}") for line in told]
        begins = repository.index(as_this[0])
        assert repository[begins : begins + len(told)] == as_this
    for option in ("repo1-path=/var/lib/pgbackrest", "repo1-retention-full=2", "start-fast=y"):
        assert option in repository
        assert f"`{option}`" in PAGE
    assert yaml.safe_load(block("archive_mode:")) == ARCHIVING
    assert yaml.safe_load(block("method: pgbackrest")) == RESTORING
