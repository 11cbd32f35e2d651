"""`waferlag replay`: from a trace to percentiles, and what the user may get wrong."""

import json
from functools import partial

import pytest

ONE = ["--model", "qwen3-32b", "--gpu", "h100-sxm", "--engine", "sglang", "--tp", "4"]
SMALL = ["--requests", 150, "--draws", 2, "--rate", 2]


@pytest.fixture
def run(command):
    """`waferlag replay` with these words."""
    return partial(command, "replay")


def test_a_replay_prints_percentiles_with_interval_label_and_reason(run):
    code, out, _ = run("azure-code-2023", *ONE, *SMALL, "--goodput", "ttft:2000 tpot:50")
    assert code == 0
    for word in ("TTFT", "TPOT", "ITL", "p99", "80 %", "goodput", "KV cache", "label: calibrated", "seed 0"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


def test_json_holds_the_result_with_all_that_is_needed_to_run_it_again(run, tmp_path):
    path = tmp_path / "replay.json"
    words = ["azure-code-2023", *ONE, *SMALL, "--goodput", "ttft:2000", "--search", 90]
    assert run(*words, "--json", path)[0] == 0
    stored = json.loads(path.read_text())
    assert stored["schema_version"] == 1
    assert (stored["seed"], stored["requests"], stored["route"]) == (0, 150, "least-loaded")
    assert stored["bounds"] == {"ttft_ms": 2000.0, "tpot_ms": None, "e2el_ms": None}
    mean = stored["metrics"]["mean_tpot_ms"]
    assert mean["low"] < mean["value"] < mean["high"]
    assert stored["highest_rate"]["requests_per_s"] > 0
    again = tmp_path / "again.json"
    assert run(*words, "--json", again)[0] == 0
    assert again.read_bytes() == path.read_bytes()


def test_more_replicas_wait_less(run, tmp_path):
    found = []
    for replicas in (1, 4):
        path = tmp_path / f"{replicas}.json"
        words = ["azure-code-2023", *ONE, "--requests", 400, "--rate", 8, "--draws", 0]
        assert run(*words, "--replicas", replicas, "--json", path)[0] == 0
        found.append(json.loads(path.read_text())["metrics"]["p90_ttft_ms"]["value"])
    assert found[1] < found[0]


def test_prompts_and_answers_can_be_served_apart(run, tmp_path):
    path = tmp_path / "apart.json"
    code, out, _ = run("azure-code-2023", *ONE, *SMALL, "--prefill-replicas", 2, "--json", path)
    assert code == 0
    assert "prefill side" in out
    assert "2 prefill and 1 replica(s)" in out
    sides = json.loads(path.read_text())["sides"]
    assert [side["phase"] for side in sides] == ["prefill", "decode"]
    assert sides[1]["prompt_tokens_computed"] < sides[0]["prompt_tokens_computed"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["azure-code-2023"], "--profile ID, or --model and --gpu"),
        (["azure-code-2032", *ONE], "azure-code-2023"),
        (["azure-code-2023", *ONE, "--profile", "x"], "either --profile"),
        (["azure-code-2023", *ONE, "--route", "rond-robin"], "round-robin"),
        (["azure-code-2023", *ONE, "--goodput", "ttft=5"], "ttft:MS"),
        (["azure-code-2023", *ONE, "--goodput", "ttft:fast"], "not a number"),
        (["azure-code-2023", *ONE, "--goodput", "ttft:-5"], "above 0"),
        (["azure-code-2023", *ONE, "--search", "90"], "needs --goodput"),
        (
            ["azure-code-2023", *ONE, "--search", "90", "--goodput", "ttft:9", "--prefill-replicas", "1"],
            "leave out --prefill-replicas",
        ),
        (["azure-code-2023", *ONE, "--rate", "nan"], "positive number"),
        (["azure-code-2023", *ONE, "--burst", "-1"], "0 or more"),
        (["azure-code-2023", *ONE, "--json", "/no/such/folder/x.json"], "folder does not exist"),
        (["azure-code-2023", "--model", "deepseek-r1", "--gpu", "h200-sxm", "--precision", "fp8"], "do not fit"),
    ],
)
def test_a_mistake_is_told_with_its_mend_and_no_traceback(run, words, message):
    code, _, err = run(*words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
