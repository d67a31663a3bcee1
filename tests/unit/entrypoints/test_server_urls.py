"""The URLs of servers: whatever the rules let through, the drivers can use; everything else is refused in words."""

from contextlib import suppress
from urllib.parse import quote

import aio_pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from adapters.rabbitmq.connection import nodes_of
from adapters.redis.connections import connector
from adapters.sql.core.engine import create_engine
from entrypoints.read_settings import read_settings
from entrypoints.server_urls import AMQP, DATABASE, REDIS, UrlRules, with_password
from entrypoints.settings import InvalidSettings, Settings

RULES = {"DATABASE_URL": DATABASE, "REDIS_URL": REDIS, "AMQP_URL": AMQP}
ALL = {"DATABASE_URL": "postgresql://h/x", "REDIS_URL": "redis://h/0", "AMQP_URL": "amqp://h/"}
SECRET = "hunter2"
# Made from a scheme: each is wrong for every server.
HOSTILE = [
    "",
    "//",
    "://",
    "://h:many/x",
    "://h:0/x",
    "://h:65536/x",
    "://h:-1/x",
    "://h:99999999999999999999999/x",
    "://h:\uff11/x",
    "://[h/0",
    "://h]/0",
    "://[::1/0",
    "://[::g]/0",
    "://::1/0",
    "://[127.0.0.1]/0",
    "://[]/0",
    "://a..b/0",
    "://.a/0",
    "://" + "a" * 64 + "/0",
    "://" + "a." * 130 + "a/0",
    "://h1,/0",
    "://,h2/0",
    "://h1,h2:0/x",
    "://h1,[::1/x",
    "://h1,[h2]/x",
    "://h1:5,h2:many/x",
    "://hö/0",
    "://h%2F/0",
    "://%zz@h/0",
    "://u:%zz@h/0",
    "://u:%@h/0",
    "://u:%0@h/0",
    "://u:%00@h/0",
    "://u:%0a@h/0",
    "://u:%ff@h/0",
    "://u:hunter2 @h/0",
    "://u:hunter2\x00@h/0",
    "://u:hunter2\n@h/0",
    "://u:hunter2\udcff@h/0",
    "://u:hunter2\t@h/0",
    "://u:hun@ter2@h/0",
    "://u:hun/ter2@h/0",
    "://u:hun#ter2@h/0",
    "://u:hun?ter2@h/0",
    "://u:p@ss/hunter2#x@h/0",
    "://u:5/hunter2@h/0",
    "://u:5?hunter2@h/0",
    "://u:5#hunter2@h/0",
    "://h/0#hunter2",
    "://h/%00",
    "://h/%ff",
    "://h/%",
    "://h/a b",
    "://h/0?hunter2",
    "://h/0?colour=hunter2",
    "://h/0?ssl=true",
    "://h/0?ssl=1&ssl=1",
    "://h/0?host=/run",
    "://h/0?socket_timeout=hunter2",
    "://h/0?max_connections=hunter2",
    "://h/0?unix_socket_path=/x",
    "://h/0?name=hunter2",
    "://h/0?cafile=/no/such/file",
    "://h/0?ssl_ca_certs=/no/such/file",
    f"://h/0?capath={'a' * 300}",
    f"://h/0?ssl_ca_path={'a' * 300}",
    "://h/0?sslmode=hunter2",
    "://h/0?heartbeat=hunter2",
    "://h/0?heartbeat=-1",
    "://h/0?heartbeat=1e9",
    "://h/0?db=x",
    "://h/0?%=1",
    "://h/0?=1",
    "://h/0?password=%00",
    "://h/0?password=%ff",
    "://h/0?application_name=%00",
    "://?host=run",
    "://h/x?target_session_attrs=standby",
    "://h/x?target_session_attrs=any",
    "://h/x?channel_binding=require",
    "://h/x?sslmode=verify-full&sslrootcert=/no/such/file",
    "://%2Frun,/x?host=/run",
    ":///x",
    ":///run/redis.sock",
    "://u:hunter2@/x",
    ":h/x",
]


