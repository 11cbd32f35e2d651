"""Order lines: read from a CSV or a plan with the place of every mistake, and carried as lots."""

import json

import pytest

from executor.errors import FileError
from planner.scenario.models import Scenario
from planner.supply.order_lines import OrderLine, departures, lines_of_plan, orders_of, read_order_lines

HEAD = "pool,source,month,gpus\n"


@pytest.fixture
def scenario(make_scenario) -> Scenario:
    return make_scenario()


@pytest.fixture
def read(tmp_path, scenario):
    """Read a CSV of this content."""

    def from_text(content: str | bytes):
        path = tmp_path / "orders.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_order_lines(path, scenario)

    return from_text


@pytest.mark.parametrize(
    "content",
    [
        HEAD + "chat,h20,2025-08,16\n",
        HEAD + "chat,h20,2025-08,16",
        "\ufeff" + HEAD + "chat,h20,2025-08,16\n",
        (HEAD + "chat,h20,2025-08,16\n").replace("\n", "\r\n"),
        (HEAD + "chat,h20,2025-08,16\n").replace("\n", "\r"),
        "Pool, Source, MONTH, GPUs\n chat , h20 , 2025-08 , 16 \n",
        "\n\n" + HEAD + "\nchat,h20,2025-08,16\n,,,\n",
        "note,gpus,month,source,pool\nurgent,16,2025-08,h20,chat\n",
        HEAD + '"chat","h20","2025-08","16"\n',
        HEAD + "chat,h20,2025-08,+16\n",
    ],
)
def test_the_usual_ways_to_write_a_csv_are_read_alike(read, content):
    assert read(content) == (OrderLine("chat", "h20", 1, 16),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has no rows (columns are pool, source, month, gpus)"),
        (HEAD, "has no rows"),
        ("pool,source,month\nchat,h20,2025-08\n", "row 1: lacks the column gpus"),
        ("pool;source;month;gpus\nchat;h20;2025-08;8\n", "row 1: lacks the column pool"),
        ("pool,source,month,gpus,gpus\nchat,h20,2025-08,8,9\n", "row 1: has the column gpus twice"),
        (HEAD + "chatt,h20,2025-08,8\n", "row 2: no such pool (got 'chatt') (did you mean chat?)"),
        (HEAD + "chat,h20,2025-08,8\nchat,h21,2025-08,8\n", "row 3: no such source (got 'h21') (did you mean h20?)"),
        (HEAD + "\n\nchat,h21,2025-08,8\n", "row 4: no such source"),
        (HEAD + "chat,cloud,2025-08,8\n", "row 2: no such source (got 'cloud') (known: h20)"),
        (HEAD + "chat,h20,2025-06,8\n", "row 2: no such month (got '2025-06')"),
        (HEAD + "chat,h20,August,8\n", "(known: 2025-07, 2025-08, 2025-09)"),
        (HEAD + "chat,h20\n", "row 2: names no month"),
        (HEAD + ",h20,2025-08,8\n", "row 2: names no pool (known: chat)"),
        (HEAD + "chat,h20,2025-08,1,024\n", "row 2: has 5 cells for 4 columns (write numbers without separators)"),
        (HEAD + "chat,h20,2025-08,\n", "row 2: gpus must be a whole number"),
        (HEAD + "chat,h20,2025-08,nan\n", "row 2: gpus must be a whole number (got 'nan')"),
        (HEAD + "chat,h20,2025-08,inf\n", "gpus must be a whole number (got 'inf')"),
        (HEAD + "chat,h20,2025-08,8.5\n", "gpus must be a whole number (got '8.5')"),
        (HEAD + "chat,h20,2025-08,1e3\n", "gpus must be a whole number (got '1e3')"),
        (HEAD + "chat,h20,2025-08,1_000\n", "gpus must be a whole number"),
        (HEAD + "chat,h20,2025-08,٨\n", "gpus must be a whole number"),
        (HEAD + "chat,h20,2025-08,0\n", "gpus must lie between 1 and 10,000,000 (got 0)"),
        (HEAD + "chat,h20,2025-08,-8\n", "(got -8)"),
        (HEAD + "chat,h20,2025-08,99999999999\n", "(got 99999999999)"),
        (HEAD + "chat,h20,2025-08," + "9" * 5000 + "\n", "gpus must be a whole number"),
        (HEAD + "c" * 200_000 + ",h20,2025-08,8\n", "is not valid CSV: field larger"),
        (HEAD + '"chat,h20,2025-08,8\n', "row 2: no such pool"),
        (HEAD + "chat\0,h20,2025-08,8\n", "row 2: no such pool"),
        ("caf\xe9\n".encode("latin-1"), "is not UTF-8 (byte 3) (save it as UTF-8)"),
        (HEAD.encode("utf-16"), "is not UTF-8"),
        (HEAD + "chat,h20,2025-08,8\n" * 10_001, "has more than 10,000 order lines (got 10001)"),
        (b"x" * 20_000_001, "is larger than 20,000,000 bytes"),
    ],
)
def test_a_bad_file_is_told_with_row_value_and_mend(read, content, said):
    with pytest.raises(FileError) as caught:
        read(content)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["nothing.csv", ".", "x" * 300 + ".csv", "a\0b.csv"])
