"""Gives the code of this release the migrations of a release to come."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from adapters.sql import revisions as known
from adapters.sql.migrations import files

_HEAD: Final = '''"""A migration of a test."""

import sqlalchemy as sa
from alembic import op

from adapters.sql.migrations.changing import change_check
from adapters.sql.migrations.steps import BuildIndex, FillRows, ValidateCheck

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None

'''


def write_migrations(versions: Path, bodies: Sequence[str]) -> list[str]:
    """Add a migration for each body, which is the code after its head. Return their revisions."""
    written = []
    for body in bodies:
        before = max(file.name[1:5] for file in versions.glob("r[0-9]*.py"))
        revision = f"{int(before) + 1:04}"
        (versions / f"r{revision}_of_a_test.py").write_text(_HEAD.format(revision=revision, before=before) + body)
        written.append(revision)
    return written


@contextmanager
def later_release(folder: Path, *bodies: str) -> Iterator[list[str]]:
    """While the block lasts, this process is the later release, and so are the engines that it makes.

    Yield the revisions that this release doesn't have.
    """
    migrations = folder / "later"
    if not migrations.exists():
        shutil.copytree(Path(files.__file__).parent, migrations)
        write_migrations(migrations / "versions", bodies)
    ours = known.revisions()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_FOLDER", migrations)
        patch.setattr(known, "_MIGRATIONS", migrations / "versions")
        known.revisions.cache_clear()
        try:
            yield [each for each in known.revisions() if each not in ours]
        finally:
            known.revisions.cache_clear()
