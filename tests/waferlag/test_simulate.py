"""`waferlag simulate`: given orders carried through, from a CSV or from a plan, and what may be wrong with them."""

import json

import pyarrow.parquet as pq
import pytest

from waferlag.text.tables import displayed_width

HEAD = "pool,source,month,gpus\n"


@pytest.fixture
def orders(tmp_path):
    """Write a CSV of orders."""

    def write(text, encoding="utf-8"):
        path = tmp_path / "orders.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


def test_each_line_is_told_with_its_arrival_and_the_account_adds_up(command, tiny, orders, tmp_path):
    target = tmp_path / "trial.json"
    path = orders(HEAD + "chat,h20,2025-07,16\nchat,h20,2025-09,8\n")
    code, out, err = command("simulate", tiny(), "--orders", path, "--json", target)
    assert (code, err) == (0, "")
    assert "2025-07  h20     chat    16" in out
    assert "24 ordered = " in out
    assert max(map(displayed_width, out.split("JSON: ")[0].splitlines())) <= 80
    trial = json.loads(target.read_text())
    gpus = trial["gpus"]
    assert gpus["ordered"] == 24
    assert sum(value for name, value in gpus.items() if name != "ordered") == pytest.approx(24)  # rounding of means
    assert trial["replications"] == 48


def test_both_engines_give_the_same_numbers(command, tiny, orders, tmp_path):
    path = orders(HEAD + "chat,h20,2025-07,16\n")
    found = {}
    for engine in ("simpy", "fast"):
        target = tmp_path / f"{engine}.json"
        assert command("simulate", tiny(), "--orders", path, "--engine", engine, "--json", target)[0] == 0
        found[engine] = {**json.loads(target.read_text()), "engine": ""}
    assert found["simpy"] == found["fast"]


def test_the_trial_runs_again_from_its_json(command, tiny, orders, tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    path = orders(HEAD + "chat,h20,2025-07,16\n")
    assert command("simulate", tiny(), "--orders", path, "--json", first)[0] == 0
    assert command("simulate", first, "--json", second)[0] == 0
    assert first.read_bytes() == second.read_bytes()


def test_the_orders_of_a_plan_are_simulated_from_its_json(command, tiny, tmp_path):
    plan = tmp_path / "plan.json"
    command("plan", tiny(), "--no-save", "--quiet", "--json", plan)
    ordered = sum(order["gpus"] for order in json.loads(plan.read_text())["orders"])
    assert ordered > 0
    code, out, _ = command("simulate", plan)
    assert code == 0
    assert f"{ordered:,} ordered = " in " ".join(out.split())


def test_events_are_written_as_parquet(command, tiny, orders, tmp_path):
    target = tmp_path / "events.parquet"
    path = orders(HEAD + "chat,h20,2025-07,16\n")
    code, out, _ = command("simulate", tiny(), "--orders", path, "--replications", 5, "--events", target)
    assert code == 0
    assert f"Events: {target}" in out
    table = pq.read_table(target)
    assert set(table["replication"].to_pylist()) == set(range(5))
    assert set(table["pool"].to_pylist()) == {"chat"}


def test_events_are_not_asked_of_the_engine_that_keeps_none(command, tiny, orders, tmp_path):
    words = ["--orders", orders(HEAD + "chat,h20,2025-07,16\n"), "--engine", "fast"]
    code, out, err = command("simulate", tiny(), *words, "--events", tmp_path / "e.parquet")
    assert (code, out) == (2, "")
    assert "only --engine simpy keeps" in err


def test_orders_beyond_what_the_source_offers_are_carried_with_a_note(command, tiny, orders):
    path = orders(HEAD + "chat,h20,2025-07,13\n")
    code, out, err = command("simulate", tiny(), "--orders", path)
    assert code == 0
    assert "13 ordered" in out
    assert err == "note: 13 GPUs from h20 are no whole lots of 8\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--orders is required unless a plan's JSON is simulated"),
        (["--orders", "nothing.csv"], "nothing.csv: cannot be read: No such file"),
        (["--orders", "."], "cannot be read: it is a folder"),
        (["--orders", "x" * 300], "cannot be read: File name too long"),
        (["--engine", "quick"], "'--engine'"),
        (["--replications", "0"], "--replications: input should be greater than or equal to 2 (got 0)"),
    ],
)
def test_a_wrong_option_is_told(command, tiny, words, said):
    code, out, err = command("simulate", tiny(), *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rows (columns are pool, source, month, gpus)"),
        (HEAD + "chat,h21,2025-07,8\n", "row 2: no such source (got 'h21') (did you mean h20?)"),
        (HEAD + "chat,h20,2025-07,nan\n", "row 2: gpus must be a whole number (got 'nan')"),
    ],
)
def test_a_bad_row_is_told_with_its_place(command, tiny, orders, text, said):
    code, out, err = command("simulate", tiny(), "--orders", orders(text))
    assert (code, out) == (2, "")
    assert f"orders.csv{', ' if said.startswith('row') else ': '}{said}" in err


def test_a_json_that_holds_no_orders_is_refused(command, tiny, tmp_path):
    target = tmp_path / "needs.json"
    assert command("size", tiny(), "--json", target)[0] == 0
    code, out, err = command("simulate", target)
    assert (code, out) == (2, "")
    assert "it has no list of orders" in err
