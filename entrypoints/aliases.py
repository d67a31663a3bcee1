"""Settings of other systems that are taken for ours, so that whoever comes from there keeps them.

`docs/coming-from.md` has the table for people. An alias works as the setting that it stands for, or it is refused.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def switch(text: str) -> bool:
    """Raise `ValueError`."""
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(f"{text[:40]!r} is neither true nor false")
    return text.lower() in _TRUE


def _as_it_is(text: str) -> str:
    return text


def _in_seconds(text: str) -> str:
    """A bare number counts seconds there; ours has its unit."""
    return f"{text}s" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII) else text


def _as_switch(text: str) -> str:
    """One way of writing for each, so that `1` and `true` are no conflict."""
    return str(switch(text)).lower() if text.lower() in _TRUE | _FALSE else text


@frozen
class Alias:
    """The setting that it stands for, and how its value is written there."""

    name: str
    converted: Callable[[str], str] = field(default=_as_it_is)


ALIASES: Final[Mapping[str, Alias]] = MappingProxyType(
    {
        "DB_USER": Alias("HOLDFAST_DATABASE_USER"),
        "DB_PASS": Alias("HOLDFAST_DATABASE_PASSWORD"),
        "DB_HOST": Alias("HOLDFAST_DATABASE_HOST"),
        "DB_PORT": Alias("HOLDFAST_DATABASE_PORT"),
        "DB_NAME": Alias("HOLDFAST_DATABASE_NAME"),
        "RABBITMQ_URL": Alias("AMQP_URL"),
        "RABBITMQ_HOST": Alias("HOLDFAST_AMQP_HOST"),
        "RABBITMQ_PORT": Alias("HOLDFAST_AMQP_PORT"),
        "RABBITMQ_USER": Alias("HOLDFAST_AMQP_USER"),
        "RABBITMQ_PASSWORD": Alias("HOLDFAST_AMQP_PASSWORD"),
        "RABBITMQ_QUEUE_NAME": Alias("HOLDFAST_NAMESPACE"),
        "QUEUE_NAME": Alias("HOLDFAST_NAMESPACE"),
        "MQ_USE_SSL": Alias("HOLDFAST_AMQP_TLS", _as_switch),
        "API_WORKERS": Alias("HOLDFAST_API_PROCESSES"),
        "WORKER_COUNT": Alias("HOLDFAST_WORKER_PROCESSES"),
        "ADMIN_PASSWORD": Alias("HOLDFAST_ADMIN_PASSWORD"),
        "ACCESS_LOG_FILE": Alias("HOLDFAST_ACCESS_LOG_FILE"),
        "ACCESS_LOG_FORMAT": Alias("HOLDFAST_ACCESS_LOG_FORMAT"),
        "ORDERS_CACHE_TTL": Alias("HOLDFAST_ORDER_CACHE_TTL", _in_seconds),
        "TEMP_ORDER_CACHE_TTL": Alias("HOLDFAST_ACCEPTED_CACHE_TTL", _in_seconds),
        "CACHE_DISABLED": Alias("HOLDFAST_CACHE_DISABLED", _as_switch),
    }
)


# Those that stand for nothing here, each with what to do instead.
REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {"API_THREADS": "an API process has no threads to count, and answers many requests at once; leave it out"}
)


@frozen
class Translated:
    """An environment in which every alias has its name of ours, and what people wrote instead of that name."""

    environment: Mapping[str, str]
    written: Mapping[str, str]
    problems: list[str]


def translate(environment: Mapping[str, str]) -> Translated:
    """Take aliases for settings of ours. Two that say different things are a problem, which names both."""
    ours, written = dict(environment), dict[str, str]()
    problems = [f"{name}: {advice}" for name, advice in REFUSED.items() if environment.get(name)]
    for name, alias in ALIASES.items():
        if not environment.get(name):
            continue
        said, first = alias.converted(environment[name]), written.get(alias.name, alias.name)
        # An empty variable says nothing.
        if (known := ours.get(alias.name)) and alias.converted(known) != said:
            problems.append(f"{name}: {first} says something else, and both mean the same; leave out one of the two")
        elif not known:
            ours[alias.name], written[alias.name] = said, name
    return Translated(ours, written, problems)


def aliases_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The aliases that are set, each with the setting that it is taken for."""
    return {name: alias.name for name, alias in ALIASES.items() if environment.get(name)}
