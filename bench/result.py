"""The result of a scenario, as it is printed, stored and plotted."""

from typing import Any, Final

import msgspec
from msgspec import Struct, field

KEPT: Final = "kept"


class Aim(Struct, frozen=True):
    """Something that was to be reached."""

    aim: str
    measured: str
    reached: bool


class Peer(Struct, frozen=True):
    """Another system's figure. It was measured earlier, and is what that comes to on this machine."""

    name: str
    per_s: float
    source: str


class Machine(Struct, frozen=True):
    cores: int
    memory_gb: float
    system: str
    versions: dict[str, str]


class Result(Struct, frozen=True, kw_only=True):
    """Rates are orders a second, or requests where a scenario only reads. None stands for what was not measured."""

    scenario: str
    about: str
    """What is done in it."""
    seconds: float
    orders: int
    """What was filled in before."""
    accepted_per_s: float | None
    completed_per_s: float
    ceiling_per_s: float | None
    ratio_to_ceiling: float | None
    unbatched_per_s: float | None
    ratio_to_unbatched: float | None
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    refused_or_broken: int
    cpu_ms_per_order: dict[str, float]
    cores_busy: dict[str, float]
    memory_mb: dict[str, float]
    figures: dict[str, float | str | None] = field(default_factory=dict)
    """What this scenario alone measures."""
    invariants: str
    """`kept`, or what broke."""
    reach: list[Aim] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    machine: Machine | None = None

    @property
    def name(self) -> str:
        """One scenario can be played on many orders as well."""
        return f"{self.scenario}-{self.orders}" if "with_few_orders_per_s" in self.figures else self.scenario

    @property
    def kept(self) -> bool:
        return self.invariants == KEPT


def ratio(value: float, to: float | None) -> float | None:
    return value / to if to else None


def rounded(value: Any) -> Any:
    """Four figures are more than any measurement is worth; counts stay what they are."""
    match value:
        case float():
            return float(f"{value:.4g}")
        case dict():
            return {key: rounded(each) for key, each in value.items()}
        case list():
            return [rounded(each) for each in value]
        case _:
            return value


def encode(result: Result) -> str:
    """One line of JSON."""
    return msgspec.json.encode(rounded(msgspec.to_builtins(result))).decode()
