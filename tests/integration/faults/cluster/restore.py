"""Backups of the cluster by pgBackRest on a machine of their own, and its restore, as docs/operations.md says."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.request import Request, urlopen

from attrs import define, field

from tests.integration.faults.cluster.cluster import PROGRAMS, Cluster
from tests.integration.faults.cluster.members import Member, Postgres
from tests.integration.faults.cluster.network import Machine, run
from tests.servers.packages import find_pgbackrest
from tests.servers.process import Process
from tests.service import until

# docs/operations.md tells to set these; whoever changes one changes it there.
ARCHIVING: Final = {"archive_mode": "on", "archive_command": "pgbackrest --stanza=shop archive-push %p"}
RESTORING: Final = {
    "method": "pgbackrest",
    "pgbackrest": {
        "command": "pgbackrest --stanza=shop restore",
        "keep_existing_recovery_conf": True,
        "no_params": True,
    },
}
_NAME: Final = "backup"
_NUMBER: Final = 40
_WITHIN: Final = 120.0
# All charges are compared.
BEGINNING: Final = "2026-01-01T00:00:00Z"


def _certificates(option: str, folder: str) -> list[str]:
    return [f"{option}-{what}-file={folder}/{what}.pem" for what in ("ca", "cert", "key")]


def _served(certificates: str) -> list[str]:
    return ["tls-server-address=*", "tls-server-auth=holdfast=shop", *_certificates("tls-server", certificates)]


def of_a_node(*, data: str, certificates: str) -> list[str]:
    """The settings of pgBackRest on a node of PostgreSQL."""
    reached = ["repo1-host=backup", "repo1-host-type=tls", *_certificates("repo1-host", certificates)]
    return ["[global]", *reached, *_served(certificates), "[shop]", f"pg1-path={data}"]


def of_the_repository(nodes: Sequence[tuple[str, str, str]], *, repository: str, certificates: str) -> list[str]:
    """The same where the backups are. The nodes are told by name, data folder and the folder of their socket."""
    kept = [f"repo1-path={repository}", "repo1-retention-full=2", "start-fast=y"]
    lines = ["[global]", *kept, *_served(certificates), "[shop]"]
    for number, (name, data, socket) in enumerate(nodes, 1):
        of = f"pg{number}"
        lines += [f"{of}-host={name}", f"{of}-host-type=tls", *_certificates(f"{of}-host", certificates)]
        lines += [f"{of}-path={data}", f"{of}-socket-path={socket}", f"{of}-user=postgres"]
    return lines


@define(eq=False)
class BackRest(Member):
    """`pgbackrest server` of one machine, by which the others reach it."""

    lines: list[str] = field(kw_only=True)
    words: ClassVar[tuple[str, ...]] = ("pgbackrest",)

    @property
    def settings(self) -> Path:
        return self.folder / "pgbackrest.conf"

    def build(self) -> list[Process]:
        # All machines have one /tmp and one /var.
        own = [f"{name}-path={self.folder}/{name}" for name in ("log", "lock", "spool")]
        self.settings.write_text("\n".join([self.lines[0], *own, *self.lines[1:], ""]))
        # As if the settings were in /etc, which all machines share.
        own_program = self.folder / "pgbackrest"
        own_program.write_text(f'#!/bin/sh\nexec {find_pgbackrest()} --config={self.settings} "$@"\n')
        own_program.chmod(0o755)
        for path in (self.folder, *self.folder.iterdir()):
            shutil.chown(path, "nobody")
        return [self._program(*self._argv("server"), log="server", as_nobody=True)]

    def run(self, *words: str) -> str:
        argv = self._argv("--stanza=shop", *words)
        return run(*self.machine.command(*argv, as_nobody=True), seconds=300)

    def _argv(self, *words: str) -> list[str]:
        return [str(self.folder / "pgbackrest"), *words]


@define(eq=False)
class Backups:
    """The repository, and each node's way to it."""

    repository: BackRest
    nodes: list[BackRest]

    @classmethod
    def of(cls, cluster: Cluster) -> "Backups":
        folder = cluster.redis.folder.parent / "backups"
        folder.mkdir(mode=0o755)
        machine = cluster.network.machine(_NAME, _NUMBER)
        certificates = _make_certificates(folder, [machine, *cluster.machines])
        nodes = [
            BackRest(each.machine, each.folder, lines=of_a_node(data=each.data, certificates=certificates))
            for each in cluster.postgres
        ]
        repository = folder / "repository"
        repository.mkdir()
        shutil.chown(repository, "nobody")
        told = [(each.machine.name, each.data, str(each.folder)) for each in cluster.postgres]
        lines = of_the_repository(told, repository=str(repository), certificates=certificates)
        kept = BackRest(machine, folder / _NAME, lines=lines)
        # Nobody's settings are in /etc, where the others would look for them.
        for number, node in enumerate(nodes, 1):
            node.lines.insert(1, f"repo1-host-config={kept.settings}")
            kept.lines.append(f"pg{number}-host-config={node.settings}")
        return cls(kept, nodes)

    def start(self) -> None:
        for each in (self.repository, *self.nodes):
            each.start()


