"""DeepSeek's day: hours in order, the shape of the load, and the totals it published."""

import numpy as np
import pytest

from executor.errors import FileError
from planner.demand.readers.tables import read_deepseek
from planner.demand.summary import shipped_summary
from tools.trace_catalogue import DEEPSEEK_DAY

HEADER = "hour_start_beijing,theoretical_income_usd,mean_h800_nodes\n"


def test_hours_are_read_in_beijing_time(written):
    trace = read_deepseek(written(HEADER + "2025-02-27T12:00+08:00,27030,278\n2025-02-27T13:00+08:00,28520,278\n"))
    assert trace.rates.first_hour == 12
    assert trace.rates.clock == "Beijing"
    assert trace.rates.rate * 3600 == pytest.approx([27030, 28520])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("2025-02-27T12:00+08:00,x,278\n", "theoretical_income_usd must be a number"),
        ("2025-02-27T12:00+08:00,5,-1\n", "mean_h800_nodes must be a finite number of 0 or more"),
        ("noon,5,1\n", "row 2: hour_start_beijing must be a date and time"),
        ("2025-02-27T12:00+08:00,5,1\n2025-02-27T14:00+08:00,5,1\n", "row 3: .*by one hour"),
    ],
)
def test_a_wrong_row_is_told_with_its_place(written, rows, message):
    with pytest.raises(FileError, match=message):
        read_deepseek(written(HEADER + rows))


def test_the_hours_earn_what_the_day_total_says(published):
    """Income of the published day: 562,027 USD; the hours were rounded to 10 USD each."""
    trace = read_deepseek(published / "deepseek" / "deepseek_24h_digitised.csv")
    assert float(np.sum(trace.rates.rate) * 3600) == pytest.approx(562_027, abs=24 * 5)


def test_the_days_tokens_priced_at_r1_rates_give_its_income():
    """0.14 USD a million cached input tokens, 0.55 other input, 2.19 output."""
    day = DEEPSEEK_DAY
    other = day.input_tokens - day.cached_input_tokens
    income = (0.14 * day.cached_input_tokens + 0.55 * other + 2.19 * day.output_tokens) / 1e6
    assert income == pytest.approx(562_027, rel=0.001)  # tokens are published to three digits
    summary = shipped_summary("deepseek-online")
    assert summary.day == day
    assert summary.prefix.share == pytest.approx(0.563, abs=0.001)
