"""Prices and volumes: the latest by a day, marks and sources, money that adds up."""

import datetime as dt

import pytest

from executor.errors import FileError, UnknownNameError
from planner.reference.prices import (
    PRICE_COLUMNS,
    NothingPublishedError,
    price,
    prices,
    read_prices,
    volume_series,
    volumes,
)


def test_the_latest_price_known_on_a_day_is_given():
    assert price("h20_card").typical == 11_000
    assert price("h20_card", dt.date(2025, 7, 16)).typical == 12_500
    assert price("h20_card", dt.date(2024, 2, 1)).typical == 13_500


def test_before_the_first_price_there_is_none():
    with pytest.raises(NothingPublishedError, match="the first is of 2024-02-01"):
        price("h20_card", dt.date(2024, 1, 31))


def test_an_unknown_item_is_an_error_that_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean h200_card"):
        price("h200_cards")


def test_a_server_price_is_shared_among_its_gpus():
    assert price("h20_server").per_gpu == 150_000
    assert price("h200_board").per_gpu == 175_000


def test_revenue_over_units_gives_the_implied_price():
    """4.6 bn USD over 378 thousand cards."""
    assert price("h20_card_implied").typical == pytest.approx(4.6e9 / 378e3, rel=0.01)  # rounded to hundreds


def test_the_quarters_of_2024_add_to_about_a_million_h20():
    quarters = [volume for volume in volume_series("h20_to_china") if volume.period.startswith("2024")]
    assert sum(volume.typical for volume in quarters) == 958_410
    assert volume_series("h20_sold")[0].typical == 1_000_000


def test_flow_after_the_april_stop_is_marked_as_unusable():
    after = [volume for volume in volume_series("h20_to_china") if volume.period in ("2025Q2", "2025Q3")]
    assert len(after) == 2
    assert all(volume.note.startswith("do not use") for volume in after)


def test_every_row_has_source_date_and_evidence():
    for row in (*prices(), *volumes()):
        assert row.source
        assert row.evidence in ("official", "reported", "estimate")
        assert row.date


def test_grey_goods_are_marked_as_such():
    assert {entry.item for entry in prices() if entry.channel == "grey"} >= {"b200_rack_unofficial"}
    assert all(entry.channel == "grey" for entry in prices() if entry.item.endswith("_unofficial"))


def test_a_broken_row_is_told_with_its_place(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(",".join(PRICE_COLUMNS) + "\nx,2025-01-01,list,per GPU,1,5,4,6,USD,official,high,s,\n")
    with pytest.raises(FileError, match="row 2: typical must lie between 5 and 6"):
        read_prices(path)
