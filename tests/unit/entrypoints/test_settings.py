import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import Attribute, fields

from entrypoints.read_settings import environment_and_file, read_settings
from entrypoints.settings import InvalidSettings, Settings, variable


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()


def test_variables_of_other_software_are_ignored() -> None:
    assert read_settings({"PATH": "/bin", "DATABASE_HOST": "x"}) == Settings()


def test_every_setting_is_read_from_its_variable() -> None:
    settings = read_settings(
        {
            "DATABASE_URL": "postgresql://u:p@h/x",
            "REDIS_URL": "redis://h",
            "AMQP_URL": "amqp://u:p@h/",
            "HOLDFAST_PORT": "81",
            "HOLDFAST_ORDER_EXPIRY": "90s",
            "HOLDFAST_GATEWAY_DELAY": "50ms-1s",
            "HOLDFAST_GATEWAY_LEDGER": "ledger.db",
        }
    )
    assert settings.database_url == "postgresql://u:p@h/x"
    assert settings.port == 81
    assert settings.order_expiry == timedelta(seconds=90)
    assert settings.gateway_delay == (0.05, 1.0)
    assert settings.ledger == Path("ledger.db")


def test_orders_are_queued_only_where_the_broker_keeps_them_on_disk() -> None:
    servers = {"DATABASE_URL": "postgresql://h/x", "REDIS_URL": "redis://h", "AMQP_URL": "amqp://h/"}
    assert read_settings({}).intake == "direct"
    assert read_settings(servers).intake == "auto"
    for intake in ("direct", "queued", "auto"):
        assert read_settings({**servers, "HOLDFAST_INTAKE": intake}).intake == intake
    assert read_settings({"HOLDFAST_INTAKE": "direct"}).intake == "direct"
    for intake in ("queued", "auto"):
        with pytest.raises(InvalidSettings, match="set AMQP_URL, or write direct"):
            read_settings({"HOLDFAST_INTAKE": intake})


def test_a_simulated_provider_answers_within_the_time_that_its_answer_is_awaited() -> None:
    assert read_settings({"HOLDFAST_GATEWAY_DELAY": "29s"}).gateway_delay == (29.0, 29.0)
    assert read_settings({"HOLDFAST_GATEWAY_DELAY": "30s", "HOLDFAST_CHARGE_TIMEOUT": "31s"}).gateway_delay[1] == 30
    for said in (
        {"HOLDFAST_GATEWAY_DELAY": "1s-30s"},
        {"HOLDFAST_GATEWAY_DELAY": "2s", "HOLDFAST_CHARGE_TIMEOUT": "2s"},
    ):
        with pytest.raises(InvalidSettings, match="HOLDFAST_CHARGE_TIMEOUT"):
            read_settings(said)


DATABASE, CACHE, BROKER = {"DATABASE_URL": "postgresql://h/x"}, {"REDIS_URL": "redis://h"}, {"AMQP_URL": "amqp://h/"}


@pytest.mark.parametrize("servers", [DATABASE, DATABASE | BROKER, DATABASE | CACHE, DATABASE | CACHE | BROKER])
def test_a_database_may_come_without_the_other_servers(servers: dict[str, str]) -> None:
    settings = read_settings(servers)
    named = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "AMQP_URL": settings.amqp_url}
    assert {name: url for name, url in named.items() if url} == servers


