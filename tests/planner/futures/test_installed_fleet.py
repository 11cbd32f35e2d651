"""Today's fleet month by month, through the scenario's own fields."""

import datetime as dt
from functools import partial

import numpy as np
import pytest

from planner.fleet.spares import NEVER
from planner.futures.installed_fleet import in_service, spare_needs, spare_pool
from planner.open_scenario import open_scenario
from planner.sampling import Key
from planner.scenario.errors import ScenarioError
from planner.scenario.fleet import InService
from planner.scenario.load import load
from planner.scenario.models import Scenario
from planner.supply.network.from_scenario import supply_spec
from planner.supply.simulate import simulate

FLEET = {
    "sku": "H20-96GB", "pool": "deepseek-r1", "gpus": 160, "failures_per_year": 0.5, "replaced_share": 0.5,
    "replacement": "h20-stock",
}  # fmt: skip
COUNT = 120


def july(**changes) -> Scenario:
    """The shipped scenario of July 2025 with one changed entry of its fleet."""
    raw = load("2-h20-july-2025").scenario.model_dump(mode="json")
    raw["fleet"] = [{**FLEET, **changes}]
    return Scenario.model_validate(raw)


def carrier(engine="fast"):
    return partial(simulate, engine=engine)


def pool_of(scenario):
    return spare_pool(scenario, supply_spec(scenario), 0, Key(9), range(COUNT), carrier())


def standing(scenario, engine="fast", numbers=range(COUNT)):
    return in_service(scenario, supply_spec(scenario), Key(9), numbers, carrier(engine))


def test_places_stay_empty_while_the_gates_keep_replacements_away():
    """40 failures beyond repair a year; on 16 July 2025 nobody can order, so that places add up."""
    found = standing(july())[:, 0]
    assert found.shape == (COUNT, 18)
    assert (found[:, 0] == 160).all()
    mean = found.mean(axis=0)
    lost = 40 * 107 / 365  # failures up to 1 November
    assert 160 - lost - 1 <= mean[4] <= 160 - 0.5 * lost
    assert mean[-1] < mean[2]


def test_spares_fill_places_one_by_one_and_never_beyond_the_fleet():
    none, some, many = (standing(july(spares=spares))[:, 0] for spares in (0, 5, 500))
    assert (some == np.minimum(none + 5, 160)).all()
    assert (many == 160).all()


def test_an_open_gate_brings_replacements_sooner_on_the_same_failures():
    scenario = july()
    raw = scenario.model_dump(mode="json")
    for gate in raw["gates"]:
        gate["always"] = "open"
    opened = Scenario.model_validate(raw)
    assert (standing(opened) >= standing(scenario)).all()
    pools = [pool_of(s) for s in (scenario, opened)]
    assert np.array_equal(pools[0].failed_at, pools[1].failed_at)
    early = pools[1].failed_at < 180 * 1440  # whose replacements all come within the horizon
    days = (pools[1].back_at - pools[1].failed_at)[early] / 1440
    stages = supply_spec(opened).sources[0].route.stages
    assert days.mean() == pytest.approx(
        sum(stage.law.mean for stage in stages), abs=5
    )  # 180 days share their random numbers


def test_both_engines_give_the_same_fleet_alone_and_in_a_batch():
    scenario = july()
    fast = standing(scenario, numbers=range(12))
    assert np.array_equal(fast, standing(scenario, "simpy", range(12)))
    assert np.array_equal(fast[7:8], standing(scenario, numbers=[7]))


