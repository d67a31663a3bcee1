"""wrk, the load generator: its command line and its report."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
from attrs import field, frozen

from tests.servers import Process, ServerFailed, plain_environment
from tests.servers.packages import find_wrk

_SCRIPTS: Final = Path(__file__).with_name("load")
_MARK: Final = "REPORT "
# How much longer than told wrk may take: to begin, to hear the last answers, and to sum up.
_TIMEOUT: Final = 30.0

CONNECTIONS: Final = 64


@frozen
class Latencies:
    """How long requests took: shares of them, each with the milliseconds that they took at most."""

    _weighted: tuple[tuple[float, float], ...] = ()

    def __add__(self, other: "Latencies") -> "Latencies":
        return Latencies(self._weighted + other._weighted)

    def percentile(self, percent: float) -> float:
        """In milliseconds; 0 when nothing was measured."""
        ordered = sorted(self._weighted, key=lambda each: each[1])
        # A hair less, so that a sum of shares that is meant to reach a percentile does.
        rank = sum(weight for weight, _ in ordered) * (percent / 100 - 1e-9)
        seen = 0.0
        for weight, milliseconds in ordered:
            seen += weight
            if seen >= rank:
                return milliseconds
        return 0.0

    @classmethod
    def of_shares(cls, shares: Sequence[tuple[float, float]], count: int) -> "Latencies":
        """Of percentages, growing, each with the microseconds within which so many of `count` were answered."""
        weighted, before = [], 0.0
        for share, microseconds in shares:
            weighted.append(((share - before) / 100 * count, microseconds / 1000))
            before = share
        return cls(tuple(weighted))

    @classmethod
    def of_each(cls, milliseconds: Sequence[float]) -> "Latencies":
        return cls(tuple((1.0, each) for each in milliseconds))


@frozen(kw_only=True)
class Load:
    """What a load generator did and heard. `broken` are those that got no answer, which `requests` doesn't count."""

    requests: int
    seconds: float
    refused: int = 0
    broken: int = 0
    latencies: Latencies = field(default=Latencies(), repr=False)
    counted: dict[str, int] = field(factory=dict)

    @property
    def answered(self) -> int:
        """Requests that were answered as they should be."""
        return self.requests - self.refused

    @property
    def accepted(self) -> int:
        """Orders that were; requests where nothing else is asked for."""
        return self.counted.get("placed", self.answered)


class _Report(msgspec.Struct):
    requests: int
    microseconds: int
    refused: int
    broken: int
    late: int
    latencies: list[tuple[float, float]]
    counted: dict[str, int]


def parse(output: str) -> Load:
    """What `report.lua` told. Raise `ServerFailed` when it told nothing."""
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise ServerFailed(f"wrk printed no report; its output ends:\n{output[-2000:]}")
    report = msgspec.json.decode(lines[-1].removeprefix(_MARK), type=_Report)
    if not report.requests:
        raise ServerFailed(f"wrk got no response; is the server running? Its output ends:\n{output[-2000:]}")
    return Load(
        requests=report.requests,
        seconds=report.microseconds / 1e6,
        refused=report.refused,
        broken=report.broken + report.late,
        latencies=Latencies.of_shares(report.latencies, report.requests),
        counted=report.counted,
    )


def run_wrk(  # noqa: PLR0913 - each is a setting, given by name
    script: str,
    *arguments: object,
    url: str,
    seconds: float,
    folder: Path,
    connections: int = CONNECTIONS,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Load:
    """One thread, which is more than enough for one process of Python and leaves the most to the servers."""
    process = Process(
        argv=[
            str(find_wrk()),
            *("--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s"),
            *(f"--header={name}: {value}" for name, value in headers.items()),
            *("--timeout", "15s", "--script", f"{script}.lua", url, "--", *map(str, arguments)),
        ],
        env=plain_environment(),
        log=folder / f"wrk-{secrets.token_hex(4)}.log",
        cwd=_SCRIPTS,
    ).start()
    try:
        status = process.wait(seconds=seconds + _TIMEOUT)
    finally:
        process.kill()
    if status:
        raise ServerFailed(f"wrk ended with {status}:\n{process.tail()}")
    return parse(process.output())
