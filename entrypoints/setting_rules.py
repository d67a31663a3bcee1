"""What settings have to do with each other. Each rule returns what is wrong, a line for a variable."""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from attrs import fields

from entrypoints.server_urls import AMQP, DATABASE, MANAGEMENT, REDIS, UrlRules, with_password
from entrypoints.settings import PREFIX, Settings, variable
from entrypoints.sqlite_urls import is_sqlite, sqlite_file

URLS: Final[Mapping[str, UrlRules]] = MappingProxyType(
    {"database_url": DATABASE, "redis_url": REDIS, "amqp_url": AMQP, "amqp_management_url": MANAGEMENT}
)
_PASSWORDS: Final = {"database_url": "database_password", "redis_url": "redis_password", "amqp_url": "amqp_password"}
_PROVIDER: Final = ("jwt_issuer", "jwt_audience", "jwt_keys")
# Longer than a transaction: an order is also kept as outdated, for whoever read it before.
_SHORTEST_TTL: Final = timedelta(seconds=15)

Written = Callable[[str], str]


def broken_rules(values: dict[str, object], asked: set[str], written: Written) -> list[str]:
    """Return what is wrong. `asked` are the settings that somebody has given, and `written` the variables of these.

    What follows from a setting is put into the values: the file of a SQLite URL, a password into its URL.
    """
    return [
        *_intake(values, asked),
        *_name_sqlite_file(values, asked),
        *_without_database(asked, written),
        *_half_a_provider(asked),
        *_never_answered(values),
        *_put_passwords(values, asked, written),
        *_without_effect(asked, values, written),
        *_of_caches(values, written),
    ]


def _intake(values: dict[str, object], asked: Collection[str]) -> list[str]:
    if "amqp_url" in asked:
        values.setdefault("intake", "auto")
    elif values.get("intake") in {"queued", "auto"}:
        needed = "needs a broker that keeps on disk what it is given; set AMQP_URL, or write direct"
        return [f"HOLDFAST_INTAKE: {values['intake']} {needed}"]
    return []


def _name_sqlite_file(values: dict[str, object], asked: set[str]) -> list[str]:
    """Take a SQLite file that DATABASE_URL names for the setting of its own."""
    url = str(values.get("database_url", ""))
    if not is_sqlite(url):
        if "database_url" in values and "sqlite_file" in values:
            return [f"{PREFIX}SQLITE_FILE: DATABASE_URL names a server; leave out one of the two"]
        return []
    del values["database_url"]
    asked.remove("database_url")
    file = sqlite_file(url)
    if values.setdefault("sqlite_file", file) != file:
        return [f"{PREFIX}SQLITE_FILE: DATABASE_URL names another file; leave out one of the two"]
    return []


def _never_answered(values: Mapping[str, object]) -> list[str]:
    """What is simulated must not take longer than it is waited for."""
    problems = []
    for name, limit, otherwise in (
        ("gateway_delay", "charge_timeout", "no charge would ever be answered"),
        ("simulated_work", "stuck_after", "each order would be taken for a lost one meanwhile"),
    ):
        delay, timeout = values.get(name), values.get(limit, getattr(fields(Settings), limit).default)
        if isinstance(delay, tuple) and isinstance(timeout, timedelta) and delay[1] >= timeout.total_seconds():
            least = f"is not below {PREFIX}{limit.upper()}, which is {timeout.total_seconds():g} s"
            problems.append(f"{PREFIX}{name.upper()}: {delay[1]:g} s {least}: {otherwise}")
    return problems


def _without_database(asked: Collection[str], written: Written) -> list[str]:
    """What is meant for several processes must not start on SQLite, which only one of them may use."""
    if "database_url" in asked:
        return []
    # A URL that was made of parts is named by its host, which is what somebody has written.
    given = ("redis_url", "amqp_host" if "amqp_host" in asked else "amqp_url")
    return [
        f"{written(name)}: needs a database that processes can share, and DATABASE_URL names no PostgreSQL server; set"
        f" it, as in {DATABASE.example}, or leave out {written(name)}"
        for name in given
        if name in asked
    ]


def _put_passwords(values: dict[str, object], asked: Collection[str], written: Written) -> list[str]:
    """Put each password that has a variable of its own into its URL."""
    problems = []
    for url_name, name in _PASSWORDS.items():
        password, url = values.pop(name, None), values.get(url_name)
        if password is None:
            continue
        if url_name not in asked:
            problems.append(f"{written(name)}: goes with {variable(url_name)}, which names no server")
        elif url is not None:
            try:
                values[url_name] = with_password(str(url), str(password), URLS[url_name])
            except ValueError as error:
                problems.append(f"{written(name)}: {error}")
    return problems


def _of_caches(values: Mapping[str, object], written: Written) -> list[str]:
    """Redis must not keep an order for a shorter time than a transaction takes."""
    problems = []
    for name in ("order_cache_ttl", "accepted_cache_ttl"):
        ttl = values.get(name)
        if isinstance(ttl, timedelta) and ttl < _SHORTEST_TTL:
            problems.append(
                f"{written(name)}: is below {_SHORTEST_TTL.total_seconds():g}s, and a slow process could put an older"
                " version back; to cache nothing, set HOLDFAST_CACHE_DISABLED=true"
            )
    return problems


def _without_effect(asked: Collection[str], values: Mapping[str, object], written: Written) -> list[str]:
    """A setting that would change nothing is refused, not overlooked."""
    needed = {"access_log_format": "access_log_file", "metrics_host": "metrics_port", "amqp_management_url": "amqp_url"}
    needed |= {"trace_ratio": "otel_exporter_otlp_endpoint", "redis_timeout": "redis_url"}
    if not values.get("cache_disabled"):
        needed |= {"order_cache_ttl": "redis_url", "accepted_cache_ttl": "redis_url"}
    problems = [
        f"{written(name)}: goes with {written(other)}, which is not set; leave it out"
        for name, other in needed.items()
        if name in asked and other not in asked
    ]
    # As they were written, which is a text or a number.
    ports = [str(values.get(name, getattr(fields(Settings), name).default)) for name in ("metrics_port", "port")]
    if "metrics_host" in asked and ports[0] == ports[1]:
        problems.append(
            f"{written('metrics_host')}: has no effect where the API serves the metrics on its own port; leave it out"
        )
    if values.get("ancestors") is False:
        problems += [
            f"{written(name)}: has no effect while HOLDFAST_ANCESTORS is off; leave it out"
            for name in ("ancestors_create", "ancestors_currency")
            if name in asked
        ]
    return problems


def _half_a_provider(asked: Collection[str]) -> list[str]:
    missing = [PREFIX + name.upper() for name in _PROVIDER if name not in asked]
    if not missing or len(missing) == len(_PROVIDER):
        return []
    return [f"{name}: is needed for the tokens of an identity provider, too; set all three" for name in missing]
