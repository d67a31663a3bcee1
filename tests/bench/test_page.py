import json
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from bench.page import keep, kept, what_limits
from bench.plot import plot
from bench.report import show
from bench.result import encode
from tests.bench.results import make_result

_KEYS = {
    "scenario",
    "accepted_per_s",
    "completed_per_s",
    "ceiling_per_s",
    "ratio_to_ceiling",
    "unbatched_per_s",
    "ratio_to_unbatched",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "cpu_ms_per_order",
    "memory_mb",
    "invariants",
    "reach",
    "peers",
}


def test_a_result_is_one_line_of_json_with_all_that_was_asked_for() -> None:
    line = encode(make_result())

    assert "\n" not in line
    told = json.loads(line)
    assert told.keys() >= _KEYS
    assert told["cpu_ms_per_order"]["total"] == 0.45
    assert told["reach"] == [{"aim": "of the ceiling: at least 0.65", "measured": "0.656", "reached": True}]


@pytest.mark.parametrize("missing", [{}, {"ceiling_per_s": None, "unbatched_per_s": None}])
def test_a_picture_is_well_formed_and_shows_each_figure(missing: dict[str, None]) -> None:
    picture = plot(make_result(**missing))

    words = {element.text for element in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314 - our own
    assert {"Holdfast", "4,200/s", "a <peer> & friend *", "14 ms", "41 ms", "55 ms", "api 0.25"} <= words
    assert ("6,400/s" in words) is not bool(missing)
    assert "prefers-color-scheme: dark" in picture


def test_what_was_not_measured_has_no_bar_and_no_latency(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("accepted_per_s", "ceiling_per_s", "unbatched_per_s", "p50_ms", "p99_ms", "p999_ms"))
    result = make_result(scenario="backlog", peers=[], **nothing)

    keep(tmp_path, [result])
    show(result, Console(file=(told := StringIO())))

    picture = (tmp_path / "performance" / "backlog.svg").read_text()
    assert "4,200/s" in picture
    assert "Latency" not in picture
    assert "not measured" in (tmp_path / "performance.md").read_text()
    assert "latency" not in told.getvalue()


def test_no_bar_is_longer_than_its_picture() -> None:
    picture = ET.fromstring(plot(make_result(ceiling_per_s=10.0, p999_ms=99_999.0)))  # noqa: S314 - our own
    width = float(picture.attrib["width"])
    for bar in picture.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(bar.attrib.get("x", 0)) + float(bar.attrib["width"]) <= width


def test_the_page_is_made_anew_and_what_a_person_wrote_stays(tmp_path: Path) -> None:
    keep(tmp_path, [make_result()])
    page = tmp_path / "performance.md"
    page.write_text(page.read_text() + "Batches by group commit gave a factor of three.\n")

    keep(tmp_path, [make_result(completed_per_s=5123.0), make_result(scenario="hot")])

    text = page.read_text()
    assert "5,123" in text
    assert "4,200" not in text.split("## hot")[0].split("## place")[1].split("| process |")[0]
    assert text.count("Batches by group commit gave a factor of three.") == 1
    assert text.count("## What each change gave") == 1
    for name in ("place", "hot"):
        assert f"](performance/{name}.svg)" in text
        assert (tmp_path / "performance" / f"{name}.svg").exists()


def test_pictures_can_be_made_again_of_what_was_kept(tmp_path: Path) -> None:
    results = [make_result(), make_result(scenario="lonely", figures={"how": "it asks", "never": None})]
    keep(tmp_path, results)
    assert kept(tmp_path) == results


def test_a_scenario_on_many_orders_has_a_page_of_its_own(tmp_path: Path) -> None:
    keep(tmp_path, [make_result(), make_result(orders=1_000_000, figures={"with_few_orders_per_s": 4000.0})])
    assert {file.name for file in (tmp_path / "performance").iterdir()} == {"place.svg", "place-1000000.svg"}


@pytest.mark.parametrize(
    ("cores_busy", "verdict"),
    [
        ({"api": 0.97, "postgresql": 0.5}, "api has a core and fills it"),
        ({"api": 0.6, "postgresql": 0.6, "worker": 0.6}, "the 2 cores"),
        ({"api": 0.97, "postgresql": 0.5, "others": 0.4}, "what else ran on this machine: it took 0.40 of 2 cores"),
        ({"api": 0.2, "postgresql": 0.1}, "not the processors, of which 1.70 were free"),
    ],
)
def test_what_limits_a_scenario_is_what_is_full(cores_busy: dict[str, float], verdict: str) -> None:
    assert what_limits(make_result(cores_busy=cores_busy)).startswith(verdict)
