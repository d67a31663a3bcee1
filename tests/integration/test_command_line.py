"""The command line: wrong arguments and their error messages."""

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from domain.orders.status import OrderStatus
from tests.servers.forked import ForkedHoldfast
from tests.servers.process import SLOWEST
from tests.service import HOLDFAST, Service

ADD = ("products", "add", "--name", "Pen", "--price", "1250", "--currency", "EUR", "--stock", "5")


def run(service: Service, *arguments: str, **settings: str) -> tuple[int, str]:
    process = ForkedHoldfast(
        argv=[str(HOLDFAST), *arguments],
        env=service.environment() | settings,
        log=service.folder / "command.log",
        cwd=service.folder,
    ).start()
    return process.wait(seconds=30), process.output()


@pytest.fixture
def shop(migrated: Service) -> Service:
    return migrated


@pytest.mark.parametrize(
    ("arguments", "status", "advice"),
    [
        (("products", "add", *ADD[2:-1], "-1"), 1, "between 0 and"),
        (("products", "add", "--name", "", *ADD[4:]), 1, "1 to 200 characters"),
        ((*ADD, "--id", "0"), 1, "an id is between 1"),
        *(
            (("products", "add", *ADD[2:6], "--currency", code, "--stock", "1"), 1, "ISO 4217")
            for code in ("XXY", "XXX", "XTS", "XAU", "XDR", "USN", "eur", "")
        ),
        (("products", "restock", "1", "5", "--reason", "x"), 1, "there is no product 1"),
        (("products", "add", *ADD[2:4], "--price", "12.50", *ADD[6:]), 2, "--price: '12.50' is not a whole number"),
        (("products", "restock", "1", "2.7", "--reason", "x"), 2, "'2.7' is not a whole number"),
        (("restored", "--since", "9999-12-31T23:59:59Z"), 1, "is in the future"),
        (("restored", "--since", "2026-11-29T10:00:00"), 1, "needs its offset"),
        *(
            (("keys", *arguments), 1, "3650d is the longest")
            for arguments in (
                ("create", "--role", "read", "--name", "till", "--expires-in", "999999999999d"),
                ("rotate", "x", "--overlap", "9" * 40 + "h"),
            )
        ),
        (("dead", "replay", "1", "1.4"), 2, "'1.4' is not a whole number"),
        (("up", "--prot", "1"), 2, "--port"),
        (("up", "--port", "0"), 2, "HOLDFAST_PORT"),
        (("up", "--host", "999.1.1.1"), 1, "999.1.1.1"),
        (("up", "--data", "/proc/nowhere"), 1, "--data"),
        (("worker",), 2, "DATABASE_URL"),
        (("wroker",), 2, "worker"),
    ],
    ids=lambda value: " ".join(value)[-30:] if isinstance(value, tuple) else "",
)
def test_a_mistake_is_answered_with_one_line(
    shop: Service, arguments: tuple[str, ...], status: int, advice: str
) -> None:
    found, said = run(shop, *arguments)
    lines = [line for line in said.splitlines() if "[info" not in line]
    assert (found, len(lines)) == (status, 1), said
    assert lines[0].startswith("holdfast: ")
    assert advice in lines[0]


SERVERS = {"DATABASE_URL": "postgresql://h/x", "REDIS_URL": "redis://h/0", "AMQP_URL": "amqp://h/"}


