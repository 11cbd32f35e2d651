import numpy as np
import pytest

from executor.arithmetic_series import Ramps
from executor.errors import BadInputError
from executor.serving_metrics import Bounds, Latencies, bench_metrics, bounds_of


def latencies():
    return Latencies(
        ttft=np.array([0.1, 0.2, 0.4]),
        e2el=np.array([0.5, 0.2, 1.4]),
        prompt=np.array([10, 20, 30]),
        output=np.array([5, 1, 11]),
        itl=Ramps(np.array([0.1, 0.1]), np.zeros(2), np.array([1, 1]), np.array([4, 10])),
    )


def test_rates_and_times_follow_their_definitions():
    found = bench_metrics(latencies(), duration=2.0, failed=1)
    assert found["request_throughput"] == 1.5
    assert found["output_throughput"] == 8.5
    assert found["total_token_throughput"] == 38.5
    assert found["mean_tpot_ms"] == pytest.approx(100)  # (0.5-0.1)/4 and (1.4-0.4)/10; one token has none
    assert found["median_ttft_ms"] == pytest.approx(200)
    assert found["mean_itl_ms"] == pytest.approx(100)


def test_goodput_counts_what_met_every_bound():
    bounds = Bounds(ttft_ms=300, tpot_ms=150)
    assert latencies().good(bounds).tolist() == [True, True, False]
    assert bench_metrics(latencies(), 2.0, 0, bounds)["request_goodput"] == 1.0


def test_a_metric_without_a_sample_is_left_out():
    alone = Latencies(*(np.array([1.0]), np.array([1.0])), *(np.array([5]), np.array([1])), Ramps.of(np.zeros(0)))
    found = bench_metrics(alone, 1.0, 0)
    assert "mean_tpot_ms" not in found
    assert "p99_itl_ms" not in found


def test_bounds_are_written_as_vllm_bench_takes_them():
    assert bounds_of(["ttft:500 tpot:50", "e2el:9000"]) == Bounds(500, 50, 9000)
    for wrong in ("ttft", "speed:5", "ttft:fast", "ttft:-1", "ttft:nan"):
        with pytest.raises(BadInputError):
            bounds_of([wrong])
