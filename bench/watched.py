"""Holdfast with metrics, and with traces of which none is sampled, to measure what both cost.

`python -m bench.watched COMMAND` is `holdfast COMMAND`. Each program serves its metrics on a port of its own.
"""

import os
import socket
import sys
from typing import Final

from entrypoints.cli.main import main

# Nobody listens there: nothing is sent, since nothing is sampled.
_COLLECTOR: Final = "http://127.0.0.1:9"
_PROGRAMS: Final = frozenset({"api", "worker", "relay", "up"})


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


if __name__ == "__main__":
    if _PROGRAMS & set(sys.argv):
        os.environ |= {
            "HOLDFAST_METRICS_PORT": str(_free_port()),
            "OTEL_EXPORTER_OTLP_ENDPOINT": _COLLECTOR,
            "HOLDFAST_TRACE_RATIO": "0",
        }
    main()
