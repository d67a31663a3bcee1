from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from difflib import get_close_matches
from hashlib import sha256
from io import StringIO
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from attrs import Attribute, field, fields, frozen
from dotenv import dotenv_values
from dotenv.parser import parse_stream

from adapters.codecs.standard_webhooks import SigningKey
from application.ports.rate_limits import Quota
from application.webhooks.destinations import Allowed
from entrypoints.access_format import line_writer
from entrypoints.aliases import switch, translate
from entrypoints.server_parts import compose_urls
from entrypoints.server_urls import AMQP, DATABASE, MANAGEMENT, REDIS, UrlRules, expect_text, is_host, with_password
from entrypoints.setting_values import (
    duration_in,
    expect_collector,
    expect_currency,
    networks_in,
    origins_in,
    quotas_in,
    range_in,
    signing_keys_in,
)
from entrypoints.sqlite_urls import is_sqlite, sqlite_file

PREFIX: Final = "HOLDFAST_"
DATABASE_FILE: Final = "holdfast.db"
# Other software uses these names, too.
_SERVERS: Final = {
    "database_url": "DATABASE_URL",
    "redis_url": "REDIS_URL",
    "amqp_url": "AMQP_URL",
    "otel_exporter_otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
}
_URLS: Final[Mapping[str, UrlRules]] = MappingProxyType(
    {"database_url": DATABASE, "redis_url": REDIS, "amqp_url": AMQP, "amqp_management_url": MANAGEMENT}
)
_PASSWORDS: Final = {"database_url": "database_password", "redis_url": "redis_password", "amqp_url": "amqp_password"}

_RANGES: Final = frozenset({"gateway_delay", "simulated_work"})
_HOSTS: Final = frozenset({"host", "metrics_host", "database_host", "amqp_host"})

# Longer than a transaction: an order is also kept as outdated, for whoever read it before.
_SHORTEST_TTL: Final = timedelta(seconds=15)
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Processes = Annotated[int, msgspec.Meta(ge=1, le=256)]
Bytes = Annotated[int, msgspec.Meta(ge=1, le=2**30)]
Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class InvalidSettings(Exception):
    """The settings are wrong. Each line names a variable, what is wrong with it, and what to write."""


def _setting(default: Any, doc: str, *, secret: bool = False) -> Any:
    """One of the settings. A secret one, such as an address with a password, is not part of `repr`."""
    return field(default=default, metadata={"doc": doc}, repr=not secret)


