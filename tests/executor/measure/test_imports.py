import json
import math

import pytest

from executor.errors import BadInputError, FileError
from executor.measure.imports import imported_profile, read_results
from executor.model.cost import Layout
from executor.profile import profile_from_json

VLLM = {
    "date": "20251120-101500",
    "backend": "vllm",
    "model_id": "Qwen/Qwen3-8B",
    "num_prompts": 64,
    "request_rate": "inf",
    "max_concurrency": 8,
    "duration": 32.0,
    "completed": 64,
    "total_input_tokens": 65536,
    "total_output_tokens": 16384,
    "request_throughput": 2.0,
    "request_goodput:": 1.5,
    "output_throughput": 512.0,
    "total_token_throughput": 2560.0,
    "mean_ttft_ms": 90.5,
    "median_ttft_ms": 80.0,
    "std_ttft_ms": 12.0,
    "p99_ttft_ms": 200.0,
    "mean_tpot_ms": 15.2,
    "p99_tpot_ms": 18.0,
    "mean_itl_ms": 15.1,
    "ttfts": [0.09] * 64,
    "generated_texts": ["x"] * 64,
}
AIPERF = {
    "schema_version": "1.3",
    "request_throughput": {"unit": "requests/sec", "avg": 3.37},
    "request_latency": {"unit": "ms", "avg": 2189.3, "p50": 1789.2, "p99": 6452.4, "std": 1577.8},
    "request_count": {"unit": "requests", "avg": 96.0},
    "error_request_count": {"unit": "requests", "avg": 2.0},
    "time_to_first_token": {"unit": "ms", "avg": 118.1, "p50": 117.3, "p99": 232.3, "std": 52.4},
    "inter_token_latency": {"unit": "ms", "avg": 9.05, "p50": 9.1, "p99": 12.5, "std": 1.3},
    "inter_chunk_latency": {"unit": "ms", "avg": 9.12, "p50": 7.0, "p99": 109.8, "std": 14.9},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 769.6},
    "input_sequence_length": {"unit": "tokens", "avg": 467.5},
    "output_sequence_length": {"unit": "tokens", "avg": 228.2},
    "input_config": {
        "models": {"items": [{"name": "qwen3-8b"}]},
        "phases": [
            {"name": "warmup", "exclude_from_results": True, "concurrency": 4},
            {"name": "profiling", "type": "concurrency", "concurrency": 8},
        ],
    },
    "end_time": "2025-11-21T04:20:08",
}


def spread(mean, **more):
    return {"successful": {"mean": mean, "median": mean, "std_dev": 0.1, "percentiles": {"p99": 2 * mean}, **more}}


GUIDELLM = {
    "metadata": {"version": 2},
    "args": {"model": "Qwen/Qwen3-8B"},
    "benchmarks": [
        {
            "config": {"strategy": {"type_": "concurrent", "streams": 16}},
            "duration": 30.0,
            "metrics": {
                "request_totals": {"successful": 50, "errored": 1, "incomplete": 2, "total": 53},
                "requests_per_second": spread(1.7),
                "output_tokens_per_second": spread(430.0),
                "tokens_per_second": spread(2100.0),
                "prompt_token_count": spread(1000.0, total_sum=50000),
                "output_token_count": spread(256.0, total_sum=12800),
                "time_to_first_token_ms": spread(150.0),
                "inter_token_latency_ms": spread(20.0),
                "time_per_output_token_ms": spread(33.0),
                "request_latency": spread(5.25),
            },
        }
    ],
}


