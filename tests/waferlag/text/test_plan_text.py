"""A plan on the terminal: every part there, 80 columns whatever the names and figures."""

import datetime as dt
from typing import Any

import pytest

from planner.record.models import Dates, Interval, Quantiles
from waferlag.text.plan_text import count, dates, money, month_of, plan_text, share, spread
from waferlag.text.tables import WIDTH, displayed_width


def scaled(record, factor: float):
    """The record with every quantile of its months, and its money, multiplied."""
    months = [
        month.model_copy(
            update={
                "pools": [
                    pool.model_copy(
                        update={
                            name: Quantiles(**{key: factor * value for key, value in getattr(pool, name)})
                            for name in ("need_gpus", "in_service_gpus", "spot_gpus")
                        }
                    )
                    for pool in month.pools
                ]
            }
        )
        for month in record.months
    ]
    return record.model_copy(update={"months": months})


def renamed(record, name: str):
    """The record with this name on pools, sources and GPUs of its orders and replicas."""
    change = {"pool": name, "source": name, "sku": name}
    orders = [order.model_copy(update=change) for order in record.orders]
    sizing = [
        item.model_copy(update={"pool": name, "sku": name, "layout": {"tp": 16, "attention_dp": 128, "moe_ep": 144}})
        for item in record.sizing
    ]
    answer = record.answer.model_copy(update={"sentence": f"Order 8 of {name} by 1 August 2025.", "rests_on": [name]})
    return record.model_copy(update={"orders": orders, "sizing": sizing, "answer": answer, "reasons": [name]})


def test_a_plan_shows_answer_orders_months_and_reasons(make_record):
    text = plan_text(make_record())
    for part in ("Order 96 H20 by 14 August 2025.", "What this rests on:", "Orders\n", "Months\n"):
        assert part in text


@pytest.mark.parametrize("factor", [1.0, 60.0, 1e4, 1e9, 1e15])
def test_months_fit_80_columns_whatever_the_counts(make_record, factor):
    text = plan_text(scaled(make_record(), factor))
    assert max(map(displayed_width, text.splitlines())) <= WIDTH
    assert "2025-09" in text


@pytest.mark.parametrize("name", ["x" * 120, "推理集群" * 30, "<b>bold</b>", "مجموعة " * 15, "🐈\u200d⬛" * 20])
def test_names_fit_80_columns_in_cells(make_record, name):
    text = plan_text(renamed(make_record(), name))
    assert max(map(displayed_width, text.splitlines())) <= WIDTH


def test_nothing_in_a_record_can_steer_the_terminal(make_record):
    text = plan_text(renamed(make_record(), "\x1b[2J\u202e\0"))
    assert all(character.isprintable() or character == "\n" for character in text)


def test_a_month_below_the_goal_is_marked(make_record):
    assert "!" not in plan_text(make_record(probability=0.95))
    text = plan_text(make_record(probability=0.85))
    assert "85 % (82-88)!" in text
    assert "!: below the goal" in " ".join(text.split())


def test_bars_give_way_before_figures_do(make_record):
    assert "[######### ]" in plan_text(make_record(probability=0.91))
    wide = plan_text(scaled(make_record(), 99.0))
    assert "[###" in wide or "bars" not in wide


def test_a_plan_without_orders_says_so(make_record):
    assert "Orders: none." in plan_text(make_record(orders=[]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (950, "950"),
        (9_999.4, "9,999"),
        (12_345, "12.3k"),
        (999_400, "999k"),
        (1.5e6, "1.5M"),
        (2e12, "2e+12"),
    ],
)
def test_counts_keep_three_places_where_a_table_has_no_room(value, text):
    assert count(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(12, "12"), (45_000, "45 k"), (1_400_000, "1.4 M"), (2.5e9, "2.5 bn"), (-3e6, "-3.0 M")]
)
def test_money_is_told_in_its_size(value, text):
    assert money(value) == text


def test_small_parts_of_the_table():
    day = dt.date(2025, 12, 3)
    assert share(Interval(value=0.931, low=0.912, high=0.943)) == "93 % (91-94)"
    assert spread(Quantiles(p10=940, p50=1210, p90=15_043)) == "940/1,210/15k"
    assert dates(Dates(p10=day, p50=dt.date(2026, 1, 9), p90=None)) == "Dec25 Jan26 later"
    assert (month_of(None), month_of(day)) == ("-", "Dec25")


def test_reserved_rental_is_told_in_runs_of_months(make_record):
    base: dict[str, Any] = {"pool": "chat", "source": "cloud", "sku": "H20-96GB", "price": 1.0}
    months = [("2025-11", 8), ("2025-12", 8), ("2026-01", 8), ("2026-02", 16), ("2026-04", 16)]
    rent = [{**base, "month": month, "reserve_by": dt.date(2025, 10, 1), "gpus": gpus} for month, gpus in months]
    text = plan_text(make_record(reservations=rent))
    for line in ("2025-11 to 2026-01  cloud   chat     8", "2026-02 ", "2026-04 "):
        assert line in text
