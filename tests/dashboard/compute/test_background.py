"""The process beside the server: answers, passes on what the user did wrong, and comes back after a death."""

import pytest

from dashboard.compute.background import Background, BackgroundError
from planner.record.models import PlanRecord


@pytest.fixture(scope="module")
def background():
    process = Background(processes=1)
    yield process
    process.close()


def test_an_answer_equals_that_of_this_process(background: Background, record: PlanRecord):
    from planner.compare import single_future as trace

    assert background.ask("story", record, 5) == trace.story(record, 5)


def test_a_mistake_comes_back_as_a_message(background: Background, record: PlanRecord):
    with pytest.raises(BackgroundError, match="our mistake: KeyError"):
        background.ask("no such question", record)


def test_after_a_process_was_killed_the_next_question_starts_a_new_one(background: Background, record: PlanRecord):
    background.ask("story", record, 0)
    process = background._free.get()
    process._process.kill()
    process._process.wait()
    background._free.put(process)
    assert background.ask("story", record, 0).future == 0


def test_a_named_question_is_asked_once_and_again_only_after_a_failure(background: Background, record: PlanRecord):
    first = background.begin("seventh", "story", record, 7)
    assert background.begin("seventh", "story", record, 7) is first
    assert first.result().future == 7
    failed = background.begin("nonsense", "no such question", record)
    assert failed.exception() is not None
    assert background.begin("nonsense", "no such question", record) is not failed
