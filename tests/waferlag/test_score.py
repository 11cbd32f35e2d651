"""`waferlag score`: report, JSON, page section and what the user may get wrong."""

import json
from functools import partial

import pytest

HEAD = "gpu,engine,engine_version,model,precision,input_tokens,output_tokens,concurrency,tp,ttft_ms,tpot_ms\n"


@pytest.fixture
def run(command):
    """`waferlag score` with these words."""
    return partial(command, "score")


@pytest.fixture
def cases(tmp_path):
    """Eight rows of one group on a card never measured, and one row alone."""
    lines = [
        f"H20-96GB,vllm,0.9,Qwen/Qwen3-8B,bf16,{i},{o},{c},1,{60 + c * i / 60:.0f},{8 + c / 12 + c * i / 900:.2f}\n"
        for i in (512, 2048)
        for o in (128, 512)
        for c in (4, 32)
    ]
    lines.append("H20-96GB,lmdeploy,0.1,Qwen/Qwen3-8B,bf16,1024,256,8,1,200,12\n")
    path = tmp_path / "cases.csv"
    path.write_text(HEAD + "".join(lines))
    return path


def test_the_report_has_three_settings_with_both_counts(run, cases):
    code, out, _ = run("--cases", cases)
    assert code == 0
    for text in ("at most 0 calibration rows per group: 0 calibrate, 9 scored in 2 groups",
                 "at most 2 calibration rows per group: 2 calibrate, 6 scored in 1 groups",
                 "at most 4 calibration rows per group: 4 calibrate, 4 scored in 1 groups"):  # fmt: skip
        assert text in out


def test_one_setting_may_be_asked_for(run, cases):
    _, out, _ = run("--cases", cases, "--calibration-rows", 3)
    assert "at most 3 calibration rows" in out
    assert "at most 0" not in out


def test_the_same_score_twice(run, cases, tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    assert run("--cases", cases, "--json", first) == run("--cases", cases, "--json", second)
    assert first.read_bytes() == second.read_bytes()


def test_json_names_the_calibration_lines_and_the_rule(run, cases, tmp_path):
    path = tmp_path / "score.json"
    run("--cases", cases, "--json", path)
    stored = json.loads(path.read_text())
    assert stored["schema_version"] == 1
    assert "V-optimal" in stored["calibration_rule"]
    two = stored["settings"][1]
    assert len(two["groups"][0]["calibration_lines"]) == 2
    assert two["groups"][0]["scored"] == 6
    assert two["not_averaged"][0]["scored"] == 1


def test_the_page_keeps_what_others_wrote(run, cases, tmp_path):
    page = tmp_path / "accuracy.md"
    page.write_text("# Accuracy\n\nwritten by another\n")
    run("--cases", cases, "--markdown", page)
    files = {path: path.read_text() for path in tmp_path.rglob("*.*")}
    run("--cases", cases, "--markdown", page)
    assert {path: path.read_text() for path in tmp_path.rglob("*.*")} == files
    assert "written by another" in files[page]
    assert "## Serving throughput" in files[tmp_path / "accuracy" / "serving.md"]
    assert json.loads(files[tmp_path / "accuracy" / "serving.json"])["serving"]["rows"] == 9


@pytest.mark.parametrize(
    ("page", "kept", "message"),
    [("accuracy", None, "must end in .md"), ("accuracy.md", "{", "cannot be read or written")],
)
def test_a_page_that_cannot_be_renewed_gives_one_message(run, cases, tmp_path, page, kept, message):
    if kept:
        (tmp_path / "accuracy").mkdir()
        (tmp_path / "accuracy" / "gates.json").write_text(kept)
    code, _, err = run("--cases", cases, "--calibration-rows", 0, "--markdown", tmp_path / page)
    assert code == 2
    assert message in err


def test_the_rows_that_calibrate_can_be_written(run, cases, tmp_path):
    path = tmp_path / "rows.csv"
    run("--cases", cases, "--rows-out", path)
    assert len(path.read_text().splitlines()) == 5


def test_a_group_of_one_row_alone_is_scored_without_a_mean(run, tmp_path):
    path = tmp_path / "one.csv"
    path.write_text(HEAD + "H100-SXM,vllm,1,Qwen/Qwen3-8B,bf16,1024,128,8,1,60,9\n")
    out = tmp_path / "one.json"
    assert run("--cases", path, "--json", out)[0] == 0
    assert json.loads(out.read_text())["settings"][1]["summary"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (HEAD, "no rows"),
        (HEAD.replace("tpot_ms", "tpot") + "x\n", "lacks the column(s) tpot_ms"),
        (HEAD + "H100-SXM,vllm,1,Qwen/Qwen3-8B,bf16,1024,128,8,1,,9\n", "no row that can be scored"),
        (HEAD + "H100-SXM,vllm,1,Qwen/Qwen3-8B,bf16,1024,128,8,1,nan,9\n", "ttft_ms must be a number"),
    ],
)
def test_a_table_that_cannot_be_scored_gives_one_message(run, tmp_path, content, message):
    path = tmp_path / "cases.csv"
    path.write_text(content)
    code, out, err = run("--cases", path)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_negative_number_of_rows_is_refused(run, cases):
    code, _, err = run("--cases", cases, "--calibration-rows", -1)
    assert code == 2
    assert "from 0 to" in err
