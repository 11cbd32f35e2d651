"""The profile record: JSON there and back, and what it refuses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import BadInputError
from executor.model.cost import Layout
from executor.profile import Figure, Point, Provenance, ServingProfile, profile_from_json


def profile(**changes):
    body = {
        "model": "Qwen/Qwen3-32B",
        "gpu": "H100-SXM",
        "precision": "bf16",
        "engine": "sglang",
        "engine_version": "0.5.1",
        "layout": Layout(4),
        "kv_precision": "bf16",
        "label": "measured",
        "points": (Point(1024, 128, concurrency=16, metrics={"mean_ttft_ms": 840.8, "p99_tpot_ms": 17.1}),),
        "provenance": Provenance("vllm bench serve", "2026-11-24", device="H100", commit="abc"),
    }
    return ServingProfile(**{**body, **changes})


def test_a_profile_comes_back_from_json_unchanged():
    estimated = Point(2048, 256, request_rate=1.5, estimates={"mean_tpot_ms": Figure(20.0, 18.0, 23.0)})
    for stored in (profile(), profile(label="estimated", points=(estimated,))):
        assert profile_from_json(stored.to_json()) == stored


finite = st.floats(min_value=1e-6, max_value=1e9, allow_nan=False)


@given(isl=finite, osl=finite, load=finite, value=finite)
def test_any_finite_point_survives_json(isl, osl, load, value):
    stored = profile(points=(Point(isl, osl, concurrency=load, metrics={"output_throughput": value}),))
    assert profile_from_json(stored.to_json()) == stored


def test_the_schema_version_is_written_and_required():
    text = profile().to_json()
    assert json.loads(text)["schema_version"] == 1
    with pytest.raises(BadInputError, match=r"schema_version must be 1 \(got 2\)"):
        profile_from_json(text.replace('"schema_version": 1', '"schema_version": 2'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "must hold an object"),
        ("{}", "schema_version"),
        ('{"schema_version": 1}', "lacks"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_broken_profile_gives_one_message_with_its_place(text, message):
    with pytest.raises(BadInputError, match=message) as caught:
        profile_from_json(text, "profile.json")
    assert str(caught.value).startswith("profile.json: ")


def test_an_unknown_field_is_refused():
    stored = json.loads(profile().to_json()) | {"gpus": 8}
    with pytest.raises(BadInputError, match="gpus"):
        profile_from_json(json.dumps(stored))


@pytest.mark.parametrize("name", ["ttft", "mean_ttft", "p_ttft_ms", "mean_latency_ms", ""])
def test_a_metric_that_vllm_bench_does_not_write_is_refused(name):
    with pytest.raises(BadInputError, match="vllm bench serve"):
        Point(1, 1, concurrency=1, metrics={name: 1.0})


@pytest.mark.parametrize("name", ["median_itl_ms", "p99_e2el_ms", "std_tpot_ms", "request_goodput", "p99.9_ttft_ms"])
def test_the_metrics_that_vllm_bench_writes_are_taken(name):
    assert Point(1, 1, concurrency=1, metrics={name: 1.0}).metrics == {name: 1.0}


@pytest.mark.parametrize(
    "given_",
    [
        {},
        {"concurrency": 1, "request_rate": 1},
        {"concurrency": 0},
        {"concurrency": float("nan")},
        {"request_rate": -1},
    ],
)
def test_a_point_has_exactly_one_load(given_):
    with pytest.raises(BadInputError):
        Point(1, 1, metrics={"completed": 1}, **given_)


@pytest.mark.parametrize(
    "figure", [(2.0, 3.0, 4.0), (5.0, 3.0, 4.0), (float("nan"), 1.0, 2.0), (1.0, 0.0, float("inf"))]
)
def test_a_figure_lies_in_a_finite_interval(figure):
    with pytest.raises(BadInputError):
        Figure(*figure)


def test_measured_means_measured():
    estimated = Point(1, 1, concurrency=1, estimates={"mean_tpot_ms": Figure(1, 1, 1)})
    with pytest.raises(BadInputError, match="labelled measured"):
        profile(points=(estimated,))


@pytest.mark.parametrize("changes", [{"label": "guessed"}, {"points": ()}, {"interval": 1.0}])
def test_a_profile_without_label_points_or_interval_is_refused(changes):
    with pytest.raises(BadInputError):
        profile(**changes)
