"""What the machines of the cluster need: root, namespaces, Debian's servers, and Patroni."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.servers import ServerMissing
from tests.servers.packages import find_or_install

ROOT: Final = Path(__file__).parents[4]
REQUIREMENTS: Final = ROOT / "requirements" / "cluster.txt"
_SERVERS: Final = (
    *("PostgreSQL", "Redis", "RabbitMQ", "etcd", "HAProxy", "pgBackRest"),
    *("nftables", "iproute2", "util-linux", "openssl"),
)
# The namespaces in which a run happens. The processes end with the first of them, and all else with the last.
UNSHARE: Final = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def find_patroni(say: Callable[[str], None]) -> Path:
    """Get everything ready, and return Patroni's program. Raise `ServerMissing`, with what to do."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise ServerMissing("only root can make the network namespaces that are the machines, and only on Linux")
    for server in _SERVERS:
        find_or_install(server, say)
    tried = subprocess.run([*UNSHARE, "ip", "netns", "list"], capture_output=True, text=True, timeout=60, check=False)
    if tried.returncode:
        raise ServerMissing(
            f"namespaces can't be made here ({tried.stderr.strip()}); in a container, it has to be a privileged one"
        )
    return _install_patroni(say)


def _install_patroni(say: Callable[[str], None]) -> Path:
    environment = ROOT / ".venv-cluster"
    patroni, mark = environment / "bin" / "patroni", environment / ".holdfast"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == wanted and patroni.exists():
        return patroni
    say(f"installing Patroni for the tests into {environment}")
    shutil.rmtree(environment, ignore_errors=True)
    uv = Path(sys.executable).with_name("uv")
    _uv(uv, "venv", "--quiet", "--python", sys.executable, str(environment))
    _uv(uv, "pip", "sync", "--quiet", "--python", str(environment), "--require-hashes", str(REQUIREMENTS))
    mark.write_text(wanted)
    return patroni


def _uv(*argv: object) -> None:
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise ServerMissing(
            f"Patroni can't be installed from {REQUIREMENTS.relative_to(ROOT)}; this needs a network, or a package"
            f" index that UV_DEFAULT_INDEX names: {done.stderr.strip()[-500:]}"
        )
