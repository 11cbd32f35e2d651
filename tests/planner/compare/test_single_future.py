"""The plan's orders in single futures: the same random numbers as the plan's, and nothing gets lost."""

import itertools

import pytest

from planner.compare import single_future as trace
from planner.record.models import PlanRecord


@pytest.fixture(scope="module")
def rows(record: PlanRecord) -> list[dict]:
    return trace.pipeline(record, futures=40)


@pytest.fixture(scope="module")
def stories(record: PlanRecord) -> list[trace.Story]:
    """The first sixty futures."""
    return [trace.story(record, future) for future in range(60)]


def test_every_month_accounts_for_every_gpu_that_was_ordered_by_then(record: PlanRecord, rows: list[dict]):
    for month in record.months:
        placed = sum(order.gpus for order in record.orders if order.order_on <= month.start)
        counted = sum(row["gpus"] for row in rows if row["month"] == month.month)
        assert counted == pytest.approx(placed, abs=1e-9)


def test_gpus_that_serve_never_leave_again(record: PlanRecord, rows: list[dict]):
    serving = [row["gpus"] for row in rows if row["place"] == "serving"]
    assert serving == sorted(serving)
    assert serving[-1] > 0


def test_a_story_is_the_same_each_time_and_other_futures_differ(record: PlanRecord):
    assert trace.story(record, 3) == trace.story(record, 3)
    assert trace.story(record, 3).visits != trace.story(record, 4).visits


def test_nothing_is_drawn_of_an_order_after_its_end(stories: list[trace.Story]):
    checked = 0
    for told in stories:
        ends = {
            item.figures["order"]: item.day
            for item in told.happenings
            if item.what in ("{order}: cancelled.", "{order}: refused.")
        }
        for row in told.visits:
            if row["order"] in ends:
                assert row["end"] <= ends[row["order"]]
                checked += 1
    assert checked


def test_gates_of_a_story_cover_the_horizon_without_gaps(record: PlanRecord):
    gates = trace.story(record, 0).gates
    assert {row["gate"] for row in gates} == {gate.name for gate in record.scenario.gates}
    for name in {row["gate"] for row in gates}:
        own = [row for row in gates if row["gate"] == name]
        assert own[0]["start"] == record.scenario.start
        assert all(one["end"] == two["start"] for one, two in itertools.pairwise(own))


def test_a_story_tells_about_ten_dated_lines_in_order(record: PlanRecord):
    told = trace.story(record, 0).told()
    assert 1 <= len(told) <= 11
    assert [item.day for item in told] == sorted(item.day for item in told)


def test_shares_of_the_stories_agree_with_the_pipeline(stories: list[trace.Story], rows: list[dict]):
    futures = 40
    served = 0
    for told in stories[:futures]:
        for item in told.happenings:
            if item.what == "{order}: serves.":
                served += int(item.figures["order"].split()[0])
    last = next(row["gpus"] for row in reversed(rows) if row["place"] == "serving")
    # The pipeline counts at the first minute of the last month; stories run to the horizon's end.
    assert served / futures >= last


def test_a_plan_without_orders_has_an_empty_pipeline(record: PlanRecord):
    assert trace.pipeline(record.model_copy(update={"orders": []})) == []