@frozen(kw_only=True)
class Settings:
    """Every setting, with its default. The environment variable is `HOLDFAST_` and the name in capitals."""

    database_url: str = _setting(
        "",
        "PostgreSQL, as in postgresql://user:password@host/name, or a SQLite file, as in sqlite:///shop.db; by default"
        " the SQLite file of HOLDFAST_SQLITE_FILE",
        secret=True,
    )
    redis_url: str = _setting(
        "",
        "Redis, as in redis://host:6379/0; without it, PostgreSQL is read each time, and on SQLite the caches are in"
        " this process",
        secret=True,
    )
    amqp_url: str = _setting(
        "", "RabbitMQ, as in amqp://user:password@host/; otherwise a broker in this process", secret=True
    )
    database_host: str = _setting("", "host of PostgreSQL: with the next three, in place of DATABASE_URL")
    database_port: Port | None = _setting(None, "port of PostgreSQL; by default 5432")
    database_user: str = _setting("", "user of PostgreSQL")
    database_name: str = _setting("", "name of the database")
    amqp_host: str = _setting("", "host of RabbitMQ: with the next three, in place of AMQP_URL")
    amqp_port: Port | None = _setting(None, "port of RabbitMQ; by default 5672, and 5671 with TLS")
    amqp_user: str = _setting("", "user of RabbitMQ")
    amqp_tls: bool = _setting(
        False,  # noqa: FBT003 - a default, whose name stands before it
        "whether RabbitMQ is reached over TLS: true or false",
    )
    database_password: str = _setting(
        "", "password of the user in DATABASE_URL, as it is: nothing in it needs to be encoded", secret=True
    )
    redis_password: str = _setting("", "password for REDIS_URL, in the same way", secret=True)
    amqp_password: str = _setting("", "password of the user in AMQP_URL, in the same way", secret=True)
    amqp_management_url: str = _setting(
        "",
        "management API of RabbitMQ, as in http://user:password@host:15672: `holdfast doctor` warns of the limits that"
        " it tells, and the console shows unacked messages",
        secret=True,
    )
    data: Path = _setting(Path(".holdfast"), "folder of the SQLite file and of the simulated provider's ledger")
    sqlite_file: Path | None = _setting(
        None, "the SQLite file where DATABASE_URL names no server; by default holdfast.db in the data folder"
    )
    cache_disabled: bool = _setting(
        False,  # noqa: FBT003 - a default, whose name stands before it
        "true: nothing is cached, and REDIS_URL is not used; the same for all processes of a shop",
    )
    order_cache_ttl: timedelta = _setting(
        timedelta(minutes=10), "how long an order stays in Redis after it was written or read; 15s at least"
    )
    accepted_cache_ttl: timedelta = _setting(
        timedelta(days=1),
        "how long an accepted order stays in Redis that is not in the database yet; after that it can't be read before"
        " it is recorded",
    )
    host: str = _setting("127.0.0.1", "address to listen on")
    port: Port = _setting(8000, "port to listen on")
    auth: Literal["required", "open"] | None = _setting(
        None,
        "`required`: callers need an API key; `open`: everybody may do everything; by default open where `holdfast up`"
        " listens on this machine alone, without servers",
    )
    jwt_issuer: str = _setting(
        "",
        "identity provider whose tokens (JWT) are taken, as their claim `iss` says; set with the audience and the keys",
    )
    jwt_audience: str = _setting("", "what the claim `aud` of these tokens must have")
    jwt_keys: str = _setting("", "the identity provider's public keys (JWKS): an address with https://, or a file")
    jwt_user_claim: str = _setting(
        "sub", "claim with the customer's id; a token without this claim acts for the shop, with its scopes"
    )
    jwt_scope_claim: str = _setting("scope", "claim with the scopes: a text with spaces between them, or a list")
    trusted_proxies: str = _setting(
        "",
        "networks of your proxies, as in 10.0.0.0/8,192.0.2.7: what they say in X-Forwarded-For is taken for the"
        " client's address",
    )
    webhook_allow: str = _setting(
        "",
        "networks and ports that webhooks may go to beside https to public addresses at 443 and 8443, as in 10.0.0.0/8,"
        " 127.0.0.1:3000, [fd00::/8]:*, or :9443 for a port of public addresses; to these networks, http is taken, too",
    )
    webhook_signing_keys: str = _setting(
        "",
        "keys that sign webhooks as v1a, as `holdfast webhook-key` makes them, the newest first, separated by commas;"
        " the same for all API and relay processes",
        secret=True,
    )
    rate_limit: str = _setting(
        "50/1s 1000/60s",
        "requests that a customer's key may make: at once, and over time; or `off`. The shop's own keys have no limit",
    )
    namespace: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_-]{1,40}\Z")] = _setting(
        "holdfast",
        "prefix of exchanges, queues and cache keys, of a-z, 0-9, - and _: several shops can share servers",
    )
    intake: Literal["direct", "queued", "auto"] = _setting(
        "direct",
        "where an order is safe when it is answered: `direct`, the database; `queued`, the broker; `auto`, the broker"
        " while the database can't take it (the default where AMQP_URL is set)",
    )
    order_expiry: timedelta = _setting(
        timedelta(minutes=30), "how long a customer has to pay, outages not counted; then the order is EXPIRED"
    )
    stuck_after: timedelta = _setting(
        timedelta(minutes=10), "the request of an order that waits for the worker this long is republished"
    )
    feed_retention: timedelta | None = _setting(
        None, "how long events can be read by their position in the feed, as in 90d; by default for good"
    )
    max_streams: Count = _setting(500, "clients that follow the feed through one API process at once")
    job_retention: timedelta = _setting(timedelta(days=7), "how long a job that has ended can still be looked up")
    allow_reset: bool = _setting(
        False,  # noqa: FBT003 - a default, whose name stands before it
        "true: `POST /admin/reset` may remove all orders, as for trials",
    )
    admin_password: str = _setting(
        "",
        "what X-Admin-Password must have for `POST /admin/seed` and `POST /admin/reset`, instead of an API key",
        secret=True,
    )
    export_retention: timedelta = _setting(
        timedelta(days=1), "how long an export can be downloaded after it was written, and the results of an import"
    )
    key_retention: timedelta | None = _setting(
        None,
        "how long the response to a request with an idempotency key is kept: longer than clients repeat a request; by"
        " default for good",
    )
    request_timeout: timedelta = _setting(timedelta(seconds=10), "deadline of an HTTP request")
    redis_timeout: timedelta = _setting(
        timedelta(seconds=0.1), "how long Redis is waited for; then the service does without it until it answers again"
    )
    shutdown_timeout: timedelta = _setting(timedelta(seconds=10), "how long a stopping process finishes its work")
    cors_origins: tuple[str, ...] = _setting(
        (),
        "pages that may call the API from a browser: their origins, as in https://shop.example, separated by commas;"
        " or * for all",
    )
    max_body: Bytes = _setting(64 * 1024, "largest request body, in bytes")
    max_import: Bytes = _setting(1024**3, "largest file of `POST /imports`, in bytes")
    batch_max: Count = _setting(256, "calls that share one transaction at most; 1 turns batching off")
    batches_in_flight: Count = _setting(2, "batches of one use case that run at once; one on SQLite")
    waiting_max: timedelta = _setting(
        timedelta(seconds=1), "while a call of one use case has waited this long for its turn, more are answered 503"
    )
    api_processes: Processes = _setting(1, "processes that answer HTTP on one port, of `holdfast up`")
    worker_processes: Processes = _setting(1, "worker processes of `holdfast up`")
    pool_size: Count = _setting(10, "database connections of one process")
    max_charges: Count = _setting(
        128, "charges that a worker asks the payment provider for at once, and as many refunds"
    )
    charge_timeout: timedelta = _setting(
        timedelta(seconds=30),
        "how long a worker waits for the payment provider's answer; then it asks again under the same key",
    )
    worker_batches: Count = _setting(2, "batches of one queue that a worker handles at once")
    simulated_work: tuple[float, float] = _setting(
        (0.0, 0.0), "how long a worker takes over each order, for trials: as in 0.3s or 10ms-10s"
    )
    console: bool = _setting(
        True,  # noqa: FBT003 - a default, whose name stands before it
        "whether the API serves the console, the pages under /console for the person on duty: on or off",
    )
    ancestors: bool = _setting(
        True,  # noqa: FBT003 - a default, whose name stands before it
        "whether clients of the systems that came before this one find their requests here: on or off",
    )
    ancestors_create: bool = _setting(
        False,  # noqa: FBT003 - a default, whose name stands before it
        "on: an order for a product by an unknown name adds it, at the price 0 and without stock, if its caller may add"
        " products",
    )
    ancestors_currency: str = _setting(
        "EUR", "currency of prices that clients of those systems send without one, as in EUR, USD or JPY"
    )
    gateway_ledger: Path | None = _setting(
        None, "file of the simulated provider's ledger; by default gateway.db in the data folder"
    )
    gateway_delay: tuple[float, float] = _setting((0.0, 0.0), "how long the simulated provider takes, as in 50ms-200ms")
    gateway_decline_rate: Rate = _setting(0.0, "share of charges that the simulated provider declines")
    gateway_failure_rate: Rate = _setting(0.0, "share of its calls that fail, half of them after charging")
    gateway_seed: int = _setting(0, "what the simulated provider's chance begins with")
    api_key: str = _setting("", "the API key that `holdfast listen` shows to the shop", secret=True)
    cursor_key: str = _setting(
        "",
        "signs the cursors of lists, the same for all API processes; by default it is made from DATABASE_URL",
        secret=True,
    )
    access_log_file: str = _setting("", "file of the access log, or - for standard output; by default there is none")
    access_log_format: str = _setting(
        "common", "line of the access log: common, combined, json, or a text with %(h)s and the like"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "the least that is logged: debug, info, warning or error"
    )
    metrics_host: str = _setting("127.0.0.1", "address on which metrics are served: whoever reaches it may read them")
    metrics_port: Port | None = _setting(
        None,
        "port on which each process serves /metrics for Prometheus; several processes of `holdfast up` take this and"
        " the next ones; that of the API itself needs a key with the scope metrics:read; by default there are no"
        " metrics",
    )
    otel_exporter_otlp_endpoint: str = _setting(
        "",
        "where traces are sent by OTLP over HTTP, as in http://collector:4318; needs the extra holdfast[otel]; by"
        " default there are none",
    )
    trace_ratio: Rate = _setting(
        0.1, "share of requests that are traced, of those whose caller does not say so by a traceparent"
    )
    log_format: Literal["text", "json"] = _setting("text", "how it is logged: text or json")

    @property
    def keys_required(self) -> bool:
        """Whether callers have to say who they are."""
        if self.auth is not None:
            return self.auth == "required"
        return bool(self.database_url) or not _is_loopback(self.host)

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """How many requests a customer's key may make. Without any, there is no limit."""
        return quotas_in(self.rate_limit)

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return networks_in(self.trusted_proxies)

    @property
    def webhooks_allowed(self) -> Allowed:
        return Allowed.of(self.webhook_allow)

    @property
    def signing_keys(self) -> tuple[SigningKey, ...]:
        """The shop's own keys that sign webhooks, the newest first."""
        return signing_keys_in(self.webhook_signing_keys) if self.webhook_signing_keys else ()

    @property
    def database_file(self) -> Path:
        """The SQLite file that is used where DATABASE_URL names no server."""
        return self.sqlite_file or self.data / DATABASE_FILE

    @property
    def cursor_secret(self) -> bytes:
        """The secret that signs the cursors of lists: 32 bytes, the same in all processes with the same database."""
        shared = self.cursor_key or self.database_url or str(self.database_file.resolve())
        # The folder in which the service was started may have a name that is not UTF-8.
        return sha256(b"cursors of " + shared.encode(errors="surrogateescape")).digest()

    @property
    def ledger(self) -> Path:
        return self.gateway_ledger or self.data / "gateway.db"


