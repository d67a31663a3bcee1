"""The settings of other systems, which work as ours or are refused."""

from datetime import timedelta
from pathlib import Path

import aio_pika
import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from adapters.sql.core.engine import create_engine
from entrypoints.aliases import ALIASES, REFUSED, aliases_in
from entrypoints.read_settings import environment_and_file, read_settings
from entrypoints.settings import InvalidSettings, Settings, variable

DATABASE = {"DB_USER": "shop", "DB_PASS": "p@ss/w#rd", "DB_HOST": "db", "DB_NAME": "orders"}
BROKER = {"RABBITMQ_HOST": "mq", "RABBITMQ_USER": "shop", "RABBITMQ_PASSWORD": "a:b@c"}
CACHE = {"REDIS_URL": "redis://h"}


def test_a_database_in_parts_is_one_url() -> None:
    url = create_engine(read_settings(DATABASE).database_url).url
    assert (url.username, url.password, url.host, url.database) == ("shop", "p@ss/w#rd", "db", "orders")
    assert create_engine(read_settings({**DATABASE, "DB_PORT": "5433"}).database_url).url.port == 5433


def test_a_broker_in_parts_is_one_url_and_the_intake_knows_of_it() -> None:
    settings = read_settings({**DATABASE, **BROKER, "RABBITMQ_PORT": "5673", "MQ_USE_SSL": "1"})
    url = aio_pika.connection.make_url(settings.amqp_url)
    assert (url.scheme, url.user, url.password, url.host, url.port) == ("amqps", "shop", "a:b@c", "mq", 5673)
    assert settings.intake == "auto"
    assert read_settings({**DATABASE, **BROKER, "MQ_USE_SSL": "False"}).amqp_url == "amqp://shop:a%3Ab%40c@mq/"


_NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(user=_NAMES, password=_NAMES, name=_NAMES, host=st.sampled_from(["h", "10.0.0.1", "::1"]))
def test_parts_of_any_characters_arrive_as_they_are(user: str, password: str, name: str, host: str) -> None:
    parts = {"DB_USER": user, "DB_PASS": password, "DB_HOST": host, "DB_NAME": name}
    url = create_engine(read_settings(parts).database_url).url
    assert (url.username, url.password, url.host, url.database) == (user, password, host, name)


@pytest.mark.parametrize(
    ("environment", "setting", "value"),
    [
        ({**DATABASE, "RABBITMQ_URL": "amqp://h/"}, "amqp_url", "amqp://h/"),
        ({"QUEUE_NAME": "orders"}, "namespace", "orders"),
        ({"RABBITMQ_QUEUE_NAME": "order_queue"}, "namespace", "order_queue"),
        ({**DATABASE, **CACHE, "ORDERS_CACHE_TTL": "30"}, "order_cache_ttl", timedelta(seconds=30)),
        ({**DATABASE, **CACHE, "TEMP_ORDER_CACHE_TTL": "60"}, "accepted_cache_ttl", timedelta(seconds=60)),
        ({**DATABASE, **CACHE, "CACHE_DISABLED": "True"}, "redis_url", ""),
        ({"CACHE_DISABLED": "True", "ORDERS_CACHE_TTL": "30"}, "cache_disabled", True),
    ],
)
def test_an_alias_is_the_setting_that_it_stands_for(environment: dict[str, str], setting: str, value: object) -> None:
    assert getattr(read_settings(environment), setting) == value


