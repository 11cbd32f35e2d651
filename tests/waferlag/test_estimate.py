"""`waferlag estimate`: one set-up, a table of them, and what the user may get wrong."""

import csv
import json
from functools import partial

import pytest

from waferlag.commands.estimate import PREDICTED

ONE = ["--model", "qwen3-32b", "--gpu", "h100-sxm", "--engine", "sglang", "--tp", "4"]
R1 = ["--model", "deepseek-r1", "--precision", "fp8", "--tp", "8"]
HEAD = "gpu,engine,engine_version,model,precision,input_tokens,output_tokens,concurrency,tp,moe_tp,moe_ep\n"
GOOD = "H100-SXM,sglang,0.5.1.post1,Qwen/Qwen3-32B,bf16,2048,256,64,4,1,1\n"


@pytest.fixture
def run(command):
    """`waferlag estimate` with these words."""
    return partial(command, "estimate")


def answered(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_set_up_prints_figures_with_interval_label_and_reason(run):
    code, out, _ = run(*ONE, "--isl", 2048, "--osl", 256, "--concurrency", 64)
    assert code == 0
    for word in ("TTFT", "TPOT", "80 %", "calibrated", "MFU", "limited by", "measured rows of H100-SXM sglang"):
        assert word in out


def test_json_holds_the_estimate_and_its_inputs(run, tmp_path):
    path = tmp_path / "estimate.json"
    assert run(*ONE, "--json", path)[0] == 0
    stored = json.loads(path.read_text())
    assert stored["schema_version"] == 1
    assert stored["versions"]["waferlag"]
    assert stored["tpot_ms"]["low"] < stored["tpot_ms"]["value"] < stored["tpot_ms"]["high"]
    assert stored["layout"] == {"tp": 4, "pp": 1, "attention_dp": 1, "moe_tp": 1, "moe_ep": 1}
    assert stored["load"]["concurrency"] == 16


def test_the_same_command_prints_the_same_twice(run):
    assert run(*ONE) == run(*ONE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what is served where"),
        (["--model", "qwen3-32b"], "say what is served where"),
        (["--model", "qwen3-33b", "--gpu", "H100-SXM"], "Qwen/Qwen3-32B"),
        (["--model", "qwen3-32b", "--gpu", "H300"], "unknown GPU"),
        (["--model", "qwen3-32b", "--gpu", "H20"], "H20-96GB or H20-141GB"),
        ([*ONE, "--precision", "fp3"], "unknown precision"),
        ([*ONE[:4], "--engine", "sglangg"], "sglang"),
        ([*ONE[:4], "--tp", "3"], "tp=3 does not divide"),
        ([*ONE[:4], "--tp", "0"], "tp must be a whole number"),
        ([*ONE, "--concurrency", "nan"], "concurrency"),
        ([*ONE, "--concurrency", "-4"], "concurrency"),
        ([*ONE, "--isl", "0"], "isl"),
        ([*ONE, "--kv-precision", "fp2"], "KV precision"),
        ([*ONE, "--figure", "bandwidth=4"], "unknown GPU figure"),
        ([*ONE, "--figure", "bandwidth_tb_s=fast"], "write NAME=VALUE"),
        ([*ONE, "--out", "x.csv"], "--out goes with --cases"),
        ([*R1, "--gpu", "H100-SXM"], "13.7 GB per GPU are missing"),
        ([*R1, "--gpu", "H20-141GB"], "bandwidth_tb_s"),
        (["--model", "qwen3-32b", "--gpu", "Ascend-910C", "--precision", "fp8"], "use bf16 or int8"),
        (["--cases", "nowhere.csv"], "cannot be read"),
    ],
)  # fmt: skip
def test_a_mistake_gives_one_message_and_exit_code_2(run, words, message):
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_a_figure_that_nobody_published_may_be_given(run):
    code, out, _ = run(*R1, "--gpu", "H20-141GB", "--figure", "bandwidth_tb_s=4.8")
    assert code == 0
    assert "never measured" in out


def test_a_table_gains_predictions_beside_its_own_columns(run, tmp_path):
    cases, out = tmp_path / "in.csv", tmp_path / "out.csv"
    cases.write_text(HEAD + GOOD)
    code, said, _ = run("--cases", cases, "--out", out)
    assert (code, said) == (0, f"{out}: 1 of 1 rows estimated\n")
    (row,) = answered(out)
    assert list(row) == [*HEAD.strip().split(","), *PREDICTED]
    assert float(row["predicted_tpot_ms_low"]) < float(row["predicted_tpot_ms"]) < float(row["predicted_tpot_ms_high"])
    assert (row["label"], row["fits"]) == ("calibrated", "true")
    assert 0 < float(row["mfu"]) < 1


def test_without_out_the_table_goes_to_stdout(run, tmp_path):
    cases = tmp_path / "in.csv"
    cases.write_text(HEAD + GOOD)
    code, said, _ = run("--cases", cases)
    assert code == 0
    assert said.startswith(HEAD.strip())


def test_a_bad_row_gets_a_reason_and_stops_nothing(run, tmp_path):
    bad = [
        GOOD.replace("Qwen3-32B", "Qwen3-33B"),
        GOOD.replace("H100-SXM", "H101"),
        GOOD.replace("2048", "nan"),
        GOOD.replace(",64,", ",-1,"),
        GOOD.replace("bf16", "fp9"),
        GOOD.replace(",4,1,1", ",1,1,1").replace("2048", "90000"),
        "H100-SXM\n",
    ]
    cases, out = tmp_path / "in.csv", tmp_path / "out.csv"
    cases.write_text(HEAD + "".join(bad) + GOOD)
    code, said, err = run("--cases", cases, "--out", out)
    assert code == 0
    assert "1 of 8 rows" in said
    assert "7 row(s) without an estimate" in err
    *wrong, good = answered(out)
    assert all(row["reason"] and not row["predicted_tpot_ms"] for row in wrong)
    assert wrong[5]["fits"] == "false"
    assert good["predicted_tpot_ms"]


def test_an_engine_without_a_record_is_estimated_with_the_generic_prior_and_says_so(run, tmp_path):
    cases, out = tmp_path / "in.csv", tmp_path / "out.csv"
    cases.write_text(HEAD + GOOD.replace("sglang", "lmdeploy"))
    run("--cases", cases, "--out", out)
    (row,) = answered(out)
    assert row["label"] == "estimated"
    assert "generic prior" in row["reason"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (HEAD.encode(), "no rows"),
        (b"a,b\n1,2\n", "lacks the column"),
        ((HEAD + GOOD).encode("utf-16"), "UTF-8"),
        (b"\x00\xff\xfe", "UTF-8"),
    ],
)
def test_a_table_that_is_none_gives_one_message(run, tmp_path, content, message):
    cases, out = tmp_path / "in.csv", tmp_path / "out.csv"
    cases.write_bytes(content)
    code, _, err = run("--cases", cases, "--out", out)
    assert code == 2
    assert message in err
    assert not out.exists()
