"""The event trace as a table: what a row says, and that it says the same as the deliveries."""

import datetime as dt
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest

from planner.sampling import Key
from planner.scenario.load import load
from planner.supply.network.from_scenario import supply_spec
from planner.supply.network.spec import Orders
from planner.supply.outcomes import UNSEEN
from planner.supply.simpy_engine.event_log import events_table
from planner.supply.simulate import simulate

POOLS = ["chat"]


@pytest.fixture(scope="module")
def spec():
    return supply_spec(load("1-quickstart").scenario)


@pytest.fixture(scope="module")
def made(spec):
    orders = Orders.of([(0, 0, 0, 0, 8, 0), (1, 1, 0, 0, 16, 16 * 1440)])
    return simulate(spec, orders, Key(5), range(20), trace=True)


@pytest.fixture(scope="module")
def table(spec, made):
    return pq.read_table(BytesIO(events_table(spec, made, POOLS)))


def test_there_is_one_row_for_each_visit(made, table):
    assert table.num_rows == len(made.events) > 20


def test_a_row_names_source_pool_month_and_stage(spec, table):
    rows = table.to_pylist()
    assert {row["source"] for row in rows} == {source.name for source in spec.sources[:2]}
    assert {(row["order"], row["pool"], row["month"], row["gpus"]) for row in rows} == {
        (0, "chat", "2025-07", 8),
        (1, "chat", "2025-08", 16),
    }
    for row in rows:
        source = spec.sources[spec.source_index(row["source"])]
        assert row["stage"] == source.route.visits[row["visit"]]


def test_moments_are_the_minutes_since_the_start_of_the_scenario(spec, table):
    begin = dt.datetime.combine(spec.start, dt.time())
    for row in table.to_pylist():
        for moment in ("enter", "start", "leave"):
            minute = row[f"{moment}_minute"]
            expected = None if minute is None else begin + dt.timedelta(minutes=minute)
            assert row[moment] == expected


def test_what_did_not_happen_before_the_horizon_is_null(made, table):
    assert table["leave_minute"].null_count == int((made.events["leave"] == UNSEEN).sum()) > 0
    assert table["enter_minute"].null_count == 0


def test_the_last_stage_of_a_delivered_lot_ends_when_it_is_delivered(spec, made, table):
    last = {source.name: len(source.route.steps) for source in spec.sources}
    ends = {
        (row["replication"], row["order"]): row["leave_minute"]
        for row in table.to_pylist()
        if row["visit"] == last[row["source"]]
    }
    delivered = np.argwhere(made.delivered)
    assert len(delivered) > 0
    for replication, order in delivered:
        assert ends[replication, order] == made.delivered_at[replication, order]


def test_the_same_trace_gives_the_same_bytes(spec, made):
    assert events_table(spec, made, POOLS) == events_table(spec, made, POOLS)


def test_pools_without_names_go_by_their_number(spec, made):
    assert set(pq.read_table(BytesIO(events_table(spec, made)))["pool"].to_pylist()) == {"0"}


def test_deliveries_without_a_trace_are_refused(spec, made):
    bare = simulate(spec, made.orders, Key(5), range(2))
    with pytest.raises(ValueError, match="trace=True"):
        events_table(spec, bare)
