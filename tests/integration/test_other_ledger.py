"""A command that only reads makes no files, and no program works with the ledger of another shop."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.forked import ForkedHoldfast
from tests.service import HOLDFAST, Service


def run(service: Service, *arguments: str) -> tuple[int, str]:
    process = ForkedHoldfast(
        argv=[str(HOLDFAST), *arguments],
        env=service.environment(),
        log=service.folder / "command.log",
        cwd=service.folder,
    ).start()
    return process.wait(seconds=60), process.output()


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.name != "command.log"}


READING = [
    ("doctor",),
    ("reconcile",),
    ("reconcile", "--repair"),
    ("status",),
    ("seed",),
    ("products", "list"),
    ("products", "restock", "1", "5", "--reason", "found"),
    ("dead", "list"),
    ("dead", "show", "1"),
]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_command_makes_no_shop_where_there_is_none(embedded: Service, command: tuple[str, ...]) -> None:
    status, said = run(embedded, *command, "--data", "elsewhere/shop")
    assert status == 1, said
    [line] = said.splitlines()
    assert "there is no shop in elsewhere/shop yet: run `holdfast migrate`" in line
    assert files(embedded.folder) == set()


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_command_makes_no_shop_of_an_empty_file(embedded: Service, command: tuple[str, ...]) -> None:
    embedded.folder.joinpath("holdfast.db").touch()
    status, said = run(embedded, *command, "--data", ".")
    assert status == 1, said
    assert "there is no shop in . yet" in said
    assert [path.stat().st_size for path in files(embedded.folder)] == [0]


@pytest.fixture
def shops(tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    """Two shops, each with a ledger of its own, that were open once."""
    pair = [Service(folder=tmp_path / name) for name in ("one", "two")]
    for shop in pair:
        shop.folder.mkdir()
        shop.start("up")
        shop.wait_until_ready()
        assert set(shop.stop().values()) == {0}
    yield pair[0], pair[1]
    for shop in pair:
        shop.kill()


def test_a_ledger_is_this_shops_or_refused(shops: tuple[Service, Service]) -> None:
    one, two = shops
    assert run(one, "reconcile") == (0, "everything agrees\n")

    # Named wrongly, in each way in which it can be.
    one.settings["HOLDFAST_GATEWAY_LEDGER"] = str(one.data / "gatewy.db")
    status, said = run(one, "reconcile", "--repair")
    assert status == 1
    assert "there is no payment ledger" in said
    assert "HOLDFAST_GATEWAY_LEDGER" in said
    assert not (one.data / "gatewy.db").exists()

    one.settings["HOLDFAST_GATEWAY_LEDGER"] = str(two.data / "gateway.db")
    for command in ("reconcile", "up"):
        status, said = run(one, command)
        assert status == 1, said
        assert "is another shop's" in said.splitlines()[-1]
    assert run(two, "reconcile") == (0, "everything agrees\n")