def test_what_is_no_file_is_told(tmp_path, scenario, name):
    with pytest.raises(FileError):
        read_order_lines(tmp_path / name, scenario)


def test_a_source_serves_only_its_own_pools(tmp_path, make_scenario):
    chat = make_scenario().pools[0].model_dump(exclude_none=True)
    scenario = make_scenario(pools=[chat, {**chat, "name": "code", "layouts": {"H100-SXM": {"tp": 2}}}])
    path = tmp_path / "orders.csv"
    path.write_text(HEAD + "code,h20,2025-08,8\n")
    with pytest.raises(FileError, match="row 2: source h20 does not serve pool code"):
        read_order_lines(path, scenario)


def test_the_lines_of_a_plan_are_those_it_orders(tmp_path, scenario):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"orders": [{"pool": "chat", "source": "h20", "month": "2025-09", "gpus": 8}]}))
    assert lines_of_plan(path, scenario) == (OrderLine("chat", "h20", 2, 8),)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "{}", '{"orders": 3}', '{"orders": [3]}', '{"orders": [{"pool": "chat"}]}', "[" * 90_000],
)
def test_a_json_that_holds_no_orders_is_no_plan(tmp_path, scenario, content):
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(FileError, match="has no list of orders"):
        lines_of_plan(path, scenario)


def test_a_line_travels_as_one_lot_placed_on_the_first_day_of_its_month(scenario):
    orders = orders_of((OrderLine("chat", "h20", 0, 8), OrderLine("chat", "h20", 2, 24)), scenario)
    assert orders.gpus.tolist() == [8, 24]
    assert orders.placed_at.tolist() == [0, (31 - 15 + 31) * 1440]  # 16 July to 1 September
    assert orders.month.tolist() == [0, 2]


def test_no_lines_are_no_orders(scenario):
    assert len(orders_of((), scenario)) == 0


def test_orders_within_the_sources_terms_are_no_departure(scenario):
    assert departures((OrderLine("chat", "h20", 1, 16),), scenario) == []


def test_orders_beyond_lots_caps_and_dates_are_told(make_scenario):
    h20 = {
        **{"name": "h20", "sku": "H20-96GB", "price": 98_000, "lot_gpus": 8},
        **{"max_gpus_per_month": 16, "max_gpus_total": 32, "earliest_order": "2025-08-01"},
    }
    scenario = make_scenario(sources=[h20], gates=[])
    lines = (
        OrderLine("chat", "h20", 0, 8),
        OrderLine("chat", "h20", 1, 12),
        OrderLine("chat", "h20", 1, 8),
        OrderLine("chat", "h20", 2, 16),
    )
    assert departures(lines, scenario) == [
        "12 GPUs from h20 are no whole lots of 8",
        "h20 takes no orders on 2025-07-16",
        "20 GPUs from h20 in 2025-08 are above its 16 a month",
        "44 GPUs from h20 are above its 32 in all",
    ]


def test_orders_of_several_sources_that_exceed_a_cap_together_are_told(make_scenario):
    def source(name):
        return {"name": name, "sku": "H20-96GB", "price": 98_000, "lines": {"installation": "licence"}}

    cap = {"name": "licence", "gpus_total": 48, "share": 0.5}
    scenario = make_scenario(sources=[source("stock"), source("wafers")], gates=[], lines=[cap])
    lines = (OrderLine("chat", "stock", 0, 16), OrderLine("chat", "wafers", 1, 8))
    assert departures(lines, scenario) == []
    more = (*lines, OrderLine("chat", "wafers", 2, 8))
    assert departures(more, scenario) == ["32 GPUs come to licence, which leaves 24 in all for us"]
