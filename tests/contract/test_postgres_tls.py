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
            timeout=60,
        )
    yield folder
    remove_folder(folder)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PostgresServer]:
    files = {"ssl_cert_file": f"'{folder}/server.crt'", "ssl_key_file": f"'{folder}/server.key'"}
    server = PostgresServer(settings={"ssl": "on", **files})
    if server._runs_as:  # noqa: SLF001 - it refuses a key that is not its own
        shutil.chown(folder / "server.key", server._runs_as)  # noqa: SLF001
    with server:
        yield server


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
