"""Reading and cleaning measured rows: the rules of the page, on tables made by hand and on the public file."""

from pathlib import Path

import pytest

from executor.errors import BadInputError, FileError, LimitError, UnknownNameError
from executor.estimate.calibration import belief
from executor.estimate.measured_points import (
    by_group,
    case_of,
    clean,
    impossible,
    precision_name,
    read_measured,
    read_table,
    shipped_points,
)
from executor.estimate.replica import measured_cases
from executor.model.cost import Layout
from executor.profile import Point, Provenance, ServingProfile

PUBLIC = Path(__file__).resolve().parents[4] / "shared" / "cases" / "throughput_measured.csv"

ROW = {
    "gpu": "H200-SXM",
    "engine": "trtllm",
    "engine_version": "1.1",
    "model": "deepseek-ai/DeepSeek-R1",
    "precision": "fp8",
    "input_tokens": "1024",
    "output_tokens": "1024",
    "concurrency": "64",
    "tp": "8",
    "moe_ep": "8",
    "ttft_ms": "972.8",
    "tpot_ms": "23.4",
    "repeats": "1",
}


def row(line=2, **changes):
    return case_of(line, {**ROW, **changes}, measured=True)


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "cases.csv"
    path.write_bytes(text.encode(encoding))
    return path


HEAD = "gpu,engine,model,precision,input_tokens,output_tokens,concurrency,ttft_ms,tpot_ms\n"
LINE = "H100-SXM,vllm,Qwen/Qwen3-8B,bf16,1024,128,8,60,9\n"


def test_a_row_becomes_a_set_up_and_a_load():
    case = row()
    assert case.setup.layout == Layout(8, 1, 1, 1, 8)
    assert (case.load.isl, case.load.osl, case.load.concurrency) == (1024, 1024, 64)
    assert case.throughput_per_gpu == pytest.approx(64 * 1024 / (0.9728 + 0.0234 * 1023) / 8)


def test_expert_parallel_zero_and_one_by_one_are_read_as_not_stated():
    assert row(moe_ep="0").setup.layout == Layout(8, 1, 1, 8, 1)
    assert row(moe_ep="1", moe_tp="1").setup.layout == Layout(8, 1, 1, 8, 1)
    dense = row(model="Qwen/Qwen3-32B", moe_ep="0").setup.layout
    assert dense == Layout(8, 1, 1, 1, 1)


def test_concurrency_of_an_attention_data_parallel_row_is_counted_per_rank_and_said_so():
    case = row(tp="1", attention_dp="8", concurrency="16")
    assert case.load.concurrency == 128
    assert "per attention-DP rank: 128" in case.notes[0]


def test_an_unknown_engine_takes_the_generic_prior_and_says_so():
    case = row(engine="lmdeploy", model="Qwen/Qwen3-32B")
    assert case.setup.engine.name == "generic"
    assert case.notes == ("engine 'lmdeploy' has no record: generic prior",)
    assert case.group.engine == "lmdeploy"


@pytest.mark.parametrize(
    ("text", "name"), [("", "bf16"), ("FP16", "bf16"), ("fp8_block", "fp8"), ("W4A16", "int4"), ("int8", "int8")]
)
def test_other_spellings_of_a_precision_are_known(text, name):
    assert precision_name(text) == name


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "DeepSeek-R7"}, UnknownNameError, "DeepSeek-R1"),
        ({"precision": "fp6"}, UnknownNameError, "precision"),
        ({"input_tokens": "nan"}, BadInputError, "input_tokens must be a number of 1 or more"),
        ({"input_tokens": "-5"}, BadInputError, "input_tokens"),
        ({"concurrency": "0"}, BadInputError, "concurrency must be a number above 0"),
        ({"concurrency": "1e300"}, BadInputError, "at most 1e9"),
        ({"tpot_ms": ""}, BadInputError, "tpot_ms must be a number"),
        ({"tp": "2.5"}, BadInputError, "tp must be a whole number"),
        ({"tp": "3"}, BadInputError, "does not divide"),
        ({"output_tokens": "1"}, BadInputError, "output_tokens must be 2 or more"),
    ],
)
def test_a_bad_cell_is_named_with_its_value(change, error, message):
    with pytest.raises(error, match=message):
        row(**change)


def copies(count=4):
    small = [row(line, concurrency=str(c), ttft_ms=str(400 + c), tpot_ms=str(8 + c / 10)) for line, c in
             enumerate((4, 8, 16, 32)[:count], start=2)]  # fmt: skip
    large = [row(line + 100, tp="64", moe_tp="8", concurrency=f"{c.load.concurrency:g}", ttft_ms=str(c.ttft_ms),
                 tpot_ms=str(c.tpot_ms)) for line, c in enumerate(small)]  # fmt: skip
    return small, large


def test_copies_of_a_layout_under_a_wrong_gpu_count_go():
    small, large = copies()
    kept = clean([*small, *large])
    assert kept.cases == tuple(small)
    assert {r.line for r in kept.rejected} == {case.line for case in large}


def test_one_equal_row_is_no_copy_of_a_layout():
    small, large = copies(1)
    other = row(300, tp="64", moe_tp="8", ttft_ms="700", tpot_ms="50")
    assert len(clean([*small, *large, other]).cases) == 3


def test_a_merged_row_takes_the_single_run_among_the_copies():
    small, large = copies()
    merged = row(50, concurrency="64", ttft_ms="800", tpot_ms="26", repeats="2")
    single = row(150, tp="64", moe_tp="8", concurrency="64", ttft_ms="1200", tpot_ms="19", repeats="1")
    kept = clean([*small, merged, *large, single])
    (found,) = (case for case in kept.cases if case.line == 50)
    assert (found.ttft_ms, found.tpot_ms) == (1200, 19)
    assert "line 150" in found.notes[-1]