def variable(attribute: "Attribute[Any]") -> str:
    """The environment variable of a setting."""
    return _SERVERS.get(attribute.name, PREFIX + attribute.name.upper())


def read_settings(environment: Mapping[str, str], **given: object) -> Settings:
    """The settings of an environment. Values `given` on the command line override it.

    Raise `InvalidSettings`, which lists everything that is wrong.
    """
    known = {variable(attribute): attribute for attribute in fields(Settings)}
    translated = translate(environment)

    def written(setting: str) -> str:
        """The variable as a person wrote it."""
        name = _SERVERS.get(setting, PREFIX + setting.upper())
        return translated.written.get(name, name)

    problems = [
        *translated.problems,
        *(_unknown(name, known) for name in environment if name.startswith(PREFIX) and name not in known),
    ]
    values: dict[str, Any] = {}
    # Those that are wrong, too: what goes with them is not wrong for that.
    asked: set[str] = set()
    for name, attribute in known.items():
        said = given.get(attribute.name)
        if said is None:
            said = translated.environment.get(name) or None
        if said is None:
            continue
        asked.add(attribute.name)
        try:
            values[attribute.name] = _taken(attribute, said)
        except ValueError as error:
            problems.append(f"{written(attribute.name)}: {error} ({attribute.metadata['doc']})")
    problems += compose_urls(values, asked, written)
    if "amqp_url" in asked:
        values.setdefault("intake", "auto")
    elif values.get("intake") in {"queued", "auto"}:
        problems.append(
            f"HOLDFAST_INTAKE: {values['intake']} needs a broker that keeps on disk what it is given; set AMQP_URL, or"
            " write direct"
        )
    problems += _name_sqlite_file(values, asked)
    problems += _without_database(asked)
    problems += _half_a_provider(asked)
    problems += _never_answered(values)
    problems += _put_passwords(values, asked, written)
    problems += _without_effect(asked, values, written)
    problems += _of_caches(values, written)
    if values.get("cache_disabled"):
        values.pop("redis_url", None)
    if problems:
        raise InvalidSettings("\n".join(sorted(problems)))
    return msgspec.convert(values, Settings, strict=False, dec_hook=_as_it_is)


