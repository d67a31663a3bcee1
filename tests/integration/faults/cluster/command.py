"""`./dev faults --cluster`: gets everything ready, and runs the rows in namespaces that end with it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console

from tests.dev_command import WrongArguments
from tests.integration.faults.cluster.needs import ROOT, UNSHARE, find_patroni
from tests.integration.faults.cluster.row import Row
from tests.integration.faults.cluster.rows import ROWS
from tests.servers import ServerMissing
from tests.servers.process import make_folder, remove_folder

_INSIDE: Final = "tests.integration.faults.cluster.inside"


def list_rows(keyword: str) -> bool:
    console = Console(highlight=False, soft_wrap=True)
    for row in chosen(keyword):
        console.print(row.title, markup=False)
    return True


def chosen(keyword: str) -> Sequence[Row]:
    words = keyword.lower().split()
    found = [row for row in ROWS if all(word in f"{row.title} {row.id}".lower() for word in words)]
    if not found:
        raise WrongArguments(f"no row has all of these words: {keyword}; --cluster --list prints all rows")
    return found


def try_rows(keyword: str) -> bool:
    """True if every row was tried and did no harm."""
    rows = chosen(keyword)
    console = Console(highlight=False, soft_wrap=True)
    try:
        patroni = find_patroni(console.print)
    except ServerMissing as missing:
        console.print(f"NOT RUN, none of {len(rows)} rows: {missing}", markup=False)
        return False
    folder = make_folder("cluster")
    inside = subprocess.Popen(
        [*UNSHARE, sys.executable, "-m", _INSIDE, str(folder), str(patroni), keyword],
        cwd=ROOT,
        # What is installed for root may not be on the path of whoever became root.
        env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
    )
    try:
        return inside.wait() == 0
    finally:
        # All that runs in the namespaces is killed with it, and they are gone with the last of it.
        inside.kill()
        inside.wait()
        remove_folder(folder)
