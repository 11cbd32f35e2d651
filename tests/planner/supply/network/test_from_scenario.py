"""From a scenario's words to the spec."""

import datetime as dt

import pytest

from benchmarks.supply import same
from planner.clock import minutes
from planner.sampling import Constant, Exponential, Key, Triangular
from planner.scenario.checks import problems_across_fields
from planner.scenario.errors import ScenarioError
from planner.scenario.load import load
from planner.scenario.models import Scenario
from planner.supply.gates.paths import draw_paths
from planner.supply.network.from_scenario import candidate_orders, first_delivery, supply_spec
from planner.supply.network.gate import Always, FirstDelivery, FromHistory, OwnLaw, Passage, Point, State
from planner.supply.network.spec import Allotment, Cap, Line, While
from planner.supply.simulate import simulate

JULY = "2-h20-july-2025"


@pytest.fixture
def changed():
    """The July scenario with a change made to its document."""

    def make(change, name=JULY):
        raw = load(name).scenario.model_dump(mode="json")
        change(raw)
        return Scenario.model_validate(raw)

    return make


def test_sources_are_the_purchases_and_gates_start_as_history_says():
    scenario = load(JULY).scenario
    spec = supply_spec(scenario)
    assert [source.name for source in spec.sources] == [purchase.name for purchase in scenario.purchases]
    laws = [gate.law for gate in spec.gates]
    assert all(isinstance(law, FromHistory) for law in laws)
    assert [law.state for law in laws] == [State.PROMISED, State.OPEN, State.PROMISED]
    assert spec.horizon_minutes == minutes(scenario.start, dt.date(2027, 1, 1))
    assert spec.month_minutes[:2] == (0, 16 * 1440)


def test_domestic_goods_meet_no_customs_and_foreign_ones_do():
    spec = supply_spec(load(JULY).scenario)
    for source in spec.sources:
        assert (Point.RECEIPT in source.route.steps) == source.sku.startswith("H20")


def test_a_lead_time_factor_stretches_every_stage_with_common_random_numbers(changed):
    def twice(raw):
        for source in raw["sources"]:
            if source["kind"] == "purchase":
                source["lead_time_factor"] = 2.0

    free = {"always": "open"}  # no gate holds anybody: what is left are the stages
    plain = changed(lambda raw: [gate.update(free) for gate in raw["gates"]])
    slow = changed(lambda raw: ([gate.update(free) for gate in raw["gates"]], twice(raw)))
    orders = candidate_orders(plain)
    first = orders.select([at for at in range(len(orders)) if orders.month[at] == 0])
    days = []
    for scenario in (plain, slow):
        made = simulate(supply_spec(scenario), first, Key(7), range(200), engine="fast")
        days.append(made.delivered_at / 1440.0)
    both = (days[0] >= 0) & (days[1] >= 0)
    assert both.sum() > 200
    # Each of a handful of stages is rounded to whole minutes by itself.
    assert days[1][both] == pytest.approx(2 * days[0][both], abs=0.02)


def test_a_promised_us_gate_lets_nobody_order_and_a_conditional_one_asks_for_a_review():
    us = supply_spec(load(JULY).scenario).gates[0]
    assert us.effects[State.PROMISED].order is Passage.HOLD
    review = us.effects[State.CONDITIONAL].review
    assert review is not None
    assert (review.law, review.approval) == (Triangular(25, 120, 240), 0.699)
    assert us.effects[State.CONDITIONAL].fee == 0.0  # the 15 per cent were announced on 11 August


def test_the_fee_counts_once_it_is_public(changed):
    later = changed(lambda raw: raw.update(start="2025-09-01"))
    assert supply_spec(later).gates[0].effects[State.CONDITIONAL].fee == 0.15


def test_a_scenario_changes_effects_laws_and_events(changed):
    def change(raw):
        raw["gates"][0]["effects"] = {
            "conditional": {
                "review_days": 10,
                "approval": 0.5,
                "resubmissions": 2,
                "in_transit": "revoke",
                "refund": 0.2,
            }
        }
        raw["gates"][1] |= {"product": None, "state": "open", "law": {
            "open": {"mean_days": 30, "next": {"closed": 1.0}}, "closed": {"mean_days": 20, "next": {"open": 1.0}},
        }}  # fmt: skip
        raw["gates"][2]["always"] = "open"
        raw["gates"][2]["events"] = [{"date": "2025-08-21", "state": "closed"}]

    spec = supply_spec(changed(change))
    effect = spec.gates[0].effects[State.CONDITIONAL]
    assert effect.review is not None
    assert (effect.review.law, effect.review.approval, effect.review.resubmissions) == (Exponential(10), 0.5, 2)
    assert effect.refund == 0.2
    law = spec.gates[1].law
    assert isinstance(law, OwnLaw)
    assert law.dwell[State.OPEN].stay == Exponential(30)
    assert spec.gates[2].law == Always(State.OPEN)
    assert spec.gates[2].events[0].minute == 36 * 1440