def _make_certificates(folder: Path, machines: Sequence[Machine]) -> str:
    """One for all machines, which is its own authority. Return its folder."""
    made = folder / "certificates"
    made.mkdir(mode=0o755)
    names = ",".join(f"DNS:{machine.name}" for machine in machines)
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=holdfast"),
        *("-addext", f"subjectAltName={names}", "-keyout", f"{made}/key.pem", "-out", f"{made}/cert.pem"),
    )
    shutil.copy(made / "cert.pem", made / "ca.pem")
    shutil.chown(made / "key.pem", "nobody")
    (made / "key.pem").chmod(0o600)
    return str(made)


async def back_up(cluster: Cluster) -> None:
    """Archive what the primary writes, whichever node that is, and take a backup."""
    backups = Backups.of(cluster)
    await asyncio.to_thread(backups.start)
    await asyncio.to_thread(
        _ask_patroni, cluster.primary, "PATCH", "/config", {"postgresql": {"parameters": ARCHIVING}}
    )
    for member in [*cluster.standbys, cluster.primary]:
        await until(
            partial(_awaits_restart, member), seconds=_WITHIN, what=f"{member.machine.name} knows of the archive"
        )
        await asyncio.to_thread(_ask_patroni, member, "POST", "/restart", {})
        await cluster.whole()
    for words in (("stanza-create",), ("check",), ("--type=full", "backup")):
        await asyncio.to_thread(backups.repository.run, *words)


@asynccontextmanager
async def restored(cluster: Cluster) -> AsyncIterator[None]:
    """Every node of PostgreSQL has lost its data. What was archived up to the end is restored on one of them."""
    for machine in cluster.service_machines:
        for program in PROGRAMS:
            await asyncio.to_thread(cluster.process(machine, program).stop)
    # The primary is the last to stop, and archives what it has written.
    for member in [*cluster.standbys, cluster.primary]:
        await asyncio.to_thread(member.stop)
    for member in cluster.postgres:
        await asyncio.to_thread(run, "find", member.data, "-mindepth", "1", "-delete")
    first, *others = cluster.postgres
    await asyncio.to_thread(first.begin_anew, RESTORING, ARCHIVING)
    cluster.watch.primary = None
    await asyncio.to_thread(first.start)
    await until(partial(_is_primary, cluster, first), seconds=_WITHIN, what="the backup is restored")
    for member in others:
        await asyncio.to_thread(member.start)
    await cluster.whole()
    told = await asyncio.to_thread(cluster.service.run, "restored", "--since", BEGINNING, seconds=120)
    assert "programs may be started" in told, told
    for machine in cluster.service_machines:
        await asyncio.to_thread(cluster.start, machine, *PROGRAMS)
    for machine in cluster.service_machines:
        await cluster.ready(machine)
    yield


async def _is_primary(cluster: Cluster, member: Postgres) -> bool:
    return cluster.watch.primary is member


async def _awaits_restart(member: Postgres) -> bool:
    return bool((await asyncio.to_thread(_ask_patroni, member, "GET", "/patroni", None)).get("pending_restart"))


def _ask_patroni(member: Postgres, method: str, path: str, body: object) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    url = f"http://{member.machine.address}:8008{path}"
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=120) as answer:  # noqa: S310
        said = answer.read().decode()
    found: dict[str, Any] = json.loads(said) if said.startswith("{") else {}
    return found
