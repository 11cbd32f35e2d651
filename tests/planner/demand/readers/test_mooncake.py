"""Mooncake's JSON lines: read whole, and refused with the row where something is wrong."""

import json

import numpy as np
import pytest

from executor.errors import FileError
from planner.demand.readers.mooncake import read_mooncake


def line(timestamp=0, **fields):
    return json.dumps({"timestamp": timestamp, "input_length": 700, "output_length": 20, "hash_ids": [0, 1], **fields})


def test_a_trace_is_read_in_seconds_and_tokens(packed):
    trace = read_mooncake(packed(line(0) + "\n" + line(1500, input_length=513, output_length=7)))
    assert trace.requests.arrival_s.tolist() == [0.0, 1.5]
    assert trace.requests.input_tokens.tolist() == [700, 513]
    assert trace.requests.blocks == ((0, 1), (0, 1))
    assert trace.total_requests == 2


def test_hashes_may_be_missing(written):
    bare = {"timestamp": 0, "input_length": 1, "output_length": 0}
    assert read_mooncake(written(json.dumps(bare))).requests.blocks is None


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (line(5, input_length=-1), r"row 2: input_length must be a finite number of 1 or more \(got -1\)"),
        (line(5, input_length=0), "input_length must be a finite number of 1 or more"),
        (line(5, input_length="long"), "input_length must be a number"),
        (line(5, output_length=float("nan")), "is no JSON: NaN is no number"),
        (line(5, output_length=1.5), "output_length must be a whole number"),
        (line(5, output_length=True), "output_length must be a number"),
        (line(None), "timestamp must be a number"),
        (line(5, hash_ids="0"), "hash_ids must be a list of whole numbers"),
        (line(5, hash_ids=[True]), "hash_ids must be a list of whole numbers"),
        ('{"timestamp": 5, "input_length": 3}', "has no output_length"),
        ('{"timestamp": 5, "input_le', "is no JSON"),
        ("[1, 2]", "must be a JSON object"),
        (line(5, input_length=10**12), "input_length must be at most 1e\\+09"),
        (line(10**15), "timestamp is more than ten years after the first.*milliseconds"),
        (line(-5), "timestamp must be a finite number of 0 or more"),
    ],
)
def test_a_wrong_line_is_told_with_its_row(written, bad, message):
    with pytest.raises(FileError, match=message) as caught:
        read_mooncake(written(line(3) + "\n" + bad + "\n"))
    assert caught.value.row == 2


def test_lines_out_of_order_are_told_with_their_mend(written):
    with pytest.raises(FileError, match=r"row 3: timestamp falls \(got 4.0\) \(sort the lines by timestamp\)"):
        read_mooncake(written("\n".join([line(0), line(5), line(4)])))


def test_coarse_timestamps_are_called_what_they_are(written):
    trace = read_mooncake(written("\n".join(line(3000 * (n // 10)) for n in range(100))))
    assert "artefact" in trace.burst.kind
    fine = read_mooncake(written("\n".join(line(37 * n) for n in range(100))))
    assert fine.burst.cv == pytest.approx(0.0, abs=1e-9)  # even gaps, to rounding of the seconds
    assert "measured" in fine.burst.kind


def test_the_published_hour_is_read_whole(published):
    trace = read_mooncake(published / "mooncake" / "conversation_trace.jsonl.gz")
    assert trace.total_requests == 12_031
    assert np.mean(trace.requests.input_tokens) == pytest.approx(12_035.1, abs=0.1)


def test_hashes_have_a_limit(monkeypatch, written):
    monkeypatch.setattr("planner.demand.readers.mooncake.MAX_HASHES", 3)
    with pytest.raises(FileError, match="row 2: has more than 3 hash_ids"):
        read_mooncake(written(line(0) + "\n" + line(1)))