@pytest.mark.parametrize("command", ["api", "doctor"])
@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({**SERVERS, "REDIS_URL": "redis://h/0?ssl=true"}, "REDIS_URL: has no option 'ssl'"),
        ({**SERVERS, "REDIS_URL": "redis://h/0?password=%ff"}, "REDIS_URL: has a %XX that is no text"),
        ({**SERVERS, "AMQP_URL": "amqps://h/?cafile=/none"}, "AMQP_URL: the option cafile is not a file"),
        ({**SERVERS, "DATABASE_URL": "postgresql://u:p@ss/w#hun@h/x"}, "DATABASE_URL: can't be read as a URL"),
        ({"HOLDFAST_NAMESPACE": "shop\n"}, "HOLDFAST_NAMESPACE: contains a control character"),
        ({"HOLDFAST_DATA": os.fsdecode(b"\xff")}, "HOLDFAST_DATA: is no text in UTF-8"),
    ],
    ids=lambda value: str(value)[-40:] if isinstance(value, str) else "",
)
def test_a_setting_that_cannot_be_used_ends_every_command(
    embedded: Service, command: str, settings: dict[str, str], advice: str
) -> None:
    status, said = run(embedded, command, **settings)
    assert (status, len(said.splitlines())) == (2, 1), said
    assert said.startswith(f"holdfast: {advice}")
    assert "hun" not in said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGSSLMODE", "bogus"),
        ("PGSSLNEGOTIATION", "bogus"),
        ("PGTARGETSESSIONATTRS", "bogus"),
        ("PGPASSFILE", "passwords"),
    ],
)
def test_a_variable_that_the_driver_refuses_is_told_in_words(embedded: Service, variable: str, value: str) -> None:
    (embedded.folder / "passwords").write_bytes(b"\xff:::")
    (embedded.folder / "passwords").chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = {name: url.replace("//h", f"//127.0.0.1:{silent.getsockname()[1]}") for name, url in SERVERS.items()}
        status, said = run(embedded, "migrate", **servers, **{variable: value})
    assert (status, len(said.splitlines())) == (1, 1), said
    assert "correct DATABASE_URL, or a variable PG..." in said


def test_an_env_file_of_another_encoding_is_named(shop: Service) -> None:
    shop.folder.joinpath(".env").write_bytes(b"# f\xfcr den Laden\n")
    status, said = run(shop, "products", "list")
    assert (status, said) == (2, "holdfast: .env: line 1 is no text in UTF-8; save the file as UTF-8\n")


def test_an_argument_that_is_no_text_is_named(shop: Service) -> None:
    status, said = run(shop, *ADD[:3], os.fsdecode(b"Pen \xff"), *ADD[4:])
    assert (status, len(said.splitlines())) == (2, 1)
    assert said.startswith("holdfast: the argument 'Pen \\udcff' is no text in UTF-8")