@pytest.mark.parametrize(
    ("environment", "advice"),
    [
        ({**DATABASE, "HOLDFAST_DATABASE_HOST": "other"}, ["DB_HOST: HOLDFAST_DATABASE_HOST says something else"]),
        ({**DATABASE, "DATABASE_URL": "postgresql://shop@other/orders"}, ["DB_HOST: DATABASE_URL says something else"]),
        ({**DATABASE, "DATABASE_URL": "postgresql://shop@db/x"}, ["DB_NAME: DATABASE_URL says something else"]),
        ({**DATABASE, "DATABASE_URL": "postgresql://shop:other@db/orders"}, ["DB_PASS: the URL has another password"]),
        ({"DB_PORT": "5433", "DATABASE_URL": "postgresql://h/x"}, ["DB_PORT: DATABASE_URL says something else"]),
        ({"DB_HOST": "db", "DATABASE_URL": "sqlite:///x"}, ["DB_HOST: DATABASE_URL names a SQLite file"]),
        ({"DB_HOST": "db"}, ["HOLDFAST_DATABASE_NAME: not set; DB_HOST needs it"]),
        ({"DB_USER": "shop"}, ["DB_USER: goes with HOLDFAST_DATABASE_HOST or DATABASE_URL"]),
        ({"DB_HOST": "a b", "DB_NAME": "x"}, ["DB_HOST: 'a b' is neither a host name nor an IP address"]),
        ({**DATABASE, "DB_PORT": "http"}, ["DB_PORT: "]),
        ({**BROKER}, ["RABBITMQ_HOST: needs a database"]),
        ({"RABBITMQ_URL": "amqp://h"}, ["RABBITMQ_URL: needs a database"]),
        ({**DATABASE, "MQ_USE_SSL": "1"}, ["MQ_USE_SSL: goes with HOLDFAST_AMQP_HOST or AMQP_URL"]),
        ({**DATABASE, "RABBITMQ_URL": "amqp://h", "MQ_USE_SSL": "1"}, ["MQ_USE_SSL: RABBITMQ_URL says something else"]),
        ({**DATABASE, "RABBITMQ_URL": "amqp://h", "AMQP_URL": "amqp://i"}, ["RABBITMQ_URL: AMQP_URL says something"]),
        ({"QUEUE_NAME": "a", "RABBITMQ_QUEUE_NAME": "b"}, ["QUEUE_NAME: RABBITMQ_QUEUE_NAME says something else"]),
        ({"QUEUE_NAME": "Orders Queue"}, ["QUEUE_NAME: "]),
        ({**DATABASE, **CACHE, "ORDERS_CACHE_TTL": "5"}, ["ORDERS_CACHE_TTL: is below 15s"]),
        ({**DATABASE, "ORDERS_CACHE_TTL": "30"}, ["ORDERS_CACHE_TTL: goes with REDIS_URL"]),
        ({"API_THREADS": "4"}, ["API_THREADS: an API process has no threads to count"]),
        ({"ACCESS_LOG_FORMAT": "common"}, ["ACCESS_LOG_FORMAT: goes with HOLDFAST_ACCESS_LOG_FILE"]),
        ({"ACCESS_LOG_FILE": "x", "ACCESS_LOG_FORMAT": "fancy"}, ["ACCESS_LOG_FORMAT: 'fancy' is neither common"]),
        ({"ACCESS_LOG_FILE": "x", "ACCESS_LOG_FORMAT": "%(x)s"}, ["ACCESS_LOG_FORMAT: there is no '%(x)s'"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_can_not_be_honoured_is_refused_by_the_name_that_was_written(
    environment: dict[str, str], advice: list[str]
) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_settings(environment)
    told = str(refusal.value).splitlines()
    assert [line[: len(wanted)] for line, wanted in zip(told, advice, strict=True)] == advice
    assert "p@ss" not in str(refusal.value)


def test_whoever_says_the_same_twice_is_not_refused() -> None:
    both = {**DATABASE, "DATABASE_URL": "postgresql://shop:p%40ss%2Fw%23rd@db:5432/orders", "DB_PORT": "5432"}
    assert read_settings(both).database_url == both["DATABASE_URL"]
    assert read_settings({"CACHE_DISABLED": "1", "HOLDFAST_CACHE_DISABLED": "true"}).cache_disabled


def test_each_alias_stands_for_a_setting_and_is_told_only_when_it_is_used() -> None:
    names = {variable(attribute.name) for attribute in fields(Settings)}
    for name, alias in ALIASES.items():
        assert alias.name in names
        assert aliases_in({name: "x", "PATH": "/bin"}) == {name: alias.name}
        assert aliases_in({name: ""}) == {}


def test_the_example_names_every_alias_and_its_values_can_be_read(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    example = (root / ".env.example").read_text()
    page = (root / "docs" / "coming-from.md").read_text()
    for name, alias in ALIASES.items():
        assert f"`{name}`" in page
        assert name in example
        assert f"# {alias.name}=" in example
    for name in REFUSED:
        assert f"`{name}`" in page
    # Without the file for the database, which goes with no server.
    lines = [line.removeprefix("# ") for line in example.splitlines() if "=" in line and "sqlite" not in line]
    (tmp_path / "env").write_text("\n".join(lines))
    settings = read_settings(environment_and_file({}, tmp_path / "env"))
    assert settings.order_cache_ttl == Settings().order_cache_ttl
    assert settings.accepted_cache_ttl == Settings().accepted_cache_ttl
    assert settings.database_url == "postgresql://shop:password@127.0.0.1:5432/shop"
