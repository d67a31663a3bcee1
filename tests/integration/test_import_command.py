import json
from pathlib import Path

from tests.service import Service


def test_a_file_is_imported_from_the_command_line(migrated: Service, tmp_path: Path) -> None:
    table = tmp_path / "products.csv"
    table.write_text("sku,name,price,currency,stock\nPEN,Pen,1250,EUR,5\nINK,Ink,x,EUR,5\n")
    status, output = migrated.try_to_run("import", "products", str(table))
    assert (status, "/price" in output, "nothing was changed" in output) == (1, True, True)
    assert len(migrated.run("export", "products").splitlines()) == 1

    status, output = migrated.try_to_run("import", "products", str(table), "--on-error", "skip")
    assert (status, "1 added, 1 bad" in output, "left out" in output) == (1, True, True)
    table.write_text(table.read_text().replace("x", "300"))
    assert "1 would be added, 1 would be unchanged" in migrated.run("import", "products", str(table), "--dry-run")
    assert "1 added, 1 unchanged" in migrated.run("import", "products", str(table))
    names = [json.loads(row)["name"] for row in migrated.run("export", "products").splitlines()[1:]]
    assert names == ["Pen", "Ink"]
    assert "everything agrees" in migrated.run("reconcile")

    for wrong in (tmp_path / "none.csv", tmp_path, migrated.folder):
        status, output = migrated.try_to_run("import", "products", str(wrong))
        assert (status, len(output.splitlines()), "can't be read" in output) == (2, 1, True), output
    status, output = migrated.try_to_run("import", "stock", str(table))
    assert (status, len(output.splitlines()), "no column of stock" in output) == (2, 1, True), output
