import json
import os
from pathlib import Path

from tests.service import Service


def test_orders_are_exported_from_the_command_line(migrated: Service, tmp_path: Path) -> None:
    migrated.run("products", "add", "--name", "=pen", "--price", "1250", "--currency", "EUR", "--stock", "3")
    head, row = map(json.loads, migrated.run("export", "products").splitlines())
    assert (head, row["name"], row["stock"]) == ({"as_of_position": 0, "what": "products"}, "=pen", 3)
    file = tmp_path / "products.csv"
    migrated.run("export", "products", "--format", "csv", "--filter", '{"active": true}', "--output", str(file))
    assert file.read_text().splitlines()[2].split(",")[1] == "'=pen"
    assert list(tmp_path.glob(".*csv*")) == []
    status, output = migrated.try_to_run("export", "products", "--filter", '{"status": ["PAID"]}')
    assert (status, "no such filter" in output) == (1, True)
    status, output = migrated.try_to_run("export", "orders", "--output", str(tmp_path / "none" / "x"))
    assert (status, "can't be written" in output) == (1, True)


def test_an_export_replaces_no_link_and_nothing_but_files(embedded: Service, tmp_path: Path) -> None:
    embedded.run("migrate")
    file, link, pipe = (tmp_path / name for name in ("file", "link", "pipe"))
    link.symlink_to(file)
    file.touch()
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for output in (link, pipe):
            embedded.run("export", "products", "--output", str(output))
        assert os.read(reading, 10_000) == file.read_bytes() != b""
    finally:
        os.close(reading)
    assert (link.is_symlink(), pipe.is_fifo()) == (True, True)
    status, told = embedded.try_to_run("export", "products", "--output", str(tmp_path))
    assert (status, "Is a directory" in told) == (1, True)
