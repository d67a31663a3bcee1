"""`./dev faults`: break servers and processes under load."""

from typing import Annotated, Final

from cyclopts import Parameter

from tests.dev_command import Count, run_command
from tests.integration.faults.alerts.command import list_rows as list_alerts
from tests.integration.faults.alerts.command import try_rows as try_alerts
from tests.integration.faults.cluster.command import list_rows, try_rows
from tests.integration.faults.command import list_faults, try_faults

_ABOUT: Final = """
Start private servers, break them and the processes that use them under load, and print the results.

With --cluster, the servers are a cluster of three machines, which are network namespaces on a bridge, and the processes
run on two more: root only.

Exit codes: 0, no fault did harm; 1, a fault did harm, or could not be tried; 2, wrong arguments.
"""


def faults(
    *,
    keyword: Annotated[
        str, Parameter(name=["--keyword", "-k"], help="Only faults whose name has all these words.")
    ] = "",
    only_list: Annotated[bool, Parameter(name="--list", help="Only print the names.", negative="")] = False,
    alerts: Annotated[
        bool, Parameter(help="Which alerts do the faults fire in a real Prometheus, and which not?", negative="")
    ] = False,
    cluster: Annotated[
        bool, Parameter(help="Break a cluster instead: kill, cut off, restart its nodes.", negative="")
    ] = False,
    houses: Annotated[Count, Parameter(help="Faults that are tried at once, each on servers of its own.")] = 3,
) -> bool:
    if alerts:
        return list_alerts(keyword) if only_list else try_alerts(keyword)
    if cluster:
        return list_rows(keyword) if only_list else try_rows(keyword)
    return list_faults(keyword) if only_list else try_faults(keyword, houses=houses)


if __name__ == "__main__":
    run_command("faults", faults, about=_ABOUT)
