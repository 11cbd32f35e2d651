"""Pages, run headless: what they say equals the record, and nothing a name says is obeyed."""

import re

import pytest

from db.queue import RunQueue
from db.repository import RunRepository
from planner.record import PlanRecord

Screen = object


def visible(app) -> str:
    """All texts of a page on one line, Markdown escapes taken off."""
    parts = [
        element.value if hasattr(element, "value") else ""
        for kind in (app.title, app.header, app.markdown, app.caption, app.info, app.error, app.code)
        for element in kind
    ]
    parts += [element.proto.body for element in app.get("html")]
    return re.sub(r"[\s\u00a0]+", " ", re.sub(r"\\(.)", r"\1", " ".join(map(str, parts))))


@pytest.fixture
def stored(database, record: PlanRecord) -> str:
    return RunRepository(database).add(record, seconds=12)


def test_without_a_plan_the_page_offers_the_quickstart(screen):
    app = screen()
    assert "No plan yet" in visible(app)
    assert "waferlag plan 1-quickstart" in visible(app)
    assert [button.label for button in app.button] == ["Plan the quickstart"]


def test_the_answer_page_says_the_records_sentence_and_figures(screen, stored: str, record: PlanRecord):
    text = visible(screen())
    assert record.answer.sentence in text
    assert record.answer.waiting in text
    for figure in ("14 Aug 2025", "91 %", "89–93 %", "76.4 M CNY", "61.2 M CNY to 94.8 M CNY", "4.6 M CNY"):
        assert figure in text
    assert all(reason in text for reason in record.reasons)


def test_the_rivals_table_holds_the_records_numbers(screen, stored: str, record: PlanRecord):
    frame = screen().dataframe[-1].value
    assert next(iter(frame["way to act"])) == "this plan"
    assert set(frame["way to act"][1:]) == {rival.name for rival in record.rivals}


def test_the_newest_plan_is_shown_unless_the_address_names_another(screen, database, record: PlanRecord):
    older = RunRepository(database).add(record)
    renamed = record.scenario.model_copy(update={"title": "A later plan"})
    RunRepository(database).add(record.model_copy(update={"scenario": renamed}))
    assert "A later plan" in visible(screen())
    assert "The day of the news" in visible(screen(run=older))


def test_an_unknown_run_in_the_address_is_told_plainly(screen, stored: str):
    app = screen(allow_errors=True, run="20000101-000000-000000")
    assert "unknown run" in re.sub(r"\\(.)", r"\1", app.error[0].value)
    assert "Traceback" not in app.error[0].value


def test_hostile_names_are_shown_as_they_are(screen, database, hostile: PlanRecord):
    run = RunRepository(database).add(hostile)
    app = screen(run=run)
    bodies = " ".join(element.proto.body for element in app.get("html"))
    assert "<script" not in bodies
    assert "**bold**" in bodies
    for element in app.markdown:
        bare = re.sub(r"\\.", "", element.value)  # what is left is Markdown that acts
        assert not re.search(r"<script|\]\(http|\$x|:red\[", bare)


def test_a_run_that_waits_is_shown_with_its_state(screen, database):
    from planner.intake import open_scenario

    RunQueue(database).put_scenario(open_scenario("1-quickstart").scenario, (), "test")
    assert "waiting for a worker" in " ".join(bar.proto.text for bar in screen().get("progress"))
