"""`waferlag size`: GPUs by month on each kind of GPU, without supply or money."""

import json

import pytest

from waferlag.text.tables import displayed_width

SIX = ("H20-96GB", "H100-SXM", "H200-SXM", "H800-SXM", "A800-80GB-SXM", "Ascend-910C")


def test_the_need_is_told_with_label_interval_and_what_limits_it(command, tiny):
    code, out, err = command("size", tiny())
    assert (code, err) == (0, "")
    for part in ("requests/s (80 %)", "MFU", "MBU", "extrapolated", "GPUs needed at the busy hour", "2026-02"):
        assert part in out
    assert max(map(displayed_width, out.splitlines())) <= 80


def test_the_json_holds_quantiles_that_rise(command, tiny, tmp_path):
    target = tmp_path / "needs.json"
    assert command("size", tiny(), "--json", target)[0] == 0
    needs = json.loads(target.read_text(), parse_constant=pytest.fail)
    assert (needs["schema_version"], needs["seed"], len(needs["months"])) == (2, 3, 8)
    rows = needs["pools"][0]["gpus_needed"]["H20-96GB"]
    assert len(rows) == 8
    assert all(0 < row["p10"] <= row["p50"] <= row["p90"] for row in rows)


def test_doubling_demand_doubles_the_need_with_common_random_numbers(command, tiny, tmp_path):
    found = []
    for name, words in (("one.json", []), ("two.json", ["--with", "demand-doubles"])):
        assert command("size", tiny(), *words, "--json", tmp_path / name)[0] == 0
        needs = json.loads((tmp_path / name).read_text())
        found.append([row["p50"] for row in needs["pools"][0]["gpus_needed"]["H20-96GB"]])
    assert found[1] == pytest.approx([2 * gpus for gpus in found[0]], rel=1e-9)  # rounding of a product


def test_many_kinds_of_gpus_stand_in_tables_of_80_columns(command, tiny, monkeypatch):
    """One replay is taken for all of them: the width of the tables is the point."""
    from executor.reference.accelerators import accelerators
    from planner import sizing

    replay, found = sizing.replayed_goodput, []

    def one_for_all(*asked, **how):
        if not found:
            found.append(replay(*asked, **how))
        return found[0]

    monkeypatch.setattr(sizing, "replayed_goodput", one_for_all)

    known = {accelerator.name for accelerator in accelerators()}
    layouts = {sku: {"tp": 4} for sku in SIX if sku in known}
    assert len(layouts) >= 4
    load = {"trace": "servegen-m-large", "requests_per_second": 50_000}
    path = tiny(lambda body: body["pools"][0].update(layouts=layouts, load=load))
    code, out, _ = command("size", path, "--replications", 20)
    assert code == 0
    assert max(map(displayed_width, out.splitlines())) <= 80
    assert all(out.count(f"\n2025-0{month}  ") >= 2 for month in (7, 8, 9))


def test_spares_are_told_where_failures_are_replaced(command, tiny, tmp_path):
    target = tmp_path / "needs.json"

    def failing(body):
        source = next(source for source in body["sources"] if source.get("sku") == "H20-96GB")
        body["fleet"] = [
            {
                "sku": "H20-96GB", "pool": body["pools"][0]["name"], "gpus": 400, "failures_per_year": 0.5,
                "replaced_share": 0.5, "replacement": source["name"],
            }
        ]  # fmt: skip

    code, out, _ = command("size", tiny(failing), "--json", target)
    assert code == 0
    assert "Spares with which one is on the shelf" in out
    report = out.split("\nJSON: ")[0]  # a path may be as long as it is
    assert max(map(displayed_width, report.splitlines())) <= 80
    (need,) = json.loads(target.read_text())["spares"]
    assert need["failures_per_year"] == pytest.approx(100)
    assert 0 < need["spares"]["0.9"] <= need["spares"]["0.95"] <= need["spares"]["0.99"]
    assert command("size", tiny(), "--json", target)[0] == 0
    assert json.loads(target.read_text())["spares"] == []


def test_the_json_of_a_plan_is_a_scenario_too(command, tiny, tmp_path):
    plan = tmp_path / "plan.json"
    command("plan", tiny(), "--no-save", "--quiet", "--json", plan)
    assert command("size", plan)[1] == command("size", tiny())[1]


def test_a_model_that_does_not_fit_is_told(command, tiny):
    path = tiny(lambda body: body["pools"][0].update(model="deepseek-ai/DeepSeek-R1", precision="fp8"))
    code, out, err = command("size", path)
    assert (code, out) == (2, "")
    assert "do not fit" in err


def test_the_input_is_not_written_over(command, tiny):
    path = tiny()
    before = path.read_bytes()
    code, _, err = command("size", path, "--json", path)
    assert code == 2
    assert "is the input itself" in err
    assert path.read_bytes() == before
