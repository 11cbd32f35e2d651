"""The summary of a trace: nothing of the means is lost, and it goes through JSON unchanged."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import FileError
from planner.demand.readers.lengths import fixed_lengths
from planner.demand.readers.trace import HOUR_S, Histogram, Lengths, RateSeries, Requests, Trace, trace_of
from planner.demand.summary import (
    INPUT_STEPS,
    OUTPUT_STEPS,
    Origin,
    TraceSummary,
    joint_lengths,
    summarise,
    summary_of,
    summary_of_json,
)
from planner.scenario.errors import ScenarioError

ORIGIN = Origin(title="t", source="s", date="2025-07", licence="l", attribution="a", evidence="official")


def paired(inputs, outputs):
    return Lengths(np.ones(len(inputs)), Histogram.of_points(inputs), Histogram.of_points(outputs), "observed")


@given(pairs=st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**5)), min_size=1, max_size=60))
def test_the_cells_keep_the_means_and_the_order_of_the_lengths(pairs):
    inputs, outputs = map(np.array, zip(*pairs, strict=True))
    joint = joint_lengths(paired(inputs, outputs))
    weight = np.array([cell.weight for cell in joint.cells])
    assert len(joint.cells) == INPUT_STEPS * OUTPUT_STEPS
    assert weight.sum() == pytest.approx(1)
    by_cells = [float(np.dot(weight, [getattr(cell, side) for cell in joint.cells])) for side in ("input", "output")]
    # cells carry six digits
    assert by_cells[0] == pytest.approx(inputs.mean(), rel=1e-5)
    assert by_cells[1] == pytest.approx(outputs.mean(), rel=1e-5, abs=1e-6)
    steps = np.array([cell.input for cell in joint.cells]).reshape(INPUT_STEPS, OUTPUT_STEPS)
    assert (np.diff(steps.mean(axis=1)) >= -1e-4 * steps.mean(axis=1)[1:]).all()


def test_what_belongs_together_stays_together():
    """Output twice the input: so it is in every cell, and the correlation survives the grid."""
    inputs = np.arange(1, 2001)
    joint = joint_lengths(paired(inputs, 2 * inputs))
    for cell in joint.cells:
        assert cell.output == pytest.approx(2 * cell.input, rel=1e-5)


def test_a_mixture_pairs_a_client_with_its_own_outputs():
    """Client A: short in, long out; client B: long in, short out. No cell mixes them."""
    sides = Histogram(np.array([0, 1]), np.array([10.0, 1000.0]), np.ones(2))
    replies = Histogram(np.array([0, 1]), np.array([500.0, 5.0]), np.ones(2))
    joint = joint_lengths(Lengths(np.array([3.0, 1.0]), sides, replies, "by client"))
    assert {(cell.input, cell.output) for cell in joint.cells} == {(10, 500), (1000, 5)}
    assert joint.input.mean == pytest.approx(0.75 * 10 + 0.25 * 1000)
    assert (joint.input.p75, joint.input.p90) == (10, 1000)


def test_quantiles_are_the_smallest_length_that_suffices():
    joint = joint_lengths(paired(np.arange(1, 101), np.ones(100)))
    assert (joint.input.p10, joint.input.p50, joint.input.p99, joint.input.largest) == (10, 50, 99, 100)


def rates(hours, first_hour=0, window_s=HOUR_S):
    return Trace("t", rates=RateSeries(window_s, np.array(hours, dtype=float), first_hour, "UTC"))


def test_the_week_starts_on_monday_whatever_the_day_of_the_first_row():
    load = np.arange(1.0, 169.0)
    friday = 4 * 24
    rhythm = summarise(rates(load, first_hour=friday), ORIGIN).rhythm
    assert len(rhythm.hours) == 168
    assert rhythm.hours[friday] == pytest.approx(1 / load.mean(), rel=1e-5)
    assert rhythm.hours[0] == pytest.approx(load[72] / load.mean(), rel=1e-5)  # Friday + 72 h
    assert np.mean(rhythm.hours) == pytest.approx(1, rel=1e-5)
    assert rhythm.peak_hour == max(rhythm.hours)


def test_a_gap_is_no_quiet_hour():
    load = np.ones(168)
    load[50] = np.nan
    rhythm = summarise(rates(load), ORIGIN).rhythm
    assert rhythm.hours[50] is None
    assert (rhythm.peak_hour, rhythm.lowest_hour) == (1.0, 1.0)


def test_two_days_make_a_day_and_two_weeks_make_a_week():
    day = np.concatenate([np.ones(24), 3 * np.ones(24)])
    assert summarise(rates(day), ORIGIN).rhythm.hours == tuple([1.0] * 24)
    assert len(summarise(rates(np.ones(336)), ORIGIN).rhythm.hours) == 168


def test_a_trace_shorter_than_a_day_has_no_rhythm():
    summary = summarise(rates(np.ones(23)), ORIGIN)
    assert summary.rhythm is None


def test_rates_and_peaks_of_requests_seen_one_by_one():
    """Two a minute for an hour, and in the last minute twenty."""
    arrivals = np.concatenate([np.arange(0, 3600, 30.0), np.linspace(3540.5, 3599.5, 18)])
    arrivals.sort()
    count = arrivals.size
    requests = Requests(arrivals, np.full(count, 100), np.full(count, 10))
    summary = summarise(trace_of("hour", requests), ORIGIN)
    assert summary.requests == 138
    assert summary.mean_rps == pytest.approx(138 / arrivals[-1], rel=1e-5)
    assert summary.peak_minute == pytest.approx(20 / (138 / (arrivals[-1] / 60)), rel=1e-5)


def test_a_summary_goes_through_json_unchanged(written):
    load = np.linspace(1, 2, 168)
    load[3] = np.nan
    before = summarise(rates(load), ORIGIN, lengths=joint_lengths(fixed_lengths("x", 10, 5).lengths))
    path = written(before.to_json(), "summary.json")
    assert summary_of_json(path) == before
    assert summary_of(json.loads(before.to_json()), "load.trace") == before


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"mean_rps": -1}, "mean_rps"),
        ({"mean_rps": float("nan")}, "mean_rps"),
        ({"nmae": "x"}, "nmae"),
        ({"origin": None}, "origin"),
        ({"rhythm": {"unit": "r", "clock": "c", "hours": [1.0] * 7, "peak_hour": 1, "lowest_hour": 1,
                     "hourly_cv": 0}}, "rhythm"),
        ({"lengths": {"input": {"mean": 5}, "output": {"mean": 5}, "pairing": "p",
                      "cells": [{"weight": 0.5, "input": 1, "output": 1}]}}, "lengths"),
    ],
)  # fmt: skip
def test_a_summary_that_is_wrong_names_the_field(change, place):
    good = json.loads(summarise(rates(np.ones(24)), ORIGIN).to_json())
    with pytest.raises(ScenarioError) as caught:
        summary_of({**good, **change}, "load.trace")
    assert any(problem.place.startswith(place) for problem in caught.value.problems)


def test_a_summary_file_that_is_no_json_is_told(written):
    with pytest.raises(FileError, match="is no JSON"):
        summary_of_json(written("{", "summary.json"))
    with pytest.raises(ScenarioError):
        summary_of_json(written("[]", "list.json"))


def test_a_summary_is_frozen_and_closed():
    summary = summarise(rates(np.ones(24)), ORIGIN)
    assert TraceSummary.model_config["extra"] == "forbid"
    with pytest.raises(ValueError, match="frozen"):
        summary.name = "other"
