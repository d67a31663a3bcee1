from tests.unit.events_page import PAGE, page


def test_the_page_about_events_says_what_the_types_say() -> None:
    assert PAGE.read_text() == page(), "write it anew: .venv/bin/python -m tests.unit.events_page"
