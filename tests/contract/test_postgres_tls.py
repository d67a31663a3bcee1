"""PostgreSQL over TLS, by several hosts: nobody is trusted whom the certificate does not name."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.health import server_version
from application.errors import Unavailable
from tests.servers import PostgresServer
from tests.servers.process import make_folder, remove_folder


@pytest.fixture(scope="module")
def folder(openssl_program: Path) -> Iterator[Path]:
    """With certificates for localhost: that of the server, and another one's."""
    folder = make_folder("tls")
    for name in ("server", "stranger"):
        subprocess.run(
            [
                str(openssl_program),
                *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
                *("-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")),
            ],
            check=True,
            capture_output=True,
            timeout=240,
        )
    yield folder
    remove_folder(folder)


def with_certificate(folder: Path, name: str) -> PostgresServer:
    files = {"ssl_cert_file": f"'{folder}/{name}.crt'", "ssl_key_file": f"'{folder}/{name}.key'"}
    server = PostgresServer(settings={"ssl": "on", **files})
    if server._runs_as:  # noqa: SLF001 - it refuses a key that is not its own
        shutil.chown(folder / f"{name}.key", server._runs_as)  # noqa: SLF001
    return server


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PostgresServer]:
    with with_certificate(folder, "server") as server:
        yield server


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Iterator[PostgresServer]:
    with with_certificate(folder, "stranger") as stranger:
        yield stranger


@pytest.fixture
def open_at(
    server: PostgresServer, folder: Path, open_engines: Callable[[str], AsyncEngine]
) -> Callable[..., AsyncEngine]:
    """The first of the two hosts is gone."""
    return lambda host, *, trusting: open_engines(
        f"postgresql://postgres@{host}:1,{host}:{server.port}/postgres"
        f"?sslmode=verify-full&sslrootcert={folder}/{trusting}.crt"
    )


async def test_a_server_that_the_certificate_names_is_trusted(open_at: Callable[..., AsyncEngine]) -> None:
    engine = open_at("localhost", trusting="server")
    async with engine.connect() as connection:
        asked = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert (await connection.execute(asked)).scalar_one() is True


@pytest.mark.parametrize(
    ("host", "trusting", "reason"),
    [("localhost", "stranger", "CERTIFICATE_VERIFY_FAILED"), ("127.0.0.1", "server", "not valid for '127.0.0.1'")],
    ids=["of another authority", "of another name"],
)
async def test_any_other_is_not(open_at: Callable[..., AsyncEngine], host: str, trusting: str, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        await server_version(open_at(host, trusting=trusting))


@pytest.mark.parametrize("stranger_is_first", [True, False])
async def test_of_two_hosts_the_one_with_the_wrong_certificate_is_passed_over(
    server: PostgresServer,
    stranger: PostgresServer,
    folder: Path,
    open_engines: Callable[[str], AsyncEngine],
    *,
    stranger_is_first: bool,
) -> None:
    ports = [stranger.port, server.port] if stranger_is_first else [server.port, stranger.port]
    hosts = ",".join(f"localhost:{port}" for port in ports)
    engine = open_engines(f"postgresql://postgres@{hosts}/postgres?sslmode=verify-full&sslrootcert={folder}/server.crt")
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT inet_server_port()"))).scalar_one() == server.port


async def test_a_host_with_the_wrong_certificate_is_named_where_no_other_is_left(
    stranger: PostgresServer, folder: Path, open_engines: Callable[[str], AsyncEngine]
) -> None:
    url = f"postgresql://postgres@localhost:1,localhost:{stranger.port}/postgres"
    with pytest.raises(Unavailable, match=rf"localhost:{stranger.port}: .*CERTIFICATE_VERIFY_FAILED"):
        await server_version(open_engines(f"{url}?sslmode=verify-full&sslrootcert={folder}/server.crt"))
