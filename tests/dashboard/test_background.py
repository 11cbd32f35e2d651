"""The process beside the server: answers, passes on what the user did wrong, and comes back after a death."""

import pytest

from dashboard.background import Background, BackgroundError
from planner.record import PlanRecord


@pytest.fixture(scope="module")
def background():
    process = Background()
    yield process
    if process._process is not None:
        process._process.kill()


def test_an_answer_equals_that_of_this_process(background: Background, record: PlanRecord):
    from dashboard import trace

    assert background.ask("story", record, 5) == trace.story(record, 5)


def test_a_mistake_comes_back_as_a_message(background: Background, record: PlanRecord):
    with pytest.raises(BackgroundError, match="our mistake: KeyError"):
        background.ask("no such question", record)


def test_a_killed_process_is_told_and_the_next_question_starts_a_new_one(
    background: Background, record: PlanRecord
):
    background.ask("story", record, 0)
    background._process.kill()
    background._process.wait()
    assert background.ask("story", record, 0).future == 0
