import numpy as np
import pytest

from executor.errors import BadInputError
from executor.measure.loadgen import Answer, Prompt, Run, Sent
from executor.measure.machine import code_commit, this_machine
from executor.measure.points import Dummy, highest_rate, point_of, profile_of
from executor.model.cost import Layout
from executor.profile import Provenance, profile_from_json
from executor.serving_metrics import Bounds


def run(ttfts, failed=0, **load):
    good = [
        Sent(Prompt("x", 5, 3), at, at, Answer("completed", (at + ttft, at + ttft + 0.1), 5, 2))
        for at, ttft in enumerate(ttfts)
    ]
    bad = [Sent(Prompt("x", 5, 3), 0.0, 0.0, Answer("refused", message="HTTP 503"))] * failed
    return Run((*good, *bad), duration=10.0, **(load or {"concurrency": 2}))


def test_a_point_has_the_metrics_of_its_run():
    point = point_of(run([0.1, 0.3], failed=1), Bounds(ttft_ms=200))
    assert (point.concurrency, point.input_tokens, point.output_tokens) == (2.0, 5.0, 2.0)
    assert point.metrics["mean_ttft_ms"] == pytest.approx(200)
    assert point.metrics["mean_tpot_ms"] == pytest.approx(100)
    assert (point.metrics["completed"], point.metrics["failed"]) == (2, 1)
    assert point.metrics["request_goodput"] == pytest.approx(0.1)


def test_a_run_without_a_completed_request_is_no_point_and_says_why():
    with pytest.raises(BadInputError, match=r"0 completed, 3 refused.*HTTP 503"):
        point_of(run([], failed=3))


def test_a_profile_goes_to_json_and_back_with_its_failures():
    profile = profile_of(
        [run([0.1], failed=2), run([0.2], rate=1.5)],
        model="Qwen/Qwen3-8B",
        gpu="H100-SXM",
        precision="bf16",
        engine="vllm",
        engine_version="0.12",
        layout=Layout(),
        kv_precision="bf16",
        provenance=Provenance("measured", "2025-11-24", command="waferlag measure"),
    )
    assert "1 completed, 2 refused" in profile.notes
    assert profile_from_json(profile.to_json()) == profile
    assert [point.request_rate for point in profile.points] == [None, 1.5]


def test_dummy_prompts_differ_and_repeat_for_the_same_seed():
    one, same = (Dummy(vocab=100, seed=3).prompts([20, 20], [1, 1]) for _ in range(2))
    assert one == same
    assert one[0].content != one[1].content
    words = Dummy().prompts([20], [1])[0].content
    assert isinstance(words, str)
    assert len(words.split()) == 20


def test_the_search_ends_within_its_precision_of_the_highest_good_rate():
    def run_at(rate):
        return run([0.1 if rate <= 7.0 else 9.0] * 10, rate=rate)

    found = highest_rate(run_at, Bounds(ttft_ms=500), 0.9, start=1.0)
    assert 7.0 * 0.95 <= found.rate <= 7.0
    assert found.run is not None
    assert highest_rate(run_at, Bounds(ttft_ms=1), 0.9, start=1.0).run is None


def test_the_machine_is_named():
    assert this_machine().device
    assert np.char.isalnum(code_commit().rstrip("+") or "x")