@pytest.mark.parametrize(
    ("shell", "status", "said"),
    [
        ("{} products list >/dev/full", 1, "holdfast: standard output can't be written: No space left on device\n"),
        ("{} --help >/dev/full", 1, "holdfast: standard output can't be written: No space left on device\n"),
        ("{} products list >&-", 0, ""),
        ("{} products list 2>&- >/dev/null", 0, ""),
        ("{} products restock 9 1 --reason x 2>&-", 1, ""),
        ("{} dead discard 1 --reason x <&- 2>&1", 1, "holdfast: can't ask for confirmation, because"),
        ("PYTHONIOENCODING=ascii {} products list", 0, "F\\xfcller"),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {} products list", 0, "F\\xfcller"),
        # Neither the terminal is steered, nor a line forged.
        ("{} products list", 0, "F\u00fcller\\x1b[2J\\n9  pen\\u202e\n"),
        ("mkdir gone && cd gone && rmdir ../gone && {} products list", 1, "there is no shop in .holdfast yet"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_every_output_takes_every_text_or_says_why_not(shop: Service, shell: str, status: int, said: str) -> None:
    shop.run("products", "add", "--name", "F\u00fcller\x1b[2J\n9  pen\u202e", *ADD[4:])
    environment = shop.environment()
    if "gone" in shell:
        del environment["HOLDFAST_DATA"]
    done = subprocess.run(
        ["/bin/sh", "-c", shell.format(HOLDFAST)],
        env=environment | {"PYTHONUTF8": "1"} if "PYTHON" not in shell else environment,
        cwd=shop.folder,
        capture_output=True,
        timeout=60 * SLOWEST,
        check=False,
    )
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == status, output
    assert said in output
    assert "Traceback" not in output


def test_a_reader_that_has_seen_enough_is_no_trouble(shop: Service) -> None:
    run(shop, "seed")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        listed = subprocess.run(
            [HOLDFAST, "products", "list"],
            env=shop.environment(),
            cwd=shop.folder,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=60 * SLOWEST,
            check=False,
        )
    finally:
        os.close(writing)
    assert (listed.returncode, listed.stderr) == (1, b"")


def test_a_shop_without_tables_says_what_to_do(embedded: Service) -> None:
    for arguments in (("seed",), ("products", "list"), ADD):
        assert run(embedded, *arguments)[0] == 1
    assert embedded.folder.joinpath("command.log").read_text().count("run `holdfast migrate`") == 3


def test_a_row_that_breaks_a_rule_is_named_in_one_line(shop: Service) -> None:
    shop.run(*ADD)
    with closing(sqlite3.connect(shop.data / "holdfast.db")) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        connection.execute("UPDATE products SET stock = -1")
    status, output = run(shop, "products", "restock", "1", "7", "--reason", "delivery")
    assert (status, len(output.splitlines())) == (1, 1)
    assert output.startswith("holdfast: product 1 is stored with invalid values: ")
    # A list shows the others, too.
    [line] = shop.run("products", "list").splitlines()
    assert "1  broken: product 1 is stored with invalid values: " in line


def test_a_catalogue_is_looked_after(shop: Service) -> None:
    assert shop.run(*ADD).split() == ["1"]
    assert shop.run("products", "restock", "1", "7", "--reason", "delivery").split() == ["12"]
    assert shop.run("products", "list").split() == ["1", "12", "12.50", "EUR", "Pen"]


def test_a_catalogue_of_demonstration_is_put_there_once(shop: Service) -> None:
    assert "added 6 products" in shop.run("seed")
    assert "6 were there already" in shop.run("seed")


async def test_products_added_at_once_get_ids_of_their_own(shop: Service) -> None:
    printed = await asyncio.gather(*(asyncio.to_thread(shop.run, *ADD) for _ in range(4)))
    assert sorted(int(line.split()[-1]) for line in printed) == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["a?b#c%20", "with spaces", "mit Ümläuten"])
def test_a_data_folder_may_have_any_name(embedded: Service, name: str, tmp_path: Path) -> None:
    embedded.run("migrate", "--data", str(tmp_path / name))
    assert (tmp_path / name / "holdfast.db").is_file()


@pytest.mark.parametrize(
    "command", ["products list", "dead list", "reconcile", "status", "doctor", "seed", "migrate", "up"]
)
def test_a_data_folder_that_can_not_be_reached_is_named(embedded: Service, command: str) -> None:
    # Like a folder of somebody else's, but also for root.
    status, said = run(embedded, *command.split(), "--data", "a" * 300)
    assert (status, len(said.splitlines())) == (1, 1), said
    assert "File name too long; name another" in said


def test_a_data_folder_belongs_to_one_service(embedded: Service) -> None:
    embedded.start_all(["up"])
    status, said = run(embedded, "up")
    assert status == 1
    assert "another `holdfast up` uses" in said


def test_the_doctor_finds_what_is_wrong(embedded: Service) -> None:
    status, said = run(
        embedded,
        "doctor",
        DATABASE_URL="postgresql://shop:s3cret@127.0.0.1:1/shop",
        REDIS_URL="redis://:s3cret@127.0.0.1:1/0",
        RABBITMQ_URL="amqp://shop:s3cret@127.0.0.1:1/",
    )
    assert status == 1
    assert "RABBITMQ_URL is taken for AMQP_URL" in said
    assert [line.split()[:2] for line in said.splitlines() if "FAILS" in line] == [
        ["database", "FAILS"],
        ["cache", "FAILS"],
        ["broker", "FAILS"],
    ]
    assert "s3cret" not in said


def test_the_status_shows_what_waits_and_who_is_at_work(embedded: Service) -> None:
    embedded.start_all(["up"])

    def found() -> Any:
        return json.loads(embedded.run("status", "--json"))

    embedded.processes["up"].wait_for(lambda: found()["missing"] == [], seconds=30, what="both are at work")
    seen = found()
    assert {each["kind"] for each in seen["processes"]} == {"worker", "relay"}
    assert set(seen["orders"]) == set(OrderStatus)
    assert (seen["dead_letters"], seen["oldest_waiting"], seen["queues"]) == (0, None, [])

    embedded.stop()
    assert found()["missing"] == ["worker", "relay"]
    lines = embedded.run("status").splitlines()
    assert [line.split() for line in lines[-2:]] == [
        ["worker", "MISSING", "none", "is", "at", "work"],
        ["relay", "MISSING", "none", "is", "at", "work"],
    ]


def test_in_json_every_line_is_json(embedded: Service) -> None:
    embedded.settings["HOLDFAST_LOG_FORMAT"] = "json"
    embedded.start_all(["up"]).stop()
    lines = [json.loads(line) for line in embedded.processes["up"].output().splitlines()]
    assert [line["url"] for line in lines if line["event"] == "listening"] == [embedded.url]
