"""Requests drawn from a trace's summary or read from its file."""

import gzip
import json

import numpy as np
import pytest

from executor.errors import FileError, MissingFigureError, UnknownNameError
from planner.demand.summary import shipped_summary
from waferlag.workload import workload

MOST = 1 << 24


def test_drawn_requests_keep_the_summarys_mean_lengths():
    found = workload("mooncake-conversation", MOST, requests=9600)
    lengths = shipped_summary("mooncake-conversation").lengths
    # Systematic sampling of 96 equal cells; what remains is rounding to whole tokens.
    assert found.arrivals.prompt.mean() == pytest.approx(lengths.input.mean, rel=2e-3)
    assert found.arrivals.output.mean() == pytest.approx(lengths.output.mean, rel=2e-3)


def test_drawn_requests_are_the_same_for_the_same_seed_only():
    one, same, other = (workload("azure-code-2023", MOST, requests=200, seed=seed) for seed in (1, 1, 2))
    assert (one.arrivals.arrival_s == same.arrivals.arrival_s).all()
    assert (one.arrivals.prompt == same.arrivals.prompt).all()
    assert not (one.arrivals.arrival_s == other.arrivals.arrival_s).all()


def test_drawn_requests_begin_in_the_busiest_hour_and_follow_the_week():
    name = "servegen-m-large"
    busiest = shipped_summary(name).rhythm.peak_hour
    found = workload(name, MOST, requests=130_000, rate=0.2, cv=1.0)
    hours = np.bincount((found.arrivals.arrival_s // 3600).astype(int))
    assert hours[0] / 720 == pytest.approx(busiest, rel=0.12)  # 720 a mean hour: 4 % Poisson, three of them
    assert hours[:168].mean() / 720 == pytest.approx(1.0, rel=0.02)


def test_a_coarse_clock_is_not_taken_for_burst_and_the_notes_say_so():
    found = workload("mooncake-conversation", MOST, requests=4000)
    gaps = np.diff(found.arrivals.arrival_s)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.1)
    assert any("artefact" in note for note in found.notes)


def test_margins_alone_are_drawn_independently():
    found = workload("azure-code-2024", MOST, requests=2000)
    assert abs(np.corrcoef(found.arrivals.prompt, found.arrivals.output)[0, 1]) < 0.1
    assert found.arrivals.prompt.mean() == pytest.approx(
        shipped_summary("azure-code-2024").lengths.input.mean, rel=0.01
    )


def test_a_file_is_replayed_as_observed_with_its_prefixes(tmp_path):
    path = tmp_path / "own.jsonl.gz"
    rows = [{"timestamp": 1000 * at, "input_length": 600, "output_length": at, "hash_ids": [0, at]} for at in range(4)]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    found = workload(str(path), MOST)
    assert found.arrivals.arrival_s.tolist() == [0, 1, 2, 3]
    assert found.arrivals.output.tolist() == [1, 1, 2, 3]  # an answer has at least one token
    assert found.arrivals.blocks == ((0, 0), (0, 1), (0, 2), (0, 3))
    faster = workload(str(path), MOST, requests=3, rate=4.0)
    assert faster.arrivals.arrival_s.tolist() == [0, 0.25, 0.5]


def test_a_trace_without_lengths_or_of_another_name_is_an_error_with_the_mend():
    with pytest.raises(MissingFigureError, match="lengths"):
        workload("deepseek-online", MOST)
    with pytest.raises(UnknownNameError, match="mooncake-conversation"):
        workload("mooncake-conversations", MOST)
    with pytest.raises(FileError, match="no-such"):
        workload("no-such.jsonl", MOST)
