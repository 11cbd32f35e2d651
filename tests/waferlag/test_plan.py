"""`waferlag plan`: the answer on stdout, a record that runs again, and what a user may get wrong."""

import json
from pathlib import Path

import pytest

from waferlag.text.tables import displayed_width

KEYS = (
    *("schema_version", "versions", "scenario", "seed", "roots", "answer", "months"),
    *("orders", "kpis", "rivals", "sizing", "profiles", "physics", "reasons"),
)


@pytest.fixture(scope="module")
def made():
    """What the small plan wrote, printed and ended with, once it was made."""
    return {}


@pytest.fixture
def planned(made, command, tiny, tmp_path):
    """The small plan's JSON file, what was printed, and the exit code; the file's tests share one plan."""
    target = tmp_path / "plan.json"
    if not made:
        code, out, err = command("plan", tiny(), "--no-save", "--quiet", "--json", target)
        assert err == ""
        made.update(code=code, out=out, written=target.read_bytes())
    target.write_bytes(made["written"])
    return target, made["out"], made["code"]


def test_the_answer_is_on_stdout_and_fits_80_columns(planned):
    _, out, code = planned
    assert code == 0
    for part in (
        "Orders\n",
        "What this rests on:",
        "Months\n",
        "Rivals\n",
        "Serving, one replica at the SLO\n",
        "Why\n",
    ):
        assert part in out
    assert "\x1b" not in out
    report = out.split("\nJSON: ")[0]
    assert max(map(displayed_width, report.splitlines())) <= 80


def test_the_json_holds_inputs_and_results(planned):
    record = json.loads(planned[0].read_text())
    assert [key for key in KEYS if key not in record] == []
    assert record["schema_version"] == 2
    assert record["answer"]["sentence"].split()[0] in " ".join(planned[1].split())


def test_the_same_plan_gives_the_same_bytes(planned, command, tiny, tmp_path):
    again = tmp_path / "again.json"
    assert command("plan", tiny(), "--no-save", "--quiet", "--json", again)[0] == 0
    assert again.read_bytes() == planned[0].read_bytes()


def test_the_json_alone_runs_again_with_equal_numbers(planned, command, tmp_path):
    again = tmp_path / "again.json"
    assert command("plan", planned[0], "--no-save", "--quiet", "--json", again)[0] == 0
    assert again.read_bytes() == planned[0].read_bytes()


def test_progress_goes_to_stderr_as_json_lines(command, tiny):
    code, out, err = command("plan", tiny(), "--no-save")
    steps = [json.loads(line) for line in err.splitlines()]
    assert code == 0
    assert steps[0]["progress"] == 0
    assert steps[-1]["progress"] == 1
    assert '{"progress"' not in out


def test_seed_and_replications_change_the_run_and_are_in_the_command_to_repeat_it(command, tiny, tmp_path):
    target = tmp_path / "a plan.json"
    words = ["plan", tiny(name="a scenario.yaml"), "--seed", 9, "--replications", 30, "--with", "us-gate-closed"]
    _, out, _ = command(*words, "--no-save", "--quiet", "--json", target)
    record = json.loads(target.read_text())
    assert (record["seed"], record["scenario"]["run"]["replications"]) == (9, 30)
    assert record["overrides"] == ["us-gate-closed"]
    last = out.splitlines()[-1]
    assert last.endswith("--with us-gate-closed --replications 30 --seed 9")
    assert "'" in last, "a path with a blank is quoted"


def test_a_plan_is_kept_in_the_chosen_database(command, tiny, tmp_path):
    database = f"sqlite:///{tmp_path / 'runs.sqlite'}"
    _, out, _ = command("plan", tiny(), "--quiet", "--db", database)
    run = next(line for line in out.splitlines() if line.startswith("Kept as run ")).split()[3].rstrip(":")
    assert run in command("runs", "list", "--db", database)[1]


@pytest.mark.slow
def test_the_reports_are_written_beside_the_answer(command, tiny, tmp_path):
    page = tmp_path / "plan.html"
    code, out, _ = command("plan", tiny(), "--no-save", "--quiet", "--report", page)
    assert code == 0
    assert f"Report: {page}" in out
    assert "<html" in page.read_text(encoding="utf-8")[:500]


def never_open(body):
    """No cloud, no stock that would do, and a licence that never comes."""
    body["gates"][0]["always"] = "closed"
    body["sources"] = body["sources"][:1]
    body["pools"][0]["load"]["requests_per_second"] = 60


