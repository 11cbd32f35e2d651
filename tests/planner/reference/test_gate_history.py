"""The record of the gates: known counts, what was public when, and the named readings."""

import datetime as dt
from itertools import pairwise

import pytest

from executor.errors import FileError, UnknownNameError
from planner.reference.gate_history import (
    EVENT_COLUMNS,
    GATES,
    READINGS,
    STATE_COLUMNS,
    announced,
    events,
    products,
    read_events,
    read_states,
    rule_of,
    states,
)

END = dt.date(2026, 5, 31)


def days(start, end=END):
    return [start + dt.timedelta(n) for n in range((end - start).days + 1)]


def state_on(product, gate, day, reading="main"):
    """The state in force on a day, whenever it became public; None before the first entry."""
    in_force = [entry.state for entry in states(product, gate, reading=reading) if entry.from_date <= day]
    return in_force[-1] if in_force else None


def passes(product, gate, day, reading="main"):
    return state_on(product, gate, day, reading) in ("conditional", "open")


def both_pass(product, start, reading="main"):
    return [day for day in days(start) if passes(product, "us", day, reading) and passes(product, "cn", day, reading)]


def test_the_record_holds_26_changes_of_state():
    changes = {
        gate: sum(
            "na" not in (before.state, after.state) and before.state != after.state
            for product in products()
            for before, after in pairwise(states(product, gate))
        )
        for gate in GATES
    }
    assert changes == {"us": 7, "cn": 7, "vendor": 12}


def test_h20_had_both_gates_passable_on_521_of_935_days_and_on_4_after_the_april_letter():
    start = dt.date(2023, 11, 9)
    assert len(days(start)) == 935
    passable = both_pass("H20", start)
    assert len(passable) == 521
    assert [day for day in passable if day >= dt.date(2025, 4, 9)] == [dt.date(2025, 8, d) for d in (8, 9, 10, 11)]


def test_h200_had_both_gates_passable_on_107_days_and_freely_open_on_none():
    assert len(days(dt.date(2025, 12, 8))) == 175
    assert len(both_pass("H200", dt.date(2025, 12, 8))) == 107
    assert all(state_on("H200", "us", day) != "open" for day in days(dt.date(2025, 12, 8)))


def test_an_act_is_not_known_before_it_is_public():
    """The letter of 9 April 2025 became public on the 15th."""
    assert [s.state for s in states("H20", "us", dt.date(2025, 4, 14))] == ["open"]
    assert [s.state for s in states("H20", "us", dt.date(2025, 4, 15))] == ["open", "closed"]
    assert state_on("H20", "us", dt.date(2025, 4, 10)) == "closed"


def test_an_act_announced_for_a_later_day_is_known_but_not_yet_in_force():
    """The rule in force on 15 January 2026 was announced on the 13th."""
    day = dt.date(2026, 1, 13)
    assert states("H200", "us", day)[-1].state == "promised"
    assert [s.state for s in announced("H200", "us", day)] == ["conditional"]
    assert announced("H200", "us", dt.date(2026, 1, 12)) == ()
    assert states("H200", "us", dt.date(2026, 1, 15))[-1].state == "conditional"


def test_events_are_cut_by_the_day_they_became_public():
    known_in_april = events("H20", until=dt.date(2025, 4, 30))
    assert all(event.published <= dt.date(2025, 4, 30) for event in known_in_april)
    given_back = [event for event in events("H20") if event.event.startswith("Nvidia gives booked TSMC capacity")]
    assert [event.published for event in given_back] == [dt.date(2025, 7, 19)]
    assert given_back[0] not in known_in_april


def test_an_act_on_all_accelerators_touches_each_product():
    assert any("state-funded" in event.event for event in events("H20"))
    assert len(events()) == 46
    assert {event.jurisdiction for event in events()} == {"US", "CN", "vendor", "market"}


def test_nothing_is_public_before_the_record_begins():
    assert states("H20", "us", dt.date(2020, 1, 1)) == ()
    assert state_on("H20", "us", dt.date(2020, 1, 1)) is None


@pytest.mark.parametrize(
    ("reading", "product", "gate", "day", "main", "read"),
    [
        ("literal", "H200", "cn", "2026-01-10", "conditional", "closed"),
        ("literal", "H200", "cn", "2026-03-01", "conditional", "promised"),
        ("paper", "H200", "us", "2026-02-01", "conditional", "promised"),
        ("paper", "H200", "cn", "2026-03-01", "conditional", "promised"),
        ("mild", "H20", "cn", "2025-09-01", "closed", "conditional"),
        ("mild", "H200", "vendor", "2026-02-01", "conditional", "closed"),
    ],
)
def test_a_reading_changes_the_ambiguous_entries(reading, product, gate, day, main, read):
    when = dt.date.fromisoformat(day)
    assert state_on(product, gate, when) == main
    assert state_on(product, gate, when, reading) == read


def test_readings_leave_unambiguous_products_alone():
    for reading in READINGS:
        for gate in GATES:
            assert states("A800/H800", gate, reading=reading) == states("A800/H800", gate)


def test_no_reading_opens_the_h200_gates_wider_than_the_main_one_on_paper():
    main = set(both_pass("H200", dt.date(2025, 12, 8)))
    assert set(both_pass("H200", dt.date(2025, 12, 8), "paper")) < main
    assert set(both_pass("H200", dt.date(2025, 12, 8), "literal")) < main


def test_every_entry_follows_the_one_before_it():
    for product in products():
        for gate in GATES:
            for reading in READINGS:
                dates = [state.from_date for state in states(product, gate, reading=reading)]
                assert dates == sorted(set(dates))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("H2O", "us"), "unknown product of the gate history 'H2O'.*did you mean H20"),
        (("H20", "usa"), "unknown gate 'usa'"),
        (("H20", "us", None, "papers"), "did you mean paper"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(arguments, message):
    with pytest.raises(UnknownNameError, match=message):
        states(*arguments)


def test_a_broken_table_is_told_with_its_place(tmp_path):
    path = tmp_path / "states.csv"
    good = "H20,us,2025-04-09,2025-04-15,closed,official,s,\n"
    for row, message in [
        (good.replace("2025-04-09", "9 April"), "row 2: from_date must be a date"),
        (good.replace("closed", "shut"), "row 2: state must be one of"),
        (good + good, "row 3: from_date H20 us has two states"),
    ]:
        path.write_text(",".join(STATE_COLUMNS) + "\n" + row)
        with pytest.raises(FileError, match=message):
            read_states(path)
    path.write_text(",".join(EVENT_COLUMNS) + "\n2025-01-01,2025-01-01,day,US,H20,,a,b,c,official,high,s\n")
    with pytest.raises(FileError, match="row 2: event must not be empty"):
        read_events(path)


@pytest.mark.parametrize(
    ("product", "gate", "day", "rule"),
    [
        ("H20", "us", "2026-01-14", "H20"),  # public on the 13th, in force on the 15th
        ("H20", "us", "2026-01-15", "H200"),
        ("H200", "us", "2026-05-14", "H200"),
        ("H20", "cn", "2026-05-14", "H20"),
        ("H20", "vendor", "2026-05-14", "H20"),
        ("RTX PRO 6000D", "us", "2026-05-14", "RTX PRO 6000D"),
    ],
)
def test_the_us_rule_of_january_2026_covers_h200_and_h20(product, gate, day, rule):
    assert rule_of(product, gate, dt.date.fromisoformat(day)) == rule
