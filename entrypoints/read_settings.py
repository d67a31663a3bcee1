"""Reads the settings of an environment and of a `.env` file, and tells all that is wrong with them."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
from attrs import Attribute, fields
from dotenv import dotenv_values
from dotenv.parser import parse_stream

from application.webhooks.destinations import Allowed
from entrypoints.access_format import line_writer
from entrypoints.aliases import switch, translate
from entrypoints.server_parts import compose_urls
from entrypoints.server_urls import expect_text, is_host
from entrypoints.setting_rules import URLS, broken_rules
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
from entrypoints.settings import PREFIX, InvalidSettings, Settings, variable
from entrypoints.sqlite_urls import is_sqlite, sqlite_file

_RANGES: Final = frozenset({"gateway_delay", "simulated_work"})
_HOSTS: Final = frozenset({"host", "metrics_host", "database_host", "amqp_host"})


def read_settings(environment: Mapping[str, str], **given: object) -> Settings:
    """The settings of an environment. Values `given` on the command line override it.

    Raise `InvalidSettings`, which lists everything that is wrong.
    """
    known = {variable(attribute.name): attribute for attribute in fields(Settings)}
    translated = translate(environment)

    def written(setting: str) -> str:
        """The variable as a person wrote it."""
        return translated.written.get(variable(setting), variable(setting))

    problems = [
        *translated.problems,
        *(_unknown(name, known) for name in environment if name.startswith(PREFIX) and name not in known),
    ]
    values: dict[str, Any] = {}
    # Also those with a wrong value: a setting that goes with them is not wrong for that.
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
    problems += broken_rules(values, asked, written)
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
    elif setting in URLS:
        URLS[setting].read(text)
    elif setting == "otel_exporter_otlp_endpoint":
        expect_collector(text)
    elif setting in _HOSTS and not is_host(text):
        raise ValueError(f"{text!r} is neither a host name nor an IP address")
    elif setting in _NOTATIONS:
        _NOTATIONS[setting](text)


def _unknown(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"{name}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "")


def _as_it_is(expected: type, value: object) -> object:
    """For msgspec, which knows no paths."""
    if not isinstance(value, expected):
        raise NotImplementedError(expected)
    return value
