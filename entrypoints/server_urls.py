"""The URLs of the servers: what each of them may say, and how a password gets into one.

Each driver reads a URL in its own way: one ignores an unknown option, another one fails with it in the middle of the
work. So a URL is read here first, strictly, and no driver gets one that it would refuse.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote

from attrs import frozen

# What RFC 3986 allows in a part, without `@`: that may only end the password.
_CHARACTER: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_HOST: Final = r"(?:\[[^\[\]@/?#]*\]|[^\[\]@/?#:,]*)"
_URL: Final = re.compile(
    r"(?P<scheme>[a-z0-9+]+)://"
    rf"(?:(?P<user>{_CHARACTER}*)(?::(?P<password>(?:{_CHARACTER}|:)*))?@)?"
    rf"(?P<host>{_HOST})(?::(?P<port>[0-9]+))?"
    rf"(?P<others>(?:,{_HOST}(?::[0-9]+)?)*)"
    rf"(?:/(?P<path>(?:{_CHARACTER}|[:/])*))?"
    rf"(?:\?(?P<query>(?:{_CHARACTER}|[:/?])*))?"
)
_SCHEME: Final = re.compile(r"([A-Za-z0-9+.-]{1,20})://")
_HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_LONGEST_PORT: Final = 65535
_LONGEST_VIRTUAL_HOST: Final = 255


@frozen(kw_only=True)
class _Option:
    """An option of a URL: what its value is, in words and as a rule."""

    value: str
    allows: Callable[[str], bool]
    only_tls: bool = False


# Another host and its port.
_PLACE: Final = re.compile(rf",({_HOST})(?::([0-9]+))?")


def _one_of(*values: str, only_tls: bool = False) -> _Option:
    return _Option(value=" or ".join(values), allows=frozenset(values).__contains__, only_tls=only_tls)


def _is_readable(name: str) -> bool:
    try:
        with Path(name).open("rb"):
            return True
    except OSError:
        return False


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:
        return False


_TEXT: Final = _Option(value="a text", allows=bool)
_SECRET_OF_TLS: Final = _Option(value="a text", allows=bool, only_tls=True)
_FILE: Final = _Option(value="a file that can be read", allows=_is_readable, only_tls=True)
_CERTIFICATE: Final = _Option(value="a file that can be read", allows=_is_readable)
_FOLDER: Final = _Option(value="a folder", allows=_is_folder, only_tls=True)
_SSL_MODE: Final = _one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def _names_a_host(query: str) -> bool:
    return any(pair.startswith("host=") for pair in query.split("&"))


def _any_path(_: str) -> str | None:
    return None


def _number_of_redis(path: str) -> str | None:
    if path and not re.fullmatch("[0-9]{1,9}", path):
        return "names no database by its number; write as in redis://host:6379/0"
    return None


def _virtual_host(path: str) -> str | None:
    if len(path.encode()) > _LONGEST_VIRTUAL_HOST:
        return f"the virtual host is longer than {_LONGEST_VIRTUAL_HOST} bytes"
    return None


@frozen(kw_only=True)
class UrlRules:
    """The form that the URL of one server has. `problem_of_path` returns what is wrong with a path, or None."""

    schemes: tuple[str, ...]
    example: str
    problem_of_path: Callable[[str], str | None]
    options: Mapping[str, _Option]
    # Whether it may name several hosts, and the folder of a Unix socket in place of one.
    several: bool = False
    sockets: bool = False
    # Schemes of servers that are promised for a later release.
    later: frozenset[str] = frozenset()

    def read(self, text: str) -> re.Match[str]:
        """Return the parts. Raise `ValueError`, whose message has nothing that may be a password."""
        begin = _SCHEME.match(text)
        if begin is not None and begin[1] in self.later:
            raise ValueError(f"MySQL and MariaDB come in a later release; until then, write as in {self.example}")
        if begin is None or begin[1] not in self.schemes:
            found = f", not with {begin[1]}://" if begin else ""
            raise ValueError(f"has to begin with {self.schemes[0]}://{found}")
        parts = _URL.fullmatch(text)
        if parts is None:
            raise ValueError(
                f"can't be read as a URL; write as in {self.example}, with special characters as %XX: @ as %40, / as"
                " %2F, # as %23"
            )
        for part in ("user", "password", "path"):
            decoded(parts[part] or "")
        self._read_hosts(parts)
        problem = self.problem_of_path(decoded(parts["path"] or ""))
        if problem:
            raise ValueError(problem)
        self._read_options(parts["query"] or "", tls=parts["scheme"] in {"rediss", "amqps"})
        return parts

    def _read_hosts(self, parts: re.Match[str]) -> None:
        if self.sockets and not parts["host"] and not parts["others"] and _names_a_host(parts["query"] or ""):
            return
        if parts["others"] and not self.several:
            raise ValueError(f"names several hosts, where there can be one; write as in {self.example}")
        for host, port in [(parts["host"], parts["port"]), *_PLACE.findall(parts["others"])]:
            if not host:
                raise ValueError(f"names no host; write as in {self.example}")
            is_socket = self.sockets and decoded(host).startswith("/")
            bare = host.strip("[]")
            if not is_socket and (not is_host(bare) or (":" in host) != host.startswith("[")):
                raise ValueError(f"the host is neither a name nor an IP address; write as in {self.example}")
            if port and not 1 <= int(port[:6]) <= _LONGEST_PORT:
                raise ValueError(f"the port is not between 1 and {_LONGEST_PORT}")
        if self.sockets and _names_a_host(parts["query"] or ""):
            raise ValueError(f"names a host twice, before the path and as an option; write as in {self.example}")

    def _read_options(self, query: str, *, tls: bool) -> None:
        usable = {name: option for name, option in self.options.items() if tls or not option.only_tls}
        seen: set[str] = set()
        for pair in filter(None, query.split("&")):
            name, equals, value = (decoded(part.replace("+", " ")) for part in pair.partition("="))
            if not equals:
                raise ValueError("an option is written as name=value")
            if name in seen:
                raise ValueError("an option is given twice")
            if name not in usable:
                without = "" if tls or name not in self.options else f" without TLS, that is {self.schemes[1]}://"
                raise ValueError(f"has no option {name[:40]!r}{without}; there are {', '.join(usable)}")
            if not usable[name].allows(value):
                raise ValueError(f"the option {name} is not {usable[name].value}")
            seen.add(name)


DATABASE: Final = UrlRules(
    schemes=("postgresql", "postgres", "postgresql+asyncpg"),
    example="postgresql://user:password@host/name",
    problem_of_path=_any_path,
    later=frozenset({"mysql", "mariadb", "mysql+pymysql", "mysql+aiomysql", "mysql+asyncmy", "mysql+mysqldb"}),
    several=True,
    sockets=True,
    options=MappingProxyType(
        {
            "host": _Option(
                value="the folder of a socket, as in /run/postgresql", allows=lambda text: text.startswith("/")
            ),
            "sslmode": _SSL_MODE,
            "ssl": _SSL_MODE,
            "sslrootcert": _CERTIFICATE,
            "sslcert": _CERTIFICATE,
            "sslkey": _CERTIFICATE,
            "channel_binding": _Option(
                value="disable or prefer: Holdfast can't bind to a channel. sslmode=verify-full with sslrootcert proves"
                " who the server is",
                allows=frozenset({"disable", "prefer"}).__contains__,
            ),
            "target_session_attrs": _Option(
                value="read-write, which is also what is done without it: Holdfast needs the host that takes writes",
                allows="read-write".__eq__,
            ),
            "application_name": _TEXT,
        }
    ),
)
REDIS: Final = UrlRules(
    schemes=("redis", "rediss"),
    example="redis://user:password@host:6379/0",
    problem_of_path=_number_of_redis,
    options=MappingProxyType(
        {
            "db": _Option(value="a number", allows=lambda text: bool(re.fullmatch("[0-9]{1,9}", text))),
            "username": _TEXT,
            "password": _TEXT,
            "ssl_ca_certs": _FILE,
            "ssl_ca_path": _FOLDER,
            "ssl_certfile": _FILE,
            "ssl_keyfile": _FILE,
            "ssl_password": _SECRET_OF_TLS,
            "ssl_cert_reqs": _one_of("none", "optional", "required", only_tls=True),
            "ssl_check_hostname": _one_of("true", "false", only_tls=True),
        }
    ),
)
AMQP: Final = UrlRules(
    schemes=("amqp", "amqps"),
    example="amqp://user:password@host:5672/vhost",
    problem_of_path=_virtual_host,
    several=True,
    options=MappingProxyType(
        {
            "heartbeat": _Option(
                value="a number of seconds from 1 to 999",
                allows=lambda text: bool(re.fullmatch("[1-9][0-9]{0,2}", text)),
            ),
            "cafile": _FILE,
            "capath": _FOLDER,
            "certfile": _FILE,
            "keyfile": _FILE,
            "no_verify_ssl": _one_of("0", "1", only_tls=True),
        }
    ),
)


MANAGEMENT: Final = UrlRules(
    schemes=("http", "https"),
    example="http://user:password@host:15672",
    problem_of_path=_any_path,
    options=MappingProxyType({}),
)


def with_password(url: str, password: str, rules: UrlRules) -> str:
    """Put a password into a URL, encoded. Raise `ValueError` if the URL is wrong, or has another password."""
    parts = rules.read(url)
    if parts["password"] is not None and decoded(parts["password"]) == password:
        return url
    if parts["password"] is not None:
        raise ValueError("the URL has another password already; leave out one of the two")
    after = url[parts.end("user") + 1 :] if parts["user"] is not None else url[parts.end("scheme") + len("://") :]
    return f"{parts['scheme']}://{parts['user'] or ''}:{quote(password, safe='')}@{after}"


def is_host(text: str) -> bool:
    """Return whether it is a host name, an IPv4 address, or an IPv6 address without brackets."""
    if ":" not in text:
        return bool(_HOST_NAME.fullmatch(text))
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def decoded(text: str) -> str:
    """Return what %XX stands for. Raise `ValueError` if it is no text."""
    try:
        found = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("has a %XX that is no text in UTF-8") from None
    expect_text(found)
    return found


def expect_text(text: str) -> None:
    """Raise `ValueError` if there are control characters, or bytes that are not UTF-8."""
    if any(ord(character) < ord(" ") or character == "\x7f" for character in text):
        raise ValueError("contains a control character")
    # Python reads a byte that is not UTF-8 as a lone surrogate.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("is no text in UTF-8")