def _taken(attribute: "Attribute[Any]", said: object) -> object:
    """Raise `ValueError`."""
    if isinstance(said, str | Path):
        expect_text(str(said))
    parsed = _parse(attribute, said) if isinstance(said, str) else said
    msgspec.convert(parsed, attribute.type, strict=False, dec_hook=_as_it_is)
    return parsed


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


def _without_database(asked: Collection[str]) -> list[str]:
    """What is meant for several processes must not start on SQLite, which only one of them may use."""
    if "database_url" in asked:
        return []
    return [
        f"{_SERVERS[name]}: needs a database that processes can share, and DATABASE_URL names no PostgreSQL server; set"
        f" it, as in {DATABASE.example}, or leave out {_SERVERS[name]}"
        for name in ("redis_url", "amqp_url")
        if name in asked
    ]


def _put_passwords(values: dict[str, object], asked: Collection[str], written: Callable[[str], str]) -> list[str]:
    """Put each password that has a variable of its own into its URL."""
    problems = []
    for url_name, name in _PASSWORDS.items():
        password, url = values.pop(name, None), values.get(url_name)
        if password is None:
            continue
        if url_name not in asked:
            problems.append(f"{written(name)}: goes with {_SERVERS[url_name]}, which names no server")
        elif url is not None:
            try:
                values[url_name] = with_password(str(url), str(password), _URLS[url_name])
            except ValueError as error:
                problems.append(f"{written(name)}: {error}")
    return problems