def test_an_announced_change_is_scripted_for_its_day(changed):
    """The rule in force on 15 January 2026 was public on the 13th."""

    def change(raw):
        raw["start"] = "2026-01-14"
        for gate in raw["gates"]:
            gate["product"] = "H200"

    us = supply_spec(changed(change)).gates[0]
    assert [(event.minute, event.state) for event in us.events] == [(1440, State.CONDITIONAL)]


def test_a_prior_of_the_users_own_moves_its_gate_and_no_other(changed):
    def change(raw):
        raw["gates"][0]["prior_median_days"] = {"promised": 20}

    ours, theirs = supply_spec(load(JULY).scenario), supply_spec(changed(change))
    before, after = (spec.gates[1].law.system.rates for spec in (ours, theirs))
    assert after["us", State.PROMISED].rate < before["us", State.PROMISED].rate
    assert {k: v for k, v in after.items() if k != ("us", 1)} == {k: v for k, v in before.items() if k != ("us", 1)}
    paths = [draw_paths(spec.gates, 91 * 1440, Key(1), range(2000))[0] for spec in (ours, theirs)]
    passes = [(path.at(90 * 1440) >= State.CONDITIONAL).mean() for path in paths]
    assert passes[1] > passes[0] + 0.1


def test_a_state_that_history_does_not_know_is_told_with_the_mend(changed):
    with pytest.raises(ScenarioError, match="knows no state of the vendor gate for RTX PRO 6000D"):
        supply_spec(changed(lambda raw: raw["gates"][2].update(product="RTX PRO 6000D")))


def test_months_outside_earliest_and_latest_order_have_no_candidate(changed):
    def change(raw):
        raw["sources"][0]["earliest_order"] = "2025-09-15"
        raw["sources"][0]["latest_order"] = "2025-12-01"

    orders = candidate_orders(changed(change))
    assert orders.month[orders.source == 0].tolist() == [3, 4, 5]


def test_lines_of_the_file_hold_up_the_stages_they_are_given_to(changed):
    def change(raw):
        raw["lines"] = [
            {"name": "fab", "servers": 1, "backlog_lots": 3, "backlog_days": 40},
            {"name": "allocation", "gpus_per_period": 16, "period_days": 30},
        ]
        raw["sources"][4]["lines"] = {"domestic_foundry": "fab"}
        raw["sources"][3]["lines"] = {"distributor allocation": "allocation"}

    free, held = load(JULY).scenario, changed(change)
    assert supply_spec(held).lines == (Line("fab", 1, 3, Constant(40.0)), Allotment("allocation", 16, 30.0))
    orders = candidate_orders(held)
    orders = orders.select((orders.source >= 3) & (orders.month < 3))
    before, after = (simulate(supply_spec(s), orders, Key(1), range(20), engine="fast") for s in (free, held))
    foundry = orders.source == 4
    assert (after.delivered & foundry).sum() < (before.delivered & foundry).sum()


def test_a_line_for_a_stage_that_is_not_there_is_told_with_the_nearest_stage(changed):
    def change(raw):
        raw["lines"] = [{"name": "fab", "servers": 1}]
        raw["sources"][2]["lines"] = {"wafer_fib": "fab"}

    with pytest.raises(ScenarioError, match=r"sources\.2\.lines: no such stage .*did you mean wafer_fab"):
        supply_spec(changed(change))


def test_a_first_delivery_is_one_more_gate_that_follows_the_governments(changed):
    def change(raw):
        for source in raw["sources"][:2]:
            source["first_delivery"] = True

    scenario = changed(change)
    spec = supply_spec(scenario)
    name = "first delivery through us-h20 and cn-h20"
    assert [gate.name for gate in spec.gates][3:] == [name]
    assert [name in source.gates for source in spec.sources] == [True, True, False, False, False]
    orders = candidate_orders(scenario)
    free, held = (
        simulate(supply_spec(s), orders, Key(1), range(100), engine="fast") for s in (load(JULY).scenario, scenario)
    )
    assert same(held, simulate(spec, orders, Key(1), range(100)))
    first = orders.source == 0
    assert (held.delivered & first).sum() < (free.delivered & first).sum()