@pytest.mark.parametrize("rest", HOSTILE)
@pytest.mark.parametrize("name", RULES)
def test_a_url_that_no_driver_should_see_is_refused_in_one_line(name: str, rest: str) -> None:
    for scheme in (*RULES[name].schemes, "unix", "http"):
        with pytest.raises(InvalidSettings) as refusal:
            read_settings({**ALL, name: scheme + rest})
        [line] = str(refusal.value).split("\n")
        assert line.startswith(f"{name}: ")
        assert "hun" not in line, "a part of the password is shown"


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("REDIS_URL", "redis://h1,h2/0", "several hosts, where there can be one"),
        ("REDIS_URL", "redis://?host=/run/postgresql", "no host"),
        ("AMQP_URL", "amqp://?host=/run/postgresql", "no host"),
        ("AMQP_URL", "amqp://%2Frun%2Frabbit/x", "neither a name nor an IP address"),
        ("DATABASE_URL", "postgresql://h,i/x?target_session_attrs=any", "Holdfast needs the host that takes writes"),
        ("DATABASE_URL", "postgresql://h/x?channel_binding=require", "disable or prefer.*verify-full"),
        ("DATABASE_URL", "postgresql://h/x?host=/run/postgresql", "names a host twice"),
    ],
)
def test_what_one_server_can_have_is_refused_for_another_one(name: str, url: str, words: str) -> None:
    with pytest.raises(InvalidSettings, match=f"{name}: .*{words}"):
        read_settings({**ALL, name: url})


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://h"),
        ("DATABASE_URL", "postgres://u@h:1/x"),
        ("DATABASE_URL", "postgresql+asyncpg://u:p@[::1]:5432/shop?sslmode=require&application_name=my+till"),
        ("DATABASE_URL", "postgresql://u:%40%2F%23%3F%25%C3%A9@127.0.0.1/a%20b"),
        ("DATABASE_URL", "postgresql://u:p@h1:1,h2,[::1]:3/x?target_session_attrs=read-write&channel_binding=prefer"),
        ("DATABASE_URL", f"postgresql://h/x?sslmode=verify-full&sslrootcert={quote(__file__)}"),
        ("DATABASE_URL", "postgresql://u@%2Frun%2Fpostgresql:1/x"),
        ("DATABASE_URL", "postgresql:///x?host=/run/postgresql"),
        ("DATABASE_URL", "postgresql://?host=/run/postgresql"),
        ("REDIS_URL", "redis://h"),
        ("REDIS_URL", "redis://:a:b@h:1/15"),
        ("REDIS_URL", "redis://my_host.local./?db=3&username=u&password=%40"),
        ("REDIS_URL", "rediss://u:p@[fe80::1]/0?ssl_cert_reqs=none&ssl_check_hostname=false"),
        ("REDIS_URL", f"rediss://h/0?ssl_ca_certs={quote(__file__)}&ssl_ca_path=/tmp&ssl_password=x"),
        ("AMQP_URL", "amqp://h"),
        ("AMQP_URL", "amqp://u:p,@h1,[::1]:5,h3:1/a,b?heartbeat=5"),
        ("AMQP_URL", "amqp://u:p@h:1/%2F?heartbeat=5"),
        ("AMQP_URL", f"amqps://u:%40%2F%23@[::1]/a/b?cafile={quote(__file__)}&no_verify_ssl=1"),
    ],
)
def test_a_url_that_the_driver_takes_is_taken(name: str, url: str) -> None:
    read_settings({**ALL, name: url})
    _expect_taken(name, url)


def _expect_taken(name: str, url: str) -> None:
    """By the driver, as far as it reads a URL without connecting."""
    match name:
        case "DATABASE_URL":
            engine = create_engine(url)
            engine.dialect.create_connect_args(engine.url)
        case "REDIS_URL":
            connector(url)
        case _:
            for node in nodes_of(url):
                address = aio_pika.connection.make_url(node)
                assert address.host
                assert address.path.isprintable()


_OF_A_URL = st.text(st.sampled_from("ab1@:/?#[]%2F&=+.-_~!$'()*,; \0\n\x1bé\udcff"), max_size=30)


@pytest.mark.parametrize("name", RULES)
@given(rest=_OF_A_URL, scheme=st.integers(0, 1), option=st.sampled_from(["", "?db=", "?ssl", "?sslmode=", "?=&"]))
def test_no_url_passes_that_the_driver_would_refuse(name: str, rest: str, scheme: int, option: str) -> None:
    url = f"{RULES[name].schemes[scheme]}://{rest}{option}"
    # Everything else that is raised is a failure.
    with suppress(InvalidSettings):
        read_settings({**ALL, name: url})
        _expect_taken(name, url)


# Everything that a variable of the environment can hold.
_PASSWORD = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(password=_PASSWORD)
def test_a_password_in_a_variable_of_its_own_arrives_as_it_is(password: str) -> None:
    settings = read_settings(
        {
            "DATABASE_URL": "postgresql://holdfast@h:5432/x?sslmode=require",
            "REDIS_URL": "redis://h/0",
            "AMQP_URL": "amqp://holdfast@[::1]:5672/",
            "HOLDFAST_DATABASE_PASSWORD": password,
            "HOLDFAST_REDIS_PASSWORD": password,
            "HOLDFAST_AMQP_PASSWORD": password,
        }
    )
    database = create_engine(settings.database_url).url
    assert (database.password, database.username, database.host) == (password, "holdfast", "h")
    assert Redis.from_url(settings.redis_url).connection_pool.connection_kwargs["password"] == password
    broker = aio_pika.connection.make_url(settings.amqp_url)
    assert (broker.password, broker.user, broker.host) == (password, "holdfast", "::1")
    assert repr(settings) == repr(Settings(intake="auto"))


@pytest.mark.parametrize(
    ("rules", "url", "whole"),
    [
        (DATABASE, "postgresql://h/x", "postgresql://:p%40@h/x"),
        (DATABASE, "postgresql://u@h:1/x", "postgresql://u:p%40@h:1/x"),
        (REDIS, "redis://@h", "redis://:p%40@h"),
        (AMQP, "amqps://u%40@h/?heartbeat=5", "amqps://u%40:p%40@h/?heartbeat=5"),
    ],
)
def test_a_password_is_put_where_passwords_are(rules: UrlRules, url: str, whole: str) -> None:
    assert with_password(url, "p@", rules) == whole


@pytest.mark.parametrize(
    ("environment", "advice"),
    [
        ({"HOLDFAST_DATABASE_PASSWORD": SECRET}, "goes with DATABASE_URL, which names no server"),
        ({**ALL, "AMQP_URL": "amqp://u:p@h", "HOLDFAST_AMQP_PASSWORD": SECRET}, "has another password already"),
        ({**ALL, "HOLDFAST_REDIS_PASSWORD": f"{SECRET}\n"}, "contains a control character"),
    ],
)
def test_a_password_that_cannot_be_used_is_refused_and_not_shown(environment: dict[str, str], advice: str) -> None:
    with pytest.raises(InvalidSettings, match=advice) as refusal:
        read_settings(environment)
    assert SECRET not in str(refusal.value)