def test_a_gate_that_never_opens_exits_with_1_and_the_reason(command, tiny, tmp_path):
    target = tmp_path / "plan.json"
    code, out, err = command("plan", tiny(never_open), "--no-save", "--quiet", "--json", target)
    assert (code, err) == (1, "")
    assert "No plan found meets demand" in out
    assert "is out of reach" in out
    record = json.loads(target.read_text(), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert record["answer"]["feasible"] is False


def test_a_plan_of_which_nothing_arrives_can_be_kept_and_run_again(command, tiny, tmp_path):
    database, target = f"sqlite:///{tmp_path / 'runs.sqlite'}", tmp_path / "plan.json"
    words = ["plan", tiny(never_open), "--quiet", "--db", database, "--json", target]
    assert command(*words)[0] == 1
    assert command("plan", target, "--no-save", "--quiet")[0] == 1


def too_large(body):
    body["pools"][0].update(model="deepseek-ai/DeepSeek-R1", precision="fp8")


def test_a_model_that_does_not_fit_is_told_with_what_is_missing(command, tiny):
    code, out, err = command("plan", tiny(too_large), "--no-save", "--quiet")
    assert (code, out) == (2, "")
    assert "pools.0.layouts.H20-96GB" in err
    assert "do not fit" in err
    assert "are missing" in err


def test_an_slo_that_no_rate_meets_is_told(command, tiny):
    path = tiny(lambda body: body["pools"][0]["slo"].update(tpot_ms=0.001))
    code, out, err = command("plan", path, "--no-save", "--quiet")
    assert (code, out) == (2, "")
    assert "no rate meets the SLO" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--replications", "0"], "--replications: input should be greater than or equal to 2 (got 0)"),
        (["--replications", "1"], "(got 1)"),
        (["--replications", str(10**9)], "(got 1000000000)"),
        (["--seed", "-1"], "--seed: input should be greater than or equal to 0 (got -1)"),
        (["--seed", str(2**63)], "--seed: input should be less than"),
        (["--with", "us-gate-opne"], "unknown override 'us-gate-opne' (did you mean us-gate-open?)"),
        (["--with", ""], "unknown override ''"),
        (["--db", "mysql://x"], "begins with 'mysql'"),
        (["--db", "sqlite:////proc/x.sqlite"], "x.sqlite"),
    ],
)
def test_a_wrong_option_is_told_before_any_work(command, tiny, words, said):
    code, out, err = command("plan", tiny(), *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("error: "), "no progress was shown, hence nothing was computed"


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("--json", "none/plan.json", "its folder does not exist"),
        ("--json", ".", "is a folder"),
        ("--json", "tiny.yaml", "is the input itself"),
        ("--json", "x" * 300, "cannot be written"),
        ("--report", "plan.doc", "a report is HTML or PDF (got '.doc')"),
        ("--report", "plan", "end the name in .html or .pdf"),
        ("--report", "none/plan.html", "its folder does not exist"),
    ],
)
def test_a_target_that_cannot_be_written_is_told_before_any_work(command, tiny, tmp_path, option, name, said):
    code, out, err = command("plan", tiny(), "--no-save", option, tmp_path / name)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this system has no /proc to refuse a file")
def test_a_folder_that_refuses_files_is_told_before_any_work(command, tiny):
    code, out, err = command("plan", tiny(), "--no-save", "--json", "/proc/plan.json")
    assert (code, out) == (2, "")
    assert err.startswith("error: /proc/plan.json: cannot be written")


def test_one_file_is_not_written_twice(command, tiny, tmp_path):
    target = tmp_path / "plan.html"
    code, _, err = command("plan", tiny(), "--no-save", "--json", target, "--report", target)
    assert code == 2
    assert "is written twice" in err


def edited(planned, **changes):
    record = json.loads(planned[0].read_text())
    path = planned[0].with_name("edited.json")
    path.write_text(json.dumps({**record, **changes}))
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 3}, "this Waferlag reads 1 and 2 (got 3)"),
        ({"schema_version": "1"}, "this Waferlag reads 1 and 2 (got '1')"),
        ({"schema_version": True}, "this Waferlag reads 1 and 2 (got True)"),
        ({"scenario": None}, "holds no scenario"),
        ({"scenario": []}, "holds no scenario"),
        ({"overrides": "demand-doubles"}, "overrides must be a list of names"),
        ({"overrides": 3}, "overrides must be a list of names"),
        ({"seed": 99}, "seed is not that of its scenario (got 99)"),
        ({"roots": {"optimise": 1}}, "roots.optimise does not come from its seed"),
        ({"scenario_hash": "0" * 64}, "scenario_hash differs"),
    ],
)
@pytest.mark.slow
def test_a_plan_that_is_not_as_it_was_written_is_refused(command, planned, changes, said):
    code, out, err = command("plan", edited(planned, **changes), "--no-save")
    assert (code, out) == (2, "")
    assert said in err


def test_an_edited_scenario_inside_a_plan_is_refused(command, planned):
    scenario = json.loads(planned[0].read_text())["scenario"]
    scenario["goal"]["probability"] = 0.01
    code, _, err = command("plan", edited(planned, scenario=scenario), "--no-save")
    assert code == 2
    assert "its scenario was changed after the run" in err


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
@pytest.mark.slow
def test_a_truncated_plan_is_refused(command, planned, part):
    whole = planned[0].read_text()
    planned[0].write_text(whole[: int(part * len(whole))])
    code, out, err = command("plan", planned[0], "--no-save")
    assert (code, out) == (2, "")
    assert "is not valid JSON" in err
    assert "row " in err
