"""The accuracy pages: what they say is what the JSON beside them holds, and the screen draws it."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from dashboard.accuracy.figures import _PLACES, gate_scores, laid_out, published_day, read, score_rows, shipped, stored
from dashboard.accuracy.pages import SECTIONS, SUBJECTS, headlines, renewed, told, with_section
from dashboard.charts.accuracy import day_compared, error_by_rows, gate_skill

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / "docs" / "accuracy.md"
FOLDER = ROOT / "docs" / "accuracy"
FIGURES = sorted(name for names in SUBJECTS.values() for name in names)


@pytest.mark.parametrize("name", FIGURES)
def test_the_committed_pages_and_figures_are_what_the_json_gives(name):
    """A figure changed on a page, in the JSON's layout or in the index would be another text."""
    for path, text in renewed(INDEX, name, read(FOLDER)[name]).items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_every_section_has_figures_and_stands_on_its_page():
    assert sorted(shipped()) == FIGURES
    for section in SECTIONS:
        page = (FOLDER / f"{section.page}.md").read_text(encoding="utf-8")
        assert f"<!-- section: {section.name} -->\n## {section.title}\n" in page


@pytest.mark.parametrize("path", [INDEX, *sorted(FOLDER.glob("*.md"))], ids=lambda path: path.name)
def test_a_page_can_be_read_at_a_sitting_and_says_no_figure_by_hand(path):
    page = path.read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 150
    by_hand = re.sub(r"<!-- section: (\S+) -->.*?<!-- end of section: \1 -->", "", page, flags=re.DOTALL)
    assert not re.search(r"\d", by_hand)


def test_the_wheel_holds_the_figures_where_the_screen_looks_for_them():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    included = build["targets"]["wheel"]["force-include"]
    assert {ROOT / source: ROOT / target for source, target in included.items()} == {FOLDER: _PLACES[0]}


def test_new_figures_change_their_own_subject_and_the_index_alone(tmp_path):
    index = tmp_path / "mine.md"
    index.write_text("# Mine\n\nwritten by another\n")
    for name in ("hindcast", "promises"):
        for path, text in renewed(index, name, read(FOLDER)[name]).items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    found = read(tmp_path / "mine")
    found["promises"]["plans"][0]["seen"] = 0.1234
    changed = renewed(index, "promises", found["promises"])
    assert sorted(path.name for path in changed) == ["mine.md", "service_level.json", "service_level.md"]
    assert "12.34 %" in changed[tmp_path / "mine" / "service_level.md"]
    assert "written by another" in changed[index]
    assert "(mine/gates.md)" in changed[index]


def test_figures_are_stored_with_six_digits_and_read_back_as_they_were():
    figures = stored({"a": 1 / 3, "none": float("nan"), "rows": [{"b": (-0.0, 7)}]})
    assert figures == {"a": 0.333333, "none": None, "rows": [{"b": [-0.0, 7]}]}
    assert str(json.loads(laid_out({"section": figures}))["section"]) == str(figures)


def test_a_section_is_replaced_and_its_neighbours_stay():
    page = with_section(with_section("# Accuracy\n", "serving", "old"), "hindcast", "kept")
    page = with_section(page, "serving", "new")
    assert "old" not in page
    assert page.count("section: serving") == 2
    assert "kept" in page
    assert with_section(page, "serving", "new") == page


def test_the_screen_tells_sections_and_its_scores_are_numbers():
    assert all(title and text for title, text in told(shipped()))
    scores = score_rows(shipped())
    assert {row["metric"] for row in scores} == {"TPOT", "throughput", "TTFT"}
    assert all(0 <= row["error"] < 1000 for row in scores)


def test_gate_scores_and_the_published_day_are_read_where_they_are_written():
    laws = {row["law"] for row in gate_scores(shipped())}
    assert {"waferlag", "nothing changes"} <= laws
    day = published_day(shipped())
    assert len(day) == 24
    assert all(row["low"] <= row["predicted"] <= row["high"] for row in day)


@pytest.mark.parametrize(
    ("rows", "draw"), [(score_rows, error_by_rows), (gate_scores, gate_skill), (published_day, day_compared)]
)
def test_every_chart_of_the_accuracy_page_draws(rows, draw):
    figure = draw(rows(shipped()))
    figure.chart.to_dict(validate=True)
    assert figure.svg(500).startswith("<svg")


def test_without_figures_there_are_no_scores():
    assert score_rows({}) == gate_scores({}) == published_day({}) == told({}) == []
    assert headlines({}, "accuracy").count("\n") == 1
