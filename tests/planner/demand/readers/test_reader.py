"""Any trace file is told by its first line."""

import pytest

from executor.errors import FileError, LimitError, UnknownNameError
from planner.demand.readers.lengths import read_cdf_pair
from planner.demand.readers.reader import format_of, read_trace

MOONCAKE = '{"timestamp": 0, "input_length": 8, "output_length": 2, "hash_ids": [1]}'
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,8,2\n"
SERVEGEN = "client_id,timestamp,rate,cv,pat_name,pat_arg1,pat_arg2\n0,0,1.0,1.0,Gamma,1.0,1.0\n"
LENGTHS = '{"client_id": 0, "timestamp": 0, "input_tokens": {"8": 1.0}, "output_tokens": {"2": 1.0}}'


def test_each_format_is_told_by_its_first_line(written):
    assert format_of(written(MOONCAKE)) == "mooncake"
    assert format_of(written(AZURE)) == "azure"
    assert format_of(written(SERVEGEN)) == "servegen"
    assert format_of(written("hour_start_utc,requests,peak_requests_per_minute\n")) == "azure-hourly"
    assert format_of(written("hour_start_beijing,theoretical_income_usd,mean_h800_nodes\n")) == "deepseek"


def test_a_file_is_read_without_saying_what_it_is(written):
    for text in (MOONCAKE, AZURE):
        trace = read_trace(written(text))
        assert trace.requests.input_tokens.tolist() == [8]
        assert trace.name == "trace"


def test_the_length_file_beside_a_rates_file_is_found(written):
    rates = written(SERVEGEN, "mine-rates.csv")
    assert read_trace(rates).lengths is None
    written(LENGTHS, "mine-lengths.jsonl")
    assert read_trace(rates).lengths.input.value.tolist() == [8]


@pytest.mark.parametrize("text", ["time,tokens\n1,2\n", "{}\n", '{"a": 1}', "{broken", "\x00\x01", "[[10, 1.0]]"])
def test_an_unknown_format_is_told_with_the_known_ones(written, text):
    with pytest.raises(FileError, match=r"is no trace format that is known.*ContextTokens"):
        read_trace(written(text))


def test_a_format_named_wrongly_is_an_error_that_names_the_nearest(written):
    with pytest.raises(UnknownNameError, match="did you mean mooncake"):
        read_trace(written(MOONCAKE), "moncake")


def test_the_size_limit_holds_for_every_format(written):
    with pytest.raises(LimitError):
        read_trace(written((MOONCAKE + "\n") * 100), max_bytes=1_000)
    with pytest.raises(LimitError):
        read_cdf_pair(written("[[10, 1.0]]" + " " * 5_000), written("[[9, 1.0]]", "other"), "x", max_bytes=1_000)
