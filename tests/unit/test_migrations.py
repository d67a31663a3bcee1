"""Two who work side by side may give their migrations one number. Nothing could be migrated then."""

import re
from pathlib import Path
from typing import Final

VERSIONS: Final = sorted(Path("adapters/sql/migrations/versions").glob("r[0-9]*.py"))


def test_migrations_are_numbered_one_after_the_other() -> None:
    assert [file.name[1:5] for file in VERSIONS] == [f"{number:04}" for number in range(1, len(VERSIONS) + 1)]


def test_each_migration_follows_the_one_before() -> None:
    for number, file in enumerate(VERSIONS, start=1):
        written = dict(re.findall(r'^(revision|down_revision): .* = "?(\w+)"?$', file.read_text(), re.MULTILINE))
        before = f"{number - 1:04}" if number > 1 else "None"
        assert written == {"revision": f"{number:04}", "down_revision": before}, file.name
