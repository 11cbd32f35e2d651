"""Azure's CSV files: requests with a wall clock, and hourly counts."""

import datetime as dt

import numpy as np
import pytest

from executor.errors import FileError
from planner.demand.readers.tables import read_azure, read_azure_hourly

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
HOURLY = "hour_start_utc,requests,peak_requests_per_minute\n"


def test_a_trace_keeps_its_wall_clock_and_its_microseconds(written):
    rows = "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.4799610,3180,8\n"
    trace = read_azure(written(HEADER + rows))
    assert trace.requests.start == dt.datetime(2023, 11, 16, 18, 17, 3, 979960)
    assert trace.requests.arrival_s.tolist() == [0.0, pytest.approx(0.500001)]
    assert trace.requests.output_tokens.tolist() == [10, 8]


def test_a_time_zone_is_accepted(written):
    trace = read_azure(written(HEADER + "2024-05-10 00:00:00.009930+00:00,2162,5\n"))
    assert trace.requests.start.hour == 0


def test_windows_begin_at_full_hours_and_cut_ones_are_gaps(written):
    start = dt.datetime(2024, 5, 13, 10, 55)  # a Monday
    rows = [f"{start + dt.timedelta(minutes=m)},10,1" for m in range(61)]
    rates = read_azure(written(HEADER + "\n".join(rows))).rates
    assert rates.first_hour == 10
    in_full = rates.rate[~np.isnan(rates.rate)] * rates.window_s
    assert in_full.tolist() == [10] * 5  # 11:00 to 11:50; 10:50 and 11:50 are cut
    assert np.isnan(rates.rate[:6]).all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("yesterday,1,1", "row 3: TIMESTAMP must be a date and time"),
        ("2023-11-16 18:17:05,-4,1", "ContextTokens must be a finite number of 1 or more"),
        ("2023-11-16 18:17:05,4,nan", "GeneratedTokens must be a finite number"),
        ("9999-11-16 18:17:05,4,1", "TIMESTAMP is more than ten years after the first"),
        ("2023-11-16 18:17:05,4", "has 2 cells instead of 3"),
        ("2023-11-16 18:17:02,4,1", "TIMESTAMP falls.*sort the rows"),
    ],
)
def test_a_wrong_row_is_told_with_its_place(written, row, message):
    with pytest.raises(FileError, match=message):
        read_azure(written(HEADER + "2023-11-16 18:17:03,4808,10\n" + row + "\n"))


def test_hourly_counts_need_every_hour(written):
    good = "2024-05-10T00:00Z,3600,90\n2024-05-10T01:00Z,7200,180\n"
    trace = read_azure_hourly(written(HOURLY + good))
    assert trace.rates.rate.tolist() == [1.0, 2.0]
    assert trace.rates.minute_peak.tolist() == [1.5, 3.0]
    assert trace.rates.first_hour == 4 * 24  # a Friday
    with pytest.raises(FileError, match="must follow the row before by one hour"):
        read_azure_hourly(written(HOURLY + good + "2024-05-10T03:00Z,1,1\n"))
    with pytest.raises(FileError, match="has no requests in any hour"):
        read_azure_hourly(written(HOURLY + "2024-05-10T00:00Z,0,0\n"))
    with pytest.raises(FileError, match="requests must be a finite number"):
        read_azure_hourly(written(HOURLY + good + "2024-05-10T02:00Z,inf,1\n"))