@pytest.mark.parametrize("other", [CACHE, BROKER, CACHE | BROKER])
@pytest.mark.parametrize("database", [{}, {"DATABASE_URL": "sqlite:///x.db"}])
def test_what_is_meant_for_servers_never_starts_on_sqlite(database: dict[str, str], other: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_settings({**database, **other})
    told = str(refusal.value).splitlines()
    assert [line.partition(":")[0] for line in told] == sorted(other)
    assert all("DATABASE_URL names no PostgreSQL server" in line for line in told)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:///data/shop.db", "data/shop.db"),
        ("sqlite:///./shop.db", "shop.db"),
        ("sqlite:////var/lib/shop.db", "/var/lib/shop.db"),
        ("sqlite+aiosqlite:////var/lib/shop.db", "/var/lib/shop.db"),
        ("sqlite:///a%20shop%23.db", "a shop#.db"),
    ],
)
def test_a_database_url_may_name_a_sqlite_file(url: str, file: str) -> None:
    settings = read_settings({"DATABASE_URL": url})
    assert (settings.database_url, settings.database_file) == ("", Path(file))
    assert read_settings({"HOLDFAST_SQLITE_FILE": file}) == settings
    assert read_settings({"HOLDFAST_SQLITE_FILE": file, "DATABASE_URL": url}) == settings


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("sqlite:", "no three slashes"),
        ("sqlite:/shop.db", "no three slashes"),
        ("sqlite://shop.db", "no three slashes"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "in memory alone would be lost"),
        ("sqlite:////", "names a folder"),
        ("sqlite:///data/", "names a folder"),
        ("sqlite:////tmp", "names a folder"),
        ("sqlite:///..", "names a folder"),
        ("sqlite:///shop.db?mode=ro", "has no options"),
        ("sqlite:///%ff", "no text in UTF-8"),
    ],
)
def test_a_sqlite_file_that_is_none_is_refused(url: str, advice: str) -> None:
    with pytest.raises(InvalidSettings, match=advice) as refusal:
        read_settings({"DATABASE_URL": url})
    assert str(refusal.value).startswith("DATABASE_URL: ")


def test_origins_are_written_with_commas_between() -> None:
    settings = read_settings({"HOLDFAST_CORS_ORIGINS": "https://shop.example, http://[::1]:3000"})
    assert settings.cors_origins == ("https://shop.example", "http://[::1]:3000")
    assert read_settings({"HOLDFAST_CORS_ORIGINS": "*"}).cors_origins == ("*",)
    assert read_settings({}).cors_origins == ()


