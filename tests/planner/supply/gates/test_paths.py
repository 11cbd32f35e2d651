"""Gate paths: their law, their links, and what may not change them."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from planner.sampling import Constant, Exponential, Key
from planner.scenario.load import load
from planner.scenario.models import Scenario
from planner.supply.gates.paths import NEVER, draw_paths
from planner.supply.gates.posterior import GATES, Priors, learn
from planner.supply.network.from_scenario import posterior, record, supply_spec
from planner.supply.network.gate import Always, Dwell, FirstDelivery, FromHistory, Gate, OwnLaw, Scripted, State

END = dt.date(2026, 5, 31)
DAY = 1440
MANY = range(20_000)


def gates_of(product, as_of, system=None, **scripts):
    known = record(as_of)
    return [
        Gate(
            authority, authority,
            FromHistory(system or posterior(as_of), product, State(known[product, authority][-1].state)),
            events=scripts.get(authority, ()),
        )
        for authority in GATES
    ]  # fmt: skip


@pytest.mark.parametrize(("product", "pinned"), [("H20", (0.02, 0.08, 0.13, 0.19)), ("H200", (0.02, 0.07, 0.12, 0.18))])
@pytest.mark.slow
def test_probability_that_both_gates_pass_equals_the_pinned_forecast(product, pinned):
    us, cn, _ = draw_paths(gates_of(product, END), 366 * DAY, Key(7), MANY)
    for days, expected in zip((30, 90, 180, 365), pinned, strict=True):
        both = (us.at(days * DAY) >= State.CONDITIONAL) & (cn.at(days * DAY) >= State.CONDITIONAL)
        # the pinned figures are printed to 0.01 and carry Monte Carlo noise of 0.003; ours adds 0.003
        assert both.mean() == pytest.approx(expected, abs=0.02)


def test_july_2025_forecast_at_ninety_days_is_that_of_the_trial():
    us, cn, _ = draw_paths(gates_of("H20", dt.date(2025, 7, 16)), 91 * DAY, Key(7), MANY)
    passes = [path.at(90 * DAY) >= State.CONDITIONAL for path in (us, cn)]
    # printed to 0.01 from 3,000 draws: two standard errors are 0.015
    assert [p.mean() for p in passes] == pytest.approx([0.31, 0.82], abs=0.02)
    assert (passes[0] & passes[1]).mean() == pytest.approx(0.23, abs=0.02)


def test_first_stay_has_the_closed_predictive_survival_when_tempo_is_off():
    """S(t) = (B / (B + t))**A; US conditional on 2026-05-31 has no link that ends its stay."""
    system = learn(record(END), END, Priors(tempo_sigma=0.0))
    us = draw_paths(gates_of("H20", END, system), 3650 * DAY, Key(3), MANY)[0]
    first = np.where(us.minutes[:, 1] < NEVER, us.minutes[:, 1], 3650 * DAY) / DAY
    rate = system.rates["us", 2]
    for days in (30, 180, 466, 1500):
        expected = (rate.rate / (rate.rate + days)) ** rate.shape
        error = 4 * np.sqrt(expected * (1 - expected) / len(first))
        assert (first > days).mean() == pytest.approx(expected, abs=error)


@pytest.mark.slow
def test_a_scripted_us_loosening_makes_china_tighten_more_often():
    as_of = dt.date(2025, 7, 16)
    quiet = draw_paths(gates_of("H20", as_of), 60 * DAY, Key(2), MANY)[1]
    opens = (Scripted(1 * DAY, State.CONDITIONAL),)
    moved = draw_paths(gates_of("H20", as_of, us=opens), 60 * DAY, Key(2), MANY)[1]
    assert (moved.at(59 * DAY) < State.OPEN).mean() > (quiet.at(59 * DAY) < State.OPEN).mean() + 0.03


def test_one_replication_alone_equals_itself_among_others():
    gates = gates_of("H200", END)
    together = draw_paths(gates, 900 * DAY, Key(5), range(40))
    for r in (0, 17, 39):
        alone = draw_paths(gates, 900 * DAY, Key(5), [r])
        assert [p.changes(r) for p in together] == [p.changes(0) for p in alone]


def test_a_longer_horizon_or_another_gate_changes_no_earlier_event():
    gates = gates_of("H20", END)
    short = draw_paths(gates, 300 * DAY, Key(5), range(200))
    other = Gate("mine", "us", OwnLaw(State.OPEN, {State.OPEN: Dwell(Constant(5.0))}))
    longer = draw_paths([other, *gates], 900 * DAY, Key(5), range(200))[1:]
    for path, more in zip(short, longer, strict=True):
        for r in range(200):
            assert path.changes(r) == [c for c in more.changes(r) if c[0] < 300 * DAY]


def test_the_same_gate_under_two_names_has_one_path():
    gates = gates_of("H20", END)
    twin = Gate("again", "us", gates[0].law)
    paths = draw_paths([*gates, twin], 900 * DAY, Key(5), range(50))
    assert np.array_equal(paths[0].minutes, paths[3].minutes)
    alone = draw_paths(gates, 900 * DAY, Key(5), range(50))
    assert np.array_equal(paths[1].minutes, alone[1].minutes)


def test_products_share_parameters_but_not_paths():
    h20 = draw_paths(gates_of("H20", END), 900 * DAY, Key(5), range(50))
    h200 = draw_paths(gates_of("H200", END), 900 * DAY, Key(5), range(50))
    assert not np.array_equal(h20[0].minutes[:, 1], h200[0].minutes[:, 1])


def test_scripted_events_take_effect_on_their_minute_and_repeats_change_nothing():
    script = (Scripted(10 * DAY, State.OPEN), Scripted(12 * DAY, State.OPEN), Scripted(20 * DAY, State.CLOSED))
    (path,) = draw_paths([Gate("g", "us", Always(State.CLOSED), events=script)], 50 * DAY, Key(1), [4])
    assert path.changes(0) == [(0, State.CLOSED), (10 * DAY, State.OPEN), (20 * DAY, State.CLOSED)]


def test_two_changes_within_one_minute_leave_the_last():
    script = (Scripted(10, State.OPEN), Scripted(10, State.PROMISED), Scripted(10, State.CLOSED))
    (path,) = draw_paths([Gate("g", "us", Always(State.CLOSED), events=script)], 50 * DAY, Key(1), [4])
    assert path.changes(0) == [(0, State.CLOSED)]


def test_history_known_before_the_start_is_run_up_to_it():
    early = FromHistory(posterior(END), "H20", State.PROMISED, as_of_minute=-400 * DAY)
    (path,) = draw_paths([Gate("us", "us", early)], 10 * DAY, Key(1), MANY)
    moved = (path.states[:, 0] != State.PROMISED).mean()
    assert moved > 0.6  # median stay 70 days, 400 days ago


def test_first_delivery_comes_after_the_days_that_all_gates_passed_added_up():
    us = Gate("us", "us", Always(State.OPEN), events=(Scripted(10 * DAY, State.CLOSED), Scripted(30 * DAY, State.OPEN)))
    cn = Gate("cn", "cn", Always(State.CLOSED), events=(Scripted(5 * DAY, State.CONDITIONAL),))
    flow = Gate("flow", "vendor", FirstDelivery(("us", "cn"), shape=1.0, days=60.0))
    path = draw_paths([us, cn, flow], 4000 * DAY, Key(1), MANY)[2]
    alone = Gate("flow", "vendor", FirstDelivery(("open",), 1.0, 60.0))
    free = draw_paths([Gate("open", "us", Always(State.OPEN)), alone], 4000 * DAY, Key(1), MANY)[1]
    opens, days = path.minutes[:, 1] / DAY, free.minutes[:, 1] / DAY
    assert np.all((opens <= 10) | (opens > 30))
    assert np.all(opens[opens < 4000] > 5)
    # P(open by day 10) = P(five passing days were enough) = 5 / (5 + 60)
    assert (opens <= 10).mean() == pytest.approx(5 / 65, abs=4 * np.sqrt(5 / 65 / len(MANY)))
    # Lomax(1, 60): 0.60 within 90 days, as the trial says before it saw 2026
    assert (days <= 90).mean() == pytest.approx(0.60, abs=4 * np.sqrt(0.24 / len(MANY)))


def test_a_longer_horizon_does_not_move_a_first_delivery():
    often = {State.OPEN: Dwell(Exponential(20.0), {State.CLOSED: 1.0})}
    often[State.CLOSED] = Dwell(Exponential(20.0), {State.OPEN: 1.0})
    us = Gate("us", "us", OwnLaw(State.OPEN, often))
    flow = Gate("flow", "vendor", FirstDelivery(("us",)))
    short, longer = (draw_paths([us, flow], days * DAY, Key(1), range(500))[1] for days in (300, 900))
    for r in range(500):
        assert short.changes(r) == [c for c in longer.changes(r) if c[0] <= 300 * DAY]


def test_a_law_of_ones_own_jumps_as_it_says():
    law = OwnLaw(
        State.OPEN,
        {
            State.OPEN: Dwell(Exponential(1.0), {State.CLOSED: 0.25, State.PROMISED: 0.75}),
            State.CLOSED: Dwell(Constant(1.0)),
            State.PROMISED: Dwell(Constant(1.0)),
        },
    )
    (path,) = draw_paths([Gate("g", "cn", law)], 100 * DAY, Key(1), MANY)
    share = (path.at(99 * DAY) == State.CLOSED).mean()
    assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / len(MANY)))


def test_a_law_that_leaves_a_reachable_state_unexplained_is_refused():
    with pytest.raises(ValueError, match="how these states end: closed"):
        OwnLaw(State.OPEN, {State.OPEN: Dwell(Constant(1.0), {State.CLOSED: 1.0})})


def both_products(start, **h20):
    """Gates of H200 and H20 as a scenario of this day would have them."""
    raw = load("3-h200-2026").scenario.model_dump(mode="json")
    raw["start"] = start
    raw["gates"] += [
        {"name": f"{authority}-h20", "authority": authority, "product": "H20", **(h20 if authority == "us" else {})}
        for authority in GATES
    ]
    return supply_spec(Scenario.model_validate(raw)).gates


def test_one_rule_moves_the_us_gate_for_all_its_products_at_once():
    """The rule of 15 January 2026 covers H200 and H20; China and the vendor decide on each."""
    gates = both_products("2026-03-18")
    paths = dict(zip((gate.name for gate in gates), draw_paths(gates, 500 * DAY, Key(1), range(400)), strict=True))
    for replication in range(400):
        assert paths["us-h200"].changes(replication) == paths["us-h20"].changes(replication)
    assert any(paths["cn-h200"].changes(r) != paths["cn-h20"].changes(r) for r in range(400))


def test_before_the_rule_or_in_another_state_each_product_has_its_own_path():
    for gates in (both_products("2025-12-20"), both_products("2026-03-18", state="closed")):
        named = dict(zip((g.name for g in gates), draw_paths(gates, 500 * DAY, Key(1), range(50)), strict=True))
        later = [[named[name].changes(r)[1:] for r in range(50)] for name in ("us-h200", "us-h20")]
        assert later[0] != later[1]


def test_the_rule_leaves_the_path_of_its_first_product_as_it_was():
    gates = both_products("2026-03-18")[:3]
    plain = [replace(gate, law=replace(gate.law, rule="")) for gate in gates]
    one, two = (draw_paths(each, 500 * DAY, Key(1), range(100)) for each in (gates, plain))
    assert all(np.array_equal(a.minutes, b.minutes) for a, b in zip(one, two, strict=True))