def test_orders_that_lapse_are_placed_anew_until_the_gate_opens():
    """Shut until 1 January 2026; an order is valid for a month. Whatever failed before has a replacement in the end."""
    raw = july().model_dump(mode="json")
    raw["sources"][0]["order_valid_days"] = 30
    for gate in raw["gates"]:
        gate |= {"always": "promised", "events": [{"date": "2026-01-01", "state": "open"}]}
    pool = pool_of(Scenario.model_validate(raw))
    opens = (dt.date(2026, 1, 1) - dt.date(2025, 7, 16)).days * 1440
    before = pool.failed_at < opens
    assert before.sum() > 1000
    assert (pool.back_at[before] > opens).all()
    assert (pool.back_at[before] < NEVER).all()


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({"retire_on": "2026-01-31"}, 6),  # July to December 2025
        ({"retire_on": "2026-02-01"}, 7),
        ({"in_service_since": "2024-02-29", "retire_after_months": 24}, 7),  # 28 February 2026
        ({}, 18),
    ],
)
def test_a_fleet_serves_up_to_the_last_whole_month_before_it_retires(fields, last):
    found = standing(july(replaced_share=0.0, replacement=None, **fields))[0, 0]
    assert (found > 0).tolist() == [True] * last + [False] * (18 - last)


def test_more_replacements_than_can_be_carried_are_refused_with_what_can():
    scenario = july(gpus=1_000_000)
    with pytest.raises(
        ScenarioError, match=rf"fleet.0.replaced_share: means 365,753 replacements in each of {COUNT} futures"
    ):
        standing(scenario)


def test_age_counts_calendar_months():
    entry = InService(**{**FLEET, "in_service_since": "2022-08-31", "retire_after_months": 42})
    assert entry.retires == dt.date(2026, 2, 28)
    assert InService(**FLEET).retires is None


@pytest.mark.slow
def test_spares_asked_for_by_their_ready_rate_keep_it_on_other_futures():
    """Sized on the futures that are planned on; judged on others, within sampling error of both."""
    scenario = july(ready_rate=0.9)
    spec = supply_spec(scenario)
    pool = spare_pool(scenario, spec, 0, Key(9), range(COUNT), carrier())
    other = spare_pool(scenario, spec, 0, Key(10), range(COUNT), carrier())
    assert pool.spares == other.spares > 10
    ready = [float((pool.on_order(minute) < pool.spares).mean()) for minute in spec.month_minutes]
    assert min(ready) == pytest.approx(0.9, abs=4 * np.sqrt(0.09 * (1 / COUNT + 1 / 600)))
    assert ready[0] == 1.0
    fewer = spare_pool(july(ready_rate=0.5), spec, 0, Key(9), range(COUNT), carrier())
    assert fewer.spares < pool.spares
    (need,) = spare_needs(scenario, spec, Key(9), range(COUNT), carrier())
    assert need.held == pool.spares


def test_needs_of_spares_grow_with_the_ready_rate_and_exceed_palms_where_gates_hold_all_alike():
    scenario = july()
    (need,) = spare_needs(scenario, supply_spec(scenario), Key(9), range(COUNT), carrier())
    assert need.failures_per_year == pytest.approx(40)
    levels = list(need.spares.values())
    assert levels == sorted(levels)
    assert need.spares["0.9"] > need.by_palm["0.9"] > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"replacement": None}, "`replaced_share` and `replacement` go together"),
        ({"replaced_share": 0.0, "replacement": None, "spares": 3}, "spares wait for failures beyond repair"),
        ({"spares": 3, "ready_rate": 0.9}, "give either `spares` or `ready_rate`"),
        ({"retire_after_months": 3}, "`retire_after_months` needs `in_service_since`"),
        ({"replacement": "h20-stok"}, "no such purchase (got 'h20-stok') (did you mean h20-stock?)"),
        ({"replacement": "ascend-910c-foundry"}, "sells Ascend-910C"),
        ({"retire_on": "2025-07-01"}, "retires before the start, 2025-07-16"),
    ],
)
def test_contradictions_are_told_with_their_place(tmp_path, fields, message):
    import yaml

    raw = load("2-h20-july-2025").scenario.model_dump(mode="json", exclude_defaults=True)
    raw["fleet"] = [{**FLEET, **fields}]
    file = tmp_path / "fleet.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        open_scenario(str(file), [])
    assert "fleet.0" in str(caught.value)
    assert message in str(caught.value)
