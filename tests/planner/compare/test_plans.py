"""What changed between two plans, in words and figures, and which inputs did."""

import pytest

from planner.compare.plans import GROUPS, Cause, compare, group_of, input_moves, swap
from planner.report.change_sentences import order_move, sentence
from planner.report.language import ENGLISH
from planner.scenario.models import Scenario


def _with(scenario: Scenario, **changes) -> Scenario:
    """A scenario with dotted paths replaced: ``pools__0__load__requests_per_second=4``."""
    body = scenario.model_dump(mode="json")
    for path, value in changes.items():
        *steps, last = path.split("__")
        place = body
        for step in steps:
            place = place[int(step) if step.isdigit() else step]
        place[last] = value
    return Scenario.model_validate(body)


def test_two_equal_plans_say_that_nothing_changed(make_record):
    changes = compare(make_record(), make_record())
    assert sentence(changes, ENGLISH) == "Nothing changed since the run before."
    assert (changes.moves, changes.orders, changes.inputs) == ([], [], [])


def test_a_fall_below_the_goal_is_said_first_with_its_figures(make_record):
    changes = compare(make_record(probability=0.91), make_record(probability=0.84))
    assert sentence(changes, ENGLISH).startswith(
        "Probability in the weakest month fell from 91.0% to 84.0%, below the goal of 90%"
    )
    assert changes.moves[0].before == 0.91
    assert changes.moves[0].after == 0.84


def test_orders_are_compared_line_by_line(make_record):
    (move,) = compare(make_record(gpus=96), make_record(gpus=64)).orders
    assert (move.gpus_before, move.gpus_after) == (96, 64)
    assert order_move(move, ENGLISH) == "2025-07: 64 instead of 96 H20-96GB from h20 for chat"


def test_an_order_that_is_new_or_gone_counts_from_or_to_nothing(make_record):
    (new,) = compare(make_record(orders=[]), make_record()).orders
    (gone,) = compare(make_record(), make_record(orders=[])).orders
    assert (new.gpus_before, new.gpus_after) == (0, 96)
    assert (gone.gpus_before, gone.gpus_after) == (96, 0)


def test_inputs_that_changed_without_moving_the_answer_are_told_as_that(make_record, make_scenario):
    other = make_record(_with(make_scenario(), goal__cvar_level=0.8))
    changes = compare(make_record(), other)
    assert sentence(changes, ENGLISH) == "The answer is the same, though inputs changed since the run before."
    assert [(move.group, move.place, move.before, move.after) for move in changes.inputs] == [
        ("goal", "goal.cvar_level", 0.9, 0.8)
    ]


@pytest.mark.parametrize(
    ("changes", "group"),
    [
        ({"pools__0__load__requests_per_second": 5.0}, "demand"),
        ({"pools__0__growth__base": 1.2}, "demand"),
        ({"pools__0__slo__ttft_ms": 900.0}, "demand"),
        ({"pools__0__precision": "fp8"}, "profile"),
        ({"pools__0__layouts": {"H20-96GB": {"tp": 8}}}, "profile"),
        ({"gates__0__always": "open"}, "gates"),
        ({"sources__0__price": {"amount": 120_000}}, "prices"),
        ({"sources__1__price_per_gpu_hour": {"amount": 12.0}}, "prices"),
        ({"costs__pue": 1.4}, "prices"),
        ({"sources__0__max_gpus_per_month": 64}, "supply"),
        ({"fleet": [{"sku": "H20-96GB", "pool": "chat", "gpus": 8}]}, "fleet"),
        ({"goal__probability": 0.8}, "goal"),
        ({"start": "2025-08-01"}, "calendar"),
        ({"seed": 8}, "sampling"),
    ],
)
def test_each_field_belongs_to_a_group_and_swapping_the_group_carries_it_over(
    make_record, make_scenario, changes, group
):
    before, after = make_scenario(), _with(make_scenario(), **changes)
    assert {move.group for move in input_moves(make_record(before), make_record(after))} == {group}
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    assert swap(old, new, group) == new
    for other in set(GROUPS) - {group}:
        assert swap(old, new, other) == old


def test_every_field_of_a_scenario_has_a_group_or_moves_no_figure():
    silent = {name for name in Scenario.model_fields if group_of(name) is None}
    assert silent == {"name", "title", "description", "evidence"}


def test_groups_swapped_one_after_the_other_give_the_whole_change(make_scenario):
    before = make_scenario()
    after = _with(
        before,
        pools__0__load__requests_per_second=5.0,
        pools__0__precision="fp8",
        sources__0__price={"amount": 120_000},
        sources__0__lot_gpus=16,
        gates__0__always="open",
        goal__probability=0.8,
        start="2025-08-01",
    )
    mixed, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    for group in GROUPS:
        mixed = swap(mixed, new, group)
    assert mixed == new


def test_an_added_pool_comes_with_demand_and_an_added_source_with_supply(make_scenario):
    before = make_scenario().model_dump(mode="json")
    pool = {**before["pools"][0], "name": "coder"}
    source = {**before["sources"][0], "name": "h20-new"}
    after = {**before, "pools": [*before["pools"], pool], "sources": [source]}
    assert [entry["name"] for entry in swap(before, after, "demand")["pools"]] == ["chat", "coder"]
    assert [entry["name"] for entry in swap(before, after, "supply")["sources"]] == ["h20-new"]
    assert swap(before, after, "prices") == before


def test_a_changed_version_is_an_input_too(make_record):
    newer = {"waferlag": "0.2.0", "python": "3.11", "numpy": "2", "simpy": "4", "highspy": "1"}
    (move,) = compare(make_record(), make_record(versions=newer)).inputs
    assert (move.group, move.before, move.after) == ("version", "0.1.0", "0.2.0")


def test_the_biggest_cause_is_named_in_the_sentence(make_record):
    causes = [
        Cause(group="gates", probability=-0.01, mean_cost=0.0, gpus_ordered=0),
        Cause(group="demand", probability=-0.06, mean_cost=0.0, gpus_ordered=0),
    ]
    changes = compare(make_record(probability=0.91), make_record(probability=0.84), causes)
    told = "Why: demand: -6.0 points, 0 CNY, 0 GPUs; gates: -1.0 points, 0 CNY, 0 GPUs."
    assert sentence(changes, ENGLISH).endswith(told)
