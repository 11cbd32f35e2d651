"""`waferlag report` of a plan's JSON: what is written, and what is refused."""

import json

import pytest


@pytest.fixture
def plan_file(make_record, tmp_path):
    """A plan's JSON, with changes to its top level."""

    def write(**changes):
        path = tmp_path / "plan.json"
        body = json.loads(make_record().model_dump_json())
        path.write_text(json.dumps({**body, **changes}))
        return path

    return write


@pytest.mark.slow
def test_a_report_is_written_where_it_is_asked_for_with_the_same_bytes_each_time(command, plan_file, tmp_path):
    first, second = tmp_path / "first.html", tmp_path / "second.html"
    for target in (first, second):
        code, out, err = command("report", plan_file(), "--html", target)
        assert (code, out, err) == (0, f"Report: {target}\n", "")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 3}, "this Waferlag reads 1 and 2 (got 3)"),
        ({"answer": 3}, "is not a plan's JSON: answer: "),
        ({"months": None}, "is not a plan's JSON: months: "),
        ({"surprise": 1}, "is not a plan's JSON: surprise: "),
    ],
)
def test_a_file_that_is_no_plan_of_this_version_is_refused(command, plan_file, tmp_path, changes, said):
    code, out, err = command("report", plan_file(**changes), "--html", tmp_path / "plan.html")
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.json"], "none.json: cannot be read"),
        (["PLAN", "--language", "xx"], "unknown language 'xx'; known: en, zh"),
        (["PLAN", "--html", "none/plan.html"], "its folder does not exist"),
        (["PLAN", "--html", "same", "--pdf", "same"], "is written twice"),
    ],
)
def test_a_wrong_word_is_told(command, plan_file, monkeypatch, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    plan = plan_file()
    code, out, err = command("report", *[str(plan) if word == "PLAN" else word for word in words])
    assert (code, out) == (2, "")
    assert said in err
