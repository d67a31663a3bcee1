"""The pages of decisions: each has a number of its own, and is in the list."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

FOLDER: Final = Path("docs/decisions")
PAGES: Final = sorted(page.name for page in FOLDER.glob("[0-9]*.md"))


def test_no_two_decisions_have_one_number() -> None:
    numbers = Counter(page.partition("-")[0] for page in PAGES)
    assert [number for number, times in numbers.items() if times > 1] == []


def test_each_page_has_its_number_in_its_title() -> None:
    for page in PAGES:
        title = (FOLDER / page).read_text().partition("\n")[0]
        assert title.startswith(f"# {page.partition('-')[0]}. "), page


def test_the_list_names_each_page_once_and_by_its_number() -> None:
    listed = re.findall(r"^\| (\d+) \| \[.*\]\((.*)\) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert [page for _, page in listed] == PAGES
    assert all(page.startswith(f"{number}-") for number, page in listed)
