"""Other releases of Holdfast, as folders with their code: the one before, from git, and the one to come.

Both run in this environment, so that their dependencies are those of this one.
"""

import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Final

from tests.later_release import write_migrations

ROOT: Final = Path(__file__).parents[1]
_PACKAGES: Final = ("domain", "application", "adapters", "entrypoints")
# The commit that a clone without the tags of releases has all the same, unless it is shallow.
_PINNED: Final = ROOT / "tests" / "previous_release"
# What the release to come adds to the largest table, fills, and demands of it in the end. New rows get the value by
# themselves, also those that the release before adds, so that none is without it once the others are filled.
EXPANSION: Final = (
    """
def upgrade():
    op.create_table("channels", sa.Column("name", sa.String(16), primary_key=True))
    op.add_column("orders", sa.Column("channel", sa.String(16)))
    op.execute("ALTER TABLE orders ALTER channel SET DEFAULT 'web'")
""",
    """
before_upgrade = (
    FillRows(table="orders", values="channel = 'web'", condition="channel IS NULL"),
    BuildIndex(name="orders_by_channel", table="orders", columns=["channel", "created_at", "id"]),
)

def upgrade():
    op.execute("ALTER TABLE orders ADD CONSTRAINT orders_have_a_channel CHECK (channel IS NOT NULL) NOT VALID")

before_contract = (ValidateCheck(table="orders", name="orders_have_a_channel"),)

def contract():
    # PostgreSQL takes the check for proof, and reads no row.
    op.execute("ALTER TABLE orders ALTER channel SET NOT NULL")
    op.execute("ALTER TABLE orders DROP CONSTRAINT orders_have_a_channel")
""",
)


class ReleaseMissing(Exception):
    """This clone does not have the release before; the message says why."""


def unpack_previous_release(folder: Path) -> None:
    """Raise `ReleaseMissing`."""
    commit = _previous_commit()
    packed = _git("archive", "--format=tar", commit, *_PACKAGES)
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def _previous_commit() -> str:
    """The newest tag of a release before this commit, or the pinned commit where there is none."""
    pinned = _PINNED.read_text().split()[0]
    try:
        _git("cat-file", "-e", f"{pinned}^{{commit}}")
    except ReleaseMissing:
        raise ReleaseMissing(
            f"commit {pinned}, the release before, is not in this clone: `git fetch --unshallow --tags` gets it"
        ) from None
    for tag in _git("tag", "--merged", "HEAD^", "--sort=-creatordate", "--list", "v[0-9]*").decode().split():
        # A release from before the pinned one knows nothing of releases beside it.
        if _is_ancestor(pinned, tag):
            return tag
    return pinned


def _is_ancestor(earlier: str, later: str) -> bool:
    try:
        _git("merge-base", "--is-ancestor", earlier, later)
    except ReleaseMissing:
        return False
    return True


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True, timeout=120)
    except FileNotFoundError:
        raise ReleaseMissing("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise ReleaseMissing(f"git {arguments[0]}: {error.stderr.decode(errors='replace').strip()}") from None
    return done.stdout


def make_next_release(folder: Path, *bodies: str) -> None:
    """This release, with these migrations more."""
    for package in _PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    write_migrations(folder / "adapters" / "sql" / "migrations" / "versions", bodies)
