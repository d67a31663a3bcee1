from tests.unit.metrics_page import PAGE, page


def test_the_page_lists_the_metrics_that_there_are() -> None:
    assert PAGE.read_text() == page(), "write it anew: .venv/bin/python -m tests.unit.metrics_page"
