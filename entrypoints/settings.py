from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from attrs import field, frozen

from adapters.codecs.standard_webhooks import SigningKey
from application.ports.rate_limits import Quota
from application.webhooks.destinations import Allowed
from entrypoints.setting_values import networks_in, quotas_in, signing_keys_in

PREFIX: Final = "HOLDFAST_"
DATABASE_FILE: Final = "holdfast.db"
# Other software uses these names, too.
_SERVERS: Final = {
    "database_url": "DATABASE_URL",
    "redis_url": "REDIS_URL",
    "amqp_url": "AMQP_URL",
    "otel_exporter_otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
}

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


def variable(setting: str) -> str:
    """The environment variable of a setting."""
    return _SERVERS.get(setting, PREFIX + setting.upper())


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
