"""Traces that were damaged at random: a summary or one clear message, and nothing else."""

import contextlib
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.errors import UserMistakeError
from planner.demand.readers.lengths import read_cdf_pair
from planner.demand.readers.reader import FORMATS, read_trace
from planner.demand.summary import Origin, summarise, summary_of

ORIGIN = Origin(title="t", source="s", date="2025", licence="l", attribution="a", evidence="reported")

WHOLE = {
    "mooncake": "".join(
        json.dumps({"timestamp": 700 * n, "input_length": 9 + n, "output_length": n, "hash_ids": [0, n]}) + "\n"
        for n in range(9)
    ),
    "azure": "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    + "".join(f"2023-11-16 18:{n:02}:03.9,48,{n}\n" for n in range(9)),
    "azure-hourly": "hour_start_utc,requests,peak_requests_per_minute\n"
    + "".join(f"2024-05-10T{n:02}:00Z,36{n},90\n" for n in range(24)),
    "deepseek": "hour_start_beijing,theoretical_income_usd,mean_h800_nodes\n"
    + "".join(f"2025-02-27T{n:02}:00+08:00,2703{n},278\n" for n in range(24)),
    "servegen": "client_id,timestamp,rate,cv,pat_name,pat_arg1,pat_arg2\n"
    + "".join(f"{n % 2},{600 * (n // 2)},1.5,1.0,Gamma,0.5,1.0\n" for n in range(8)),
}
BITS = ["", "-", "0", "9" * 30, "1e308", "nan", "inf", "null", ",", "\n", "{", "]", '"', "\x00", "é", "٣", "true"]

damaged = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(BITS)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(format=st.sampled_from(FORMATS), damage=damaged)
def test_a_damaged_trace_is_summarised_or_told(tmp_path, format, damage):
    text = WHOLE[format]
    for where, removed, put in damage:
        at = int(where * len(text))
        text = text[:at] + put + text[at + removed :]
    path = tmp_path / "trace"
    path.write_text(text, encoding="utf-8")
    for named in (format, None):
        with contextlib.suppress(UserMistakeError):
            summary = summarise(read_trace(path, named), ORIGIN)
            assert summary_of(json.loads(summary.to_json()), "again") == summary


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_any_bytes_are_told(tmp_path, content):
    path = tmp_path / "trace"
    path.write_bytes(content)
    for format in (*FORMATS, None):
        with contextlib.suppress(UserMistakeError):
            read_trace(path, format)
    with contextlib.suppress(UserMistakeError):
        read_cdf_pair(path, path, "x")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values, field=st.sampled_from(["timestamp", "input_length", "output_length", "hash_ids"]))
def test_any_value_in_a_mooncake_field_is_read_or_told(tmp_path, value, field):
    path = tmp_path / "trace"
    entry = {"timestamp": 0, "input_length": 5, "output_length": 5, "hash_ids": [1], field: value}
    path.write_text(json.dumps(entry) + "\n", encoding="utf-8")
    with contextlib.suppress(UserMistakeError):
        assert summarise(read_trace(path, "mooncake"), ORIGIN).requests == 1
