"""The URL of a server, put together from a variable for each of its parts."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from attrs import frozen

from entrypoints.server_urls import AMQP, DATABASE, UrlRules, decoded
from entrypoints.sqlite_urls import is_sqlite


@frozen(kw_only=True)
class Server:
    """A server whose URL has parts. `needed` are those without which there is no URL, beside its host."""

    url: str
    variable: str
    rules: UrlRules
    # The setting of each part, beside that of the password.
    host: str
    port: str
    user: str
    others: tuple[str, ...]
    needed: tuple[str, ...]
    composed: Callable[[Mapping[str, Any]], str]
    # What a whole URL says of each part.
    found: Callable[[Mapping[str, Any]], Mapping[str, Any]]

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.host, self.port, self.user, *self.others)


def _authority(user: object, host: object, port: object) -> str:
    # An IPv6 address has colons of its own.
    place = f"[{host}]" if ":" in str(host) else str(host)
    return f"{quote(str(user), safe='') + '@' if user else ''}{place}{f':{port}' if port else ''}"


def _database(parts: Mapping[str, Any]) -> str:
    where = _authority(parts.get("database_user"), parts["database_host"], parts.get("database_port"))
    return f"postgresql://{where}/{quote(parts['database_name'], safe='')}"


def _broker(parts: Mapping[str, Any]) -> str:
    where = _authority(parts.get("amqp_user"), parts["amqp_host"], parts.get("amqp_port"))
    return f"{'amqps' if parts.get('amqp_tls') else 'amqp'}://{where}/"


_DATABASE: Final = Server(
    url="database_url",
    variable="DATABASE_URL",
    rules=DATABASE,
    host="database_host",
    port="database_port",
    user="database_user",
    others=("database_name",),
    needed=("database_name",),
    composed=_database,
    found=lambda url: {"database_name": decoded(url["path"] or "")},
)
_BROKER: Final = Server(
    url="amqp_url",
    variable="AMQP_URL",
    rules=AMQP,
    host="amqp_host",
    port="amqp_port",
    user="amqp_user",
    others=("amqp_tls",),
    needed=(),
    composed=_broker,
    found=lambda url: {"amqp_tls": url["scheme"] == "amqps"},
)
_DEFAULT_PORTS: Final = MappingProxyType({"postgresql": 5432, "postgres": 5432, "amqp": 5672, "amqps": 5671})


def compose_urls(values: dict[str, Any], asked: set[str], shown: Callable[[str], str]) -> list[str]:
    """Make URLs of parts, and take the parts out of the values. Return what is wrong; `shown` names a setting."""
    return [problem for server in (_DATABASE, _BROKER) for problem in _compose(server, values, asked, shown)]


def _compose(server: Server, values: dict[str, Any], asked: set[str], shown: Callable[[str], str]) -> list[str]:
    named = [part for part in server.parts if part in asked]
    parts = {part: values.pop(part) for part in server.parts if part in values}
    if server.url in asked:
        return _conflicts(server, values.get(server.url), parts, shown)
    if not named:
        return []
    if server.host not in asked:
        return [
            f"{shown(part)}: goes with {shown(server.host)} or {server.variable}, which is not set" for part in named
        ]
    missing = [part for part in server.needed if part not in asked]
    if missing:
        return [f"{shown(part)}: not set; {shown(server.host)} needs it" for part in missing]
    asked.add(server.url)
    # A part that is wrong has been told.
    if len(parts) == len(named):
        values[server.url] = server.composed(parts)
    return []


def _conflicts(server: Server, url: str | None, parts: Mapping[str, Any], shown: Callable[[str], str]) -> list[str]:
    """A part beside a whole URL has to say the same."""
    if url is None or not parts:
        return []
    if is_sqlite(url):
        return [f"{shown(part)}: DATABASE_URL names a SQLite file; leave out one of the two" for part in parts]
    whole = server.rules.read(url)
    found = {
        server.host: whole["host"].strip("[]"),
        server.port: str(int(whole["port"] or _DEFAULT_PORTS[whole["scheme"].partition("+")[0]])),
        server.user: decoded(whole["user"] or ""),
        **server.found(whole.groupdict()),
    }
    return [
        f"{shown(part)}: {shown(server.url)} says something else; leave out one of the two"
        for part, value in parts.items()
        if (value if isinstance(value, bool) else str(value)) != found[part]
    ]