@pytest.mark.parametrize(
    "text", ["shop.example", "https://shop.example/", "https://Shop.example", "ftp://a", "**", "null"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^HOLDFAST_CORS_ORIGINS: .* write as in https://shop\.example"):
        read_settings({"HOLDFAST_CORS_ORIGINS": text})


@pytest.mark.parametrize("url", ["postgresql://h/x", "sqlite:///another.db"])
def test_two_databases_are_refused(url: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^HOLDFAST_SQLITE_FILE: .*leave out one of the two"):
        read_settings({"DATABASE_URL": url, "HOLDFAST_SQLITE_FILE": "shop.db"})


def test_a_disabled_cache_uses_no_redis() -> None:
    settings = read_settings({**DATABASE, **CACHE, "HOLDFAST_CACHE_DISABLED": "yes"})
    assert settings.cache_disabled
    assert settings.redis_url == ""
    assert not read_settings({"HOLDFAST_CACHE_DISABLED": "False"}).cache_disabled


def test_the_command_line_goes_before_the_environment() -> None:
    assert read_settings({"HOLDFAST_PORT": "81"}, port=82, host=None).port == 82
    with pytest.raises(InvalidSettings):
        read_settings({"HOLDFAST_PORT": "81"}, port=0)


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("HOLDFAST_PORT=81\nHOLDFAST_HOST=::1\n")
    assert environment_and_file({"HOLDFAST_PORT": "82"}, file) == {"HOLDFAST_PORT": "82", "HOLDFAST_HOST": "::1"}


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("HOLDFAST_ORDER_EXPIRI", "30m", "did you mean HOLDFAST_ORDER_EXPIRY?"),
        ("HOLDFAST_ORDER_EXPIRY", "5 minutes", "write a number and its unit"),
        ("HOLDFAST_ORDER_EXPIRY", "-1", "write a number and its unit"),
        ("HOLDFAST_REQUEST_TIMEOUT", "0", "write a number and its unit"),
        ("HOLDFAST_REQUEST_TIMEOUT", "0s", "no time at all"),
        ("HOLDFAST_PORT", "65536", "65535"),
        ("HOLDFAST_PORT", "http", "int"),
        ("HOLDFAST_BATCH_MAX", "0", ">= 1"),
        ("HOLDFAST_GATEWAY_DECLINE_RATE", "1.5", "<= 1"),
        ("HOLDFAST_GATEWAY_DELAY", "2s-1s", "begins above its end"),
        ("HOLDFAST_SIMULATED_WORK", "10s-10ms", "begins above its end"),
        ("HOLDFAST_SIMULATED_WORK", "10m", "not below HOLDFAST_STUCK_AFTER"),
        ("HOLDFAST_INTAKE", "sometimes", "direct"),
        ("HOLDFAST_INTAKE", "auto", "set AMQP_URL"),
        ("HOLDFAST_LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("HOLDFAST_NAMESPACE", "A b", "a-z, 0-9, - and _"),
        ("HOLDFAST_NAMESPACE", "shop\n", "control character"),
        ("HOLDFAST_ORDER_EXPIRY", "0.0000000001s", "no time at all"),
        ("HOLDFAST_ORDER_EXPIRY", "\uff11s", "write a number and its unit"),
        ("HOLDFAST_WORKER_BATCHES", "1000000000", "<= 10000"),
        ("HOLDFAST_GATEWAY_DECLINE_RATE", "nan", ">= 0"),
        ("HOLDFAST_HOST", "a..b", "neither a host name nor an IP address"),
        ("HOLDFAST_HOST", "[::1]", "neither a host name nor an IP address"),
        ("HOLDFAST_ORDER_EXPIRY", "99999999999999d", "too long"),
        ("REDIS_URL", "redis://h", "DATABASE_URL names no PostgreSQL server"),
        ("AMQP_URL", "amqp://h/", "DATABASE_URL names no PostgreSQL server"),
        ("HOLDFAST_REDIS_PASSWORD", "x", "goes with REDIS_URL"),
        ("HOLDFAST_TRACE_RATIO", "0.5", "goes with OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@collector:4318", "http://collector:4318"),
        ("HOLDFAST_CACHE_DISABLED", "perhaps", "neither true nor false"),
        ("REDIS_URL", "redis://h:6379/abc", "redis://host:6379/0"),
        ("DATABASE_URL", "mysql://h/x", "MySQL and MariaDB come in a later release"),
        ("DATABASE_URL", "mariadb://h/x", "MySQL and MariaDB come in a later release"),
        ("DATABASE_URL", "oracle://h/x", "has to begin with postgresql://"),
        ("DATABASE_URL", "postgresql://", "names no host"),
        ("AMQP_URL", "localhost:5672", "has to begin with amqp://"),
        ("REDIS_URL", "redis://[h", "can't be read as a URL"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_write(name: str, value: str, advice: str) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_settings({name: value})
    assert f"{name}: " in str(refusal.value) or "not set" in str(refusal.value)
    assert advice in str(refusal.value)


# Characters that no library can write, or that end a line or a string of C.
@pytest.mark.parametrize("hostile", ["a\0b", "a\nb", "\x1b[2J", "shop\n", "\udcff", "a\x7f"])
@pytest.mark.parametrize("attribute", fields(Settings), ids=lambda attribute: attribute.name)
def test_no_setting_takes_what_is_no_text(attribute: "Attribute[object]", hostile: str) -> None:
    name = variable(attribute.name)
    with pytest.raises(InvalidSettings) as refusal:
        read_settings({name: hostile})
    assert [line for line in str(refusal.value).split("\n") if line.startswith(f"{name}: ")]


@pytest.mark.parametrize(
    "hostile", ["", "-", "9" * 5000, "nan", "inf", "1e400", "{}", "%s", "../..", "~", "\u202e", "/"]
)
def test_a_strange_value_is_taken_or_refused_in_words(hostile: str) -> None:
    for attribute in fields(Settings):
        with suppress(InvalidSettings):
            read_settings({variable(attribute.name): hostile})


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("HOLDFAST_HOST=m\xfcller\n".encode("latin-1"), "line 1 is no text in UTF-8"),
        (b"A=1\n\n# \xff\n", "line 3 is no text in UTF-8"),
        ("HOLDFAST_PORT=80".encode("utf-16"), "no text in UTF-8"),
        (b'HOLDFAST_PORT="80\n', "line 1 can't be read; write NAME=value"),
        (b"A=1\n'b\n", "line 2 can't be read; write NAME=value"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(tmp_path: Path, written: bytes, advice: str) -> None:
    file = tmp_path / ".env"
    file.write_bytes(written)
    with pytest.raises(InvalidSettings, match=advice) as refusal:
        environment_and_file({}, file)
    assert str(refusal.value).startswith(f"{file}: ")


def test_a_file_of_windows_is_read_and_a_folder_is_somebody_elses(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"\xef\xbb\xbfHOLDFAST_PORT=81\r\n")
    assert environment_and_file({}, file) == {"HOLDFAST_PORT": "81"}
    assert environment_and_file({}, tmp_path) == {}


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_settings({"HOLDFAST_PORT": "0", "HOLDFAST_BATCH_MAX": "x"})
    assert len(str(refusal.value).splitlines()) == 2


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@h/x", "postgresql://u:secret@[h/x", "postgresql://u:secret@:99999/x"]
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_settings({"DATABASE_URL": url})
    assert "secret" not in str(refusal.value)


def test_the_page_of_settings_tells_of_each_and_its_default() -> None:
    page = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()
    for attribute in fields(Settings):
        assert f"| `{variable(attribute.name)}` |" in page
        assert attribute.metadata["doc"] in page


def test_no_address_with_its_password_is_shown() -> None:
    secret = "hunter2"
    settings = read_settings(
        {
            "DATABASE_URL": f"postgresql://shop:{secret}@db/shop",
            "REDIS_URL": f"redis://:{secret}@cache/0",
            "AMQP_URL": f"amqp://shop:{secret}@broker/",
        }
    )
    assert secret in settings.database_url
    assert secret not in repr(settings)


def test_cursors_can_be_signed_in_a_folder_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = set()
    for name in (b"caf\xe9", b"caf\xc3\xa9", b"caf\x1b"):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        monkeypatch.chdir(folder)
        secrets.add(read_settings({}).cursor_secret)
    assert len(secrets) == 3


@pytest.mark.parametrize(
    ("environment", "required"),
    [
        ({}, False),
        ({"HOLDFAST_HOST": "localhost"}, False),
        ({"HOLDFAST_HOST": "::1"}, False),
        ({"HOLDFAST_HOST": "127.0.0.7"}, False),
        ({"HOLDFAST_HOST": "0.0.0.0"}, True),
        ({"HOLDFAST_HOST": "::"}, True),
        ({"HOLDFAST_HOST": "shop.example"}, True),
        (DATABASE, True),
        ({"HOLDFAST_AUTH": "required"}, True),
        ({**DATABASE, "HOLDFAST_AUTH": "open"}, False),
        ({"HOLDFAST_HOST": "0.0.0.0", "HOLDFAST_AUTH": "open"}, False),
    ],
)
def test_callers_need_a_key_unless_nobody_else_can_reach_the_api(
    environment: dict[str, str], *, required: bool
) -> None:
    assert read_settings(environment).keys_required is required


def test_the_requests_of_earlier_systems_are_there_unless_they_are_turned_off() -> None:
    assert (read_settings({}).ancestors, read_settings({}).ancestors_create) == (True, False)
    given = {"HOLDFAST_ANCESTORS_CREATE": "on", "HOLDFAST_ANCESTORS_CURRENCY": "JPY"}
    assert (read_settings(given).ancestors_create, read_settings(given).ancestors_currency) == (True, "JPY")
    assert read_settings({"HOLDFAST_ANCESTORS": "off"}).ancestors is False
    with pytest.raises(InvalidSettings) as refusal:
        read_settings({**given, "HOLDFAST_ANCESTORS": "off"})
    assert [line.partition(":")[0] for line in str(refusal.value).splitlines()] == [*given]
    with pytest.raises(InvalidSettings, match="HOLDFAST_ANCESTORS_CURRENCY: 'XXX'"):
        read_settings({"HOLDFAST_ANCESTORS_CURRENCY": "XXX"})


def test_metrics_on_the_port_of_the_api_have_no_address_of_their_own() -> None:
    assert read_settings({"HOLDFAST_METRICS_PORT": "8000"}).metrics_port == 8000
    with pytest.raises(InvalidSettings, match="HOLDFAST_METRICS_HOST: has no effect"):
        read_settings({"HOLDFAST_METRICS_PORT": "8000", "HOLDFAST_METRICS_HOST": "0.0.0.0"})
    assert read_settings({"HOLDFAST_METRICS_PORT": "9464", "HOLDFAST_METRICS_HOST": "0.0.0.0"}).metrics_port == 9464