def written(tmp_path, content, name="result.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def the_point(tmp_path, content):
    return read_results(written(tmp_path, content))[0][3]


def profile(*files, **changes):
    said = {
        "gpu": "H100-SXM",
        "precision": "bf16",
        "engine": "vllm",
        "engine_version": "0.12",
        "layout": Layout(),
        "kv_precision": "bf16",
    }
    return imported_profile(files, **{**said, **changes})


def test_a_vllm_result_keeps_its_names(tmp_path):
    tool, model, date, point = read_results(written(tmp_path, VLLM))[0]
    assert (tool, model, date) == ("vllm bench serve", "Qwen/Qwen3-8B", "2025-11-20")
    assert (point.concurrency, point.request_rate) == (8.0, None)
    assert (point.input_tokens, point.output_tokens) == (1024.0, 256.0)
    assert point.metrics["mean_ttft_ms"] == 90.5
    assert point.metrics["p99_tpot_ms"] == 18.0
    assert point.metrics["request_goodput"] == 1.5


def test_a_vllm_rate_makes_an_open_loop_and_no_limit_a_burst(tmp_path):
    assert the_point(tmp_path, {**VLLM, "request_rate": 4.0}).request_rate == 4.0
    burst = {name: value for name, value in VLLM.items() if name != "max_concurrency"}
    assert the_point(tmp_path, burst).concurrency == 64


def test_vllm_results_appended_line_by_line_are_all_read(tmp_path):
    lines = "\n".join(json.dumps({**VLLM, "max_concurrency": n}) for n in (1, 8, 32))
    points = [point for *_, point in read_results(written(tmp_path, lines, "result.jsonl"))]
    assert [point.concurrency for point in points] == [1, 8, 32]


def test_aiperfs_inter_token_latency_is_our_tpot_and_its_chunk_latency_our_itl(tmp_path):
    tool, model, date, point = read_results(written(tmp_path, AIPERF))[0]
    assert (tool, model, date) == ("aiperf", "qwen3-8b", "2025-11-21")
    assert point.concurrency == 8  # of the phase that counts, not of the warm-up
    assert point.metrics["mean_tpot_ms"] == 9.05
    assert point.metrics["p99_itl_ms"] == 109.8
    assert point.metrics["mean_e2el_ms"] == 2189.3
    assert (point.metrics["completed"], point.metrics["failed"]) == (96, 2)


def test_aiperf_units_are_heeded_and_an_older_input_config_is_read(tmp_path):
    content = {
        **AIPERF,
        "time_to_first_token": {"unit": "s", "avg": 0.118},
        "input_config": {"endpoint": {"model_names": ["m"]}, "loadgen": {"request_rate": 2.5}},
    }
    point = the_point(tmp_path, content)
    assert point.metrics["mean_ttft_ms"] == pytest.approx(118)
    assert point.request_rate == 2.5
    with pytest.raises(BadInputError, match="parsec"):
        the_point(tmp_path, {**AIPERF, "time_to_first_token": {"unit": "parsec", "avg": 1.0}})


def test_guidellms_inter_token_latency_is_our_tpot_and_its_own_tpot_is_left_out(tmp_path):
    tool, model, _, point = read_results(written(tmp_path, GUIDELLM))[0]
    assert (tool, model, point.concurrency) == ("guidellm", "Qwen/Qwen3-8B", 16)
    assert point.metrics["mean_tpot_ms"] == 20.0
    assert not any("itl" in name for name in point.metrics)
    assert point.metrics["mean_e2el_ms"] == 5250.0  # seconds there
    assert (point.metrics["completed"], point.metrics["failed"]) == (50, 3)


def test_guidellms_strategies_are_rates_or_clients(tmp_path):
    def load(strategy):
        benchmark = {**GUIDELLM["benchmarks"][0], "config": {"strategy": strategy}}
        point = the_point(tmp_path, {**GUIDELLM, "benchmarks": [benchmark]})
        return point.concurrency, point.request_rate

    assert load({"type_": "poisson", "rate": 3.0}) == (None, 3.0)
    assert load({"type_": "synchronous"}) == (1.0, None)
    assert load({"type_": "throughput", "max_concurrency": 64}) == (64.0, None)


def test_files_of_one_set_up_make_one_profile_that_goes_to_json_and_back(tmp_path):
    files = [written(tmp_path, {**VLLM, "max_concurrency": n}, f"{n}.json") for n in (1, 8)]
    found = profile(*files)
    assert (found.model, found.label, len(found.points)) == ("Qwen/Qwen3-8B", "measured", 2)
    assert found.provenance.date == "2025-11-20"
    assert profile_from_json(found.to_json()) == found


def test_files_that_name_different_models_need_one_to_be_given(tmp_path):
    files = [written(tmp_path, VLLM, "a.json"), written(tmp_path, AIPERF, "b.json")]
    with pytest.raises(BadInputError, match="Qwen/Qwen3-8B and qwen3-8b: give it by --model"):
        profile(*files)
    assert profile(*files, model="Qwen/Qwen3-8B").model == "Qwen/Qwen3-8B"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("[1, 2]", "must hold an object, found list"),
        ('{"mean_ttft_ms": ', "neither JSON"),
        ("[" * 100_000, "neither JSON"),
        ({"hello": 1}, "is no result of vllm bench serve"),
        ({**VLLM, "mean_ttft_ms": math.nan}, "NaN is no number"),
        ({**VLLM, "mean_ttft_ms": -3}, "mean_ttft_ms must be a finite number of 0 or more"),
        ({**VLLM, "mean_ttft_ms": "fast"}, "mean_ttft_ms must be a number"),
        ({**VLLM, "mean_ttft_ms": True}, "mean_ttft_ms must be a number"),
        ({**VLLM, "completed": 0}, "completed is missing or 0"),
        ({**VLLM, "request_rate": "many"}, "request_rate must be a number"),
        ({**VLLM, "output_throughput": None}, "has no output_throughput"),
        ({**AIPERF, "input_config": {}}, "neither a concurrency nor a request rate"),
        ({**AIPERF, "input_config": [1]}, "neither a concurrency nor a request rate"),
        ({"benchmarks": []}, "holds no result"),
        ({"benchmarks": [7]}, "benchmarks.0: must hold an object"),
        ({"benchmarks": [{}]}, "has no metrics"),
        ({"benchmarks": [{"metrics": {"request_totals": 5}}]}, "successful is missing"),
    ],
)
def test_a_hostile_file_is_one_message_with_the_place(tmp_path, content, message):
    with pytest.raises(BadInputError, match=message) as found:
        profile(written(tmp_path, content))
    assert "result.json" in str(found.value)


def test_what_is_no_text_or_no_file_is_told(tmp_path):
    path = tmp_path / "binary.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(FileError, match="not UTF-8"):
        profile(path)
    with pytest.raises(FileError, match="cannot be read"):
        profile(tmp_path / "missing.json")
    with pytest.raises(FileError, match="cannot be read"):
        profile(tmp_path)


def test_a_file_cut_off_anywhere_never_makes_a_profile(tmp_path):
    for whole in (VLLM, AIPERF, GUIDELLM):
        text = json.dumps(whole)
        for end in range(1, len(text) - 1, 37):
            with pytest.raises(BadInputError):
                profile(written(tmp_path, text[:end]))