def test_a_row_that_needs_more_than_the_peak_is_no_plain_serving():
    fast = row(gpu="H200-SXM", model="Llama-3.1-8B", tp="1", moe_ep="1", concurrency="112",
               output_tokens="100", input_tokens="1000", ttft_ms="71.9", tpot_ms="11.25")  # fmt: skip
    assert "of the peak" in (impossible(fast) or "")


def test_a_row_faster_than_the_bandwidth_is_impossible():
    fast = row(concurrency="1", tpot_ms="0.5", ttft_ms="200")
    assert "more than TPOT" in (impossible(fast) or "")


def test_an_ordinary_row_is_possible():
    assert impossible(row()) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        (HEAD, "has a header and no rows"),
        (HEAD.replace("model", "modell") + LINE, "lacks the column.*model"),
        (HEAD.replace("gpu", "model") + LINE, "lacks the column"),
        (HEAD.replace("\n", ",gpu\n") + LINE, "has a column twice"),
        (HEAD + '"unclosed\n', "is no CSV file"),
    ],
)
def test_a_table_that_is_none_gives_one_message(tmp_path, text, message):
    with pytest.raises(FileError, match=message):
        read_table(table(tmp_path, text))


def test_a_table_in_another_encoding_is_told_to_be_utf8(tmp_path):
    with pytest.raises(FileError, match="save it as UTF-8"):
        read_table(table(tmp_path, HEAD + LINE.replace("vllm", "vllm±"), "utf-16"))


def test_a_missing_table_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        read_table(tmp_path / "nowhere.csv")


def test_a_table_that_is_too_long_says_the_limit(tmp_path):
    with pytest.raises(LimitError, match="limit of 2"):
        read_table(table(tmp_path, HEAD + LINE * 3), most_rows=2)


def test_a_bad_row_is_rejected_with_its_line_and_the_others_stay(tmp_path):
    found = read_measured(table(tmp_path, HEAD + LINE + LINE.replace("1024", "many") + LINE))
    assert [case.line for case in found.cases] == [2, 4]
    assert found.rejected[0].line == 3
    assert "input_tokens must be a number (got 'many')" in found.rejected[0].reason


def test_short_and_blank_lines_do_no_harm(tmp_path):
    found = read_measured(table(tmp_path, HEAD + "\n" + "H100-SXM,vllm\n" + LINE))
    assert [case.line for case in found.cases] == [4]


def test_a_byte_order_mark_and_columns_in_any_order_are_read(tmp_path):
    text = "\ufefftpot_ms,extra," + HEAD.replace(",tpot_ms", "") + "9,x," + LINE.rsplit(",", 1)[0] + "\n"
    assert read_measured(table(tmp_path, text)).cases[0].tpot_ms == 9


def test_the_shipped_rows_are_clean_and_at_most_four_to_a_group():
    groups = by_group(shipped_points())
    assert len(groups) >= 12
    assert all(1 <= len(rows) <= 4 for rows in groups.values())


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public measured file is not beside the repository")
def test_the_public_file_keeps_501_of_its_524_rows():
    found = read_measured(PUBLIC)
    assert (len(found.cases), len(found.rejected)) == (501, 23)
    assert len(by_group(found.cases)) == 14


def test_a_missing_figure_may_be_given_for_the_cards_that_lack_it():
    cells = {**ROW, "gpu": "H20-141GB", "tpot_ms": "60"}
    case = case_of(2, cells, measured=True, figures={"bandwidth_tb_s": 4.8})
    assert case.setup.accelerator.bandwidth_tb_s == 4.8
    assert "bandwidth_tb_s=4.8 as given" in case.notes[-1]
    known = case_of(2, ROW, measured=True, figures={"bandwidth_tb_s": 1.0})
    assert known.setup.accelerator.bandwidth_tb_s == 4.8
    assert not known.notes


def test_a_measured_profile_gives_rows_that_calibrate():
    closed = Point(1024, 128, concurrency=8, metrics={"mean_ttft_ms": 60.0, "mean_tpot_ms": 9.0})
    opened = Point(1024, 128, request_rate=2.0, metrics={"mean_ttft_ms": 60.0, "mean_tpot_ms": 9.0})
    profile = ServingProfile(
        "Qwen/Qwen3-8B",
        "H100-SXM",
        "bf16",
        "vllm",
        "0.12",
        Layout(),
        "bf16",
        "measured",
        (closed, opened, closed),
        Provenance("vllm bench serve", "2026-11-24"),
    )
    rows = measured_cases(profile)
    assert [(case.line, case.ttft_ms, case.tpot_ms) for case in rows] == [(1, 60.0, 9.0), (3, 60.0, 9.0)]
    believed = belief(rows[0].setup, "0.12", rows)
    assert (believed.label, believed.calibration.rows) == ("calibrated", 2)


@pytest.mark.parametrize("model", ["x" * 300, "a/" * 400, "x" * 5000 + ".json", "/etc/passwd.json", "\u0000"])
def test_a_model_that_no_file_can_have_rejects_its_row_and_not_the_table(tmp_path, model):
    found = read_measured(table(tmp_path, HEAD + LINE + LINE.replace("Qwen/Qwen3-8B", model) + LINE))
    assert [each.line for each in found.rejected] == [3]
    assert [case.line for case in found.cases] == [2, 4]