def _of_caches(values: Mapping[str, object], written: Callable[[str], str]) -> list[str]:
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


def _without_effect(asked: Collection[str], values: Mapping[str, object], written: Callable[[str], str]) -> list[str]:
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


def environment_and_file(environment: Mapping[str, str], file: Path = Path(".env")) -> dict[str, str]:
    """The environment over the values of a `.env` file. Raise `InvalidSettings`."""
    try:
        # A folder of this name is somebody's virtual environment.
        if not file.is_file():
            return dict(environment)
        # Editors on Windows begin a file with a mark of its encoding.
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidSettings(f"{file}: line {line} is no text in UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise InvalidSettings(f"{file}: can't be read: {error.strerror}") from None
    wrong = [binding.original.line for binding in parse_stream(StringIO(text)) if binding.error]
    if wrong:
        raise InvalidSettings("\n".join(f"{file}: line {line} can't be read; write NAME=value" for line in wrong))
    said = {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}
    return {**said, **environment}


def _parse(attribute: "Attribute[Any]", text: str) -> object:
    _check(attribute.name, text)
    if attribute.type in {timedelta, timedelta | None}:
        return duration_in(text)
    if attribute.type is bool:
        return switch(text)
    if attribute.type in {Path, Path | None}:
        return Path(text)
    if attribute.name == "cors_origins":
        return origins_in(text)
    if attribute.name in _RANGES:
        return range_in(text)
    return text


# Settings that are kept as text, each with what reads it.
_NOTATIONS: Final[Mapping[str, Callable[[str], object]]] = MappingProxyType(
    {
        "rate_limit": quotas_in,
        "ancestors_currency": expect_currency,
        "trusted_proxies": networks_in,
        "webhook_allow": Allowed.of,
        "webhook_signing_keys": signing_keys_in,
        "access_log_format": line_writer,
    }
)


def _check(setting: str, text: str) -> None:
    """Raise `ValueError` for a text that its type alone would let through."""
    if setting == "database_url" and is_sqlite(text):
        sqlite_file(text)
    elif setting in _URLS:
        _URLS[setting].read(text)
    elif setting == "otel_exporter_otlp_endpoint":
        expect_collector(text)
    elif setting in _HOSTS and not is_host(text):
        raise ValueError(f"{text!r} is neither a host name nor an IP address")
    elif setting in _NOTATIONS:
        _NOTATIONS[setting](text)


_PROVIDER: Final = ("jwt_issuer", "jwt_audience", "jwt_keys")


def _half_a_provider(asked: Collection[str]) -> list[str]:
    missing = [PREFIX + name.upper() for name in _PROVIDER if name not in asked]
    if not missing or len(missing) == len(_PROVIDER):
        return []
    return [f"{name}: is needed for the tokens of an identity provider, too; set all three" for name in missing]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unknown(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"{name}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "")


def _as_it_is(expected: type, value: object) -> object:
    """For msgspec, which knows no paths."""
    if not isinstance(value, expected):
        raise NotImplementedError(expected)
    return value