@pytest.mark.parametrize(
    ("product", "as_of", "days"),
    [("H200", dt.date(2026, 5, 31), 167), ("H200", dt.date(2026, 1, 28), 60), ("H20", dt.date(2025, 7, 16), 60)],
)
def test_days_in_which_gates_stood_ajar_and_nothing_came_lengthen_the_first_delivery(product, as_of, days):
    """H200: 107 days without one; 0.35 within 90 days after them, 0.60 before."""
    law = first_delivery(product, as_of, ("us", "cn"))
    assert law == FirstDelivery(("us", "cn"), 1.0, float(days))


@pytest.mark.parametrize(
    ("fields", "ours"),
    [
        ({"gpus_total": 75_000}, 75_000),
        ({"gpus_total": 1_000_001, "share": 0.5}, 500_000),  # half of the US volume, whole GPUs
        ({"gpus_total": 75_000, "others": [160_000, 100_000], "asked": 40_000}, 25_000),
        ({"gpus_total": 75_000, "others": [160_000, 100_000], "asked": 10_000}, 10_000),
        ({"gpus_total": 75_000, "others": [160_000, 100_000], "asked": 40_000, "allocation": "proportional"}, 10_000),
        ({"gpus_total": 75_000, "others": [60_000], "allocation": "in-turn"}, 15_000),
        ({"gpus_total": 75_000, "others": [100_000], "allocation": "in-turn"}, 0),
    ],
)
def test_a_cap_in_all_is_what_the_rule_leaves_for_us(changed, fields, ours):
    scenario = changed(lambda raw: raw.update(lines=[{"name": "cap", **fields}]))
    assert supply_spec(scenario).lines == (Cap("cap", ours),)


def test_an_allotment_is_divided_by_the_same_rule_and_must_leave_something(changed):
    line = {"name": "part", "gpus_per_period": 1000, "period_days": 90, "others": [400, 900]}
    spec = supply_spec(changed(lambda raw: raw.update(lines=[line])))
    assert spec.lines == (Allotment("part", 333, 90.0),)  # 1,000 among 400, 900 and one who asks for all
    nothing = {**line, "allocation": "in-turn"}
    with pytest.raises(ScenarioError, match=r"lines\.0: leaves nothing for us in any period"):
        supply_spec(changed(lambda raw: raw.update(lines=[nothing])))


def test_servers_are_not_divided_and_a_line_is_of_one_kind(changed):
    with pytest.raises(ValueError, match="divide a quantity, not servers"):
        changed(lambda raw: raw.update(lines=[{"name": "fab", "servers": 3, "others": [4]}]))
    with pytest.raises(ValueError, match="give one of `servers`, `gpus_per_period` and `gpus_total`"):
        changed(lambda raw: raw.update(lines=[{"name": "fab", "servers": 3, "gpus_total": 4}]))


def test_stages_of_a_route_carry_their_yields(changed):
    stages = [
        {"name": "wafers", "low": 60, "mode": 75, "high": 100, "yield_low": 0.2, "yield_share": 0.3, "yield_high": 0.4},
        {"name": "package", "low": 20, "mode": 30, "high": 40, "yield_share": 0.9},
        {"name": "test", "low": 5, "mode": 7, "high": 9},
    ]
    spec = supply_spec(changed(lambda raw: raw["sources"][0].update(route=stages)))
    first = [stage.yields for stage in spec.sources[0].route.stages[:3]]
    assert first == [Triangular(0.2, 0.3, 0.4), Constant(0.9), None]
    with pytest.raises(ValueError, match=r"yield_low, yield_share and yield_high must rise \(got 0.95, 0.9, 0.9\)"):
        changed(lambda raw: raw["sources"][0].update(route=[{**stages[1], "yield_low": 0.95}]))


def test_a_cap_may_bind_only_in_states_of_a_gate_that_the_source_passes(changed):
    line = {"name": "cap", "gpus_total": 75_000, "gate": "us-h20", "states": ["conditional"]}

    def named(source):
        return lambda raw: (raw.update(lines=[line]), raw["sources"][source].update(lines={"installation": "cap"}))

    spec = supply_spec(changed(named(0)))
    assert spec.lines == (Cap("cap", 75_000, While("us-h20", (State.CONDITIONAL,))),)
    with pytest.raises(ValueError, match="`gate` and `states` go together"):
        changed(lambda raw: raw.update(lines=[{**line, "states": []}]))
    with pytest.raises(ValueError, match="servers always bind"):
        changed(lambda raw: raw.update(lines=[{"name": "x", "servers": 2, "gate": "us-h20", "states": ["open"]}]))
    told = [problem.message for problem in problems_across_fields(changed(named(3)))]
    assert told == ["binds in states of us-h20, which is not among this source's gates"]
    unknown = changed(lambda raw: raw.update(lines=[{**line, "gate": "us-h2"}]))
    (problem,) = problems_across_fields(unknown)
    assert (problem.place, problem.mend) == ("lines.0.gate", "did you mean us-h20?")
