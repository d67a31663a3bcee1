"""Where the servers' programs are on this machine, and how they get there."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final


class ServerMissing(Exception):
    """A server is not installed; the message says how to get it."""


_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_one_installation_at_a_time: Final = threading.Lock()

# What a server is called here, and the package of Debian that brings it.
PACKAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PostgreSQL": "postgresql",
        "Redis": "redis-server",
        "RabbitMQ": "rabbitmq-server",
        "nginx": "nginx",
        "curl": "curl",
        "libfaketime": "faketime",
        "openssl": "openssl",
        "wrk": "wrk",
        "Prometheus": "prometheus",
        "etcd": "etcd-server",
        "HAProxy": "haproxy",
        "nftables": "nftables",
        "iproute2": "iproute2",
        "util-linux": "util-linux",
        "Chromium": "chromium-headless-shell",
        "PgBouncer": "pgbouncer",
        "pgBackRest": "pgbackrest",
    }
)


def _missing(name: str) -> ServerMissing:
    package = PACKAGES[name]
    return ServerMissing(f"{name} is not installed; on Debian: apt-get install {package}")


def find_postgres() -> Path:
    """The folder with `initdb` and `postgres`, of the newest version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("postgres")
    folders = [folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists()]
    if folders:
        return folders[-1]
    if on_path:
        return Path(on_path).parent
    raise _missing("PostgreSQL")


def find_redis() -> Path:
    if program := shutil.which("redis-server"):
        return Path(program)
    raise _missing("Redis")


def find_rabbitmq() -> Path:
    """The folder with `rabbitmq-server` and `rabbitmqctl`."""
    # Debian's wrapper in /usr/sbin changes the user: the scripts behind it come first.
    behind = Path("/usr/lib/rabbitmq/bin")
    if (behind / "rabbitmq-server").exists():
        return behind
    if program := shutil.which("rabbitmq-server"):
        return Path(program).parent
    raise _missing("RabbitMQ")


def find_nginx() -> Path:
    return _on_path("nginx", "nginx")


def find_curl() -> Path:
    """The container's health checks call it."""
    if program := shutil.which("curl"):
        return Path(program)
    raise _missing("curl")


def find_faketime() -> Path:
    """The library that gives a process another time."""
    for library in sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")):
        return library
    raise _missing("libfaketime")


def find_openssl() -> Path:
    """Makes the certificates of servers with TLS."""
    if program := shutil.which("openssl"):
        return Path(program)
    raise _missing("openssl")


def find_wrk() -> Path:
    """The benchmarks' load generator."""
    if program := shutil.which("wrk"):
        return Path(program)
    raise _missing("wrk")


def find_prometheus() -> Path:
    """The folder with `prometheus` and `promtool`."""
    if shutil.which("prometheus") and (program := shutil.which("promtool")):
        return Path(program).parent
    raise _missing("Prometheus")


def find_etcd() -> Path:
    return _on_path("etcd", "etcd")


def find_haproxy() -> Path:
    return _on_path("HAProxy", "haproxy")


def find_nft() -> Path:
    """Drops packets between machines that are kept apart."""
    return _on_path("nftables", "nft")


def find_ip() -> Path:
    """Makes network namespaces."""
    return _on_path("iproute2", "ip")


def find_unshare() -> Path:
    return _on_path("util-linux", "unshare")


def find_chromium() -> Path:
    """The browser in which the console is tried. Without a part for windows, it takes half of the processor time."""
    return _on_path("Chromium", "chromium-headless-shell", "chromium")


def find_pgbouncer() -> Path:
    return _on_path("PgBouncer", "pgbouncer")


def find_pgbackrest() -> Path:
    return _on_path("pgBackRest", "pgbackrest")


def _on_path(name: str, *programs: str) -> Path:
    """The first of the programs that there is."""
    # The folders of root's programs may not be on the PATH.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    for program in programs:
        if found := shutil.which(program, path=path):
            return Path(found)
    raise _missing(name)


FINDERS: Final[Mapping[str, Callable[[], Path]]] = MappingProxyType(
    {
        "PostgreSQL": find_postgres,
        "Redis": find_redis,
        "RabbitMQ": find_rabbitmq,
        "nginx": find_nginx,
        "curl": find_curl,
        "libfaketime": find_faketime,
        "openssl": find_openssl,
        "wrk": find_wrk,
        "Prometheus": find_prometheus,
        "etcd": find_etcd,
        "HAProxy": find_haproxy,
        "nftables": find_nft,
        "iproute2": find_ip,
        "util-linux": find_unshare,
        "Chromium": find_chromium,
        "PgBouncer": find_pgbouncer,
        "pgBackRest": find_pgbackrest,
    }
)


def _apt(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        raise ServerMissing(f"apt-get {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")


def _install(package: str) -> None:
    ours = not _POLICY.exists()
    if ours:
        # Packages ask here whether they may start their service; the tests start their own.
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        try:
            _apt("install", "-y", "--no-install-recommends", package)
        except ServerMissing:
            # A fresh image has no lists of packages, or old ones.
            _apt("update")
            _apt("install", "-y", "--no-install-recommends", package)
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)


def find_or_install(name: str, say: Callable[[str], None]) -> Path:
    """Raise `ServerMissing` where it is not installed and can't be: only root installs, and only with apt."""
    with _one_installation_at_a_time:
        try:
            return FINDERS[name]()
        except ServerMissing as missing:
            if os.geteuid() != 0 or not shutil.which("apt-get"):
                raise
            say(f"installing {name} for the tests: apt-get install {PACKAGES[name]}")
            try:
                _install(PACKAGES[name])
                return FINDERS[name]()
            except (ServerMissing, OSError, subprocess.SubprocessError) as failure:
                raise ServerMissing(f"{missing}; tried here, and: {failure}") from None
