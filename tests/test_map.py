"""docs/architecture.md says where to change what: the places exist, and a change there changes what it says."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACES = re.findall(
    r"^\| ([^|`]+) \| `([\w/.]+)` \| `([\w-]+)` \|$", PAGE.partition("## Where would I change")[2], re.M
)


def test_ten_places_are_named():
    assert len(PLACES) == 10


@pytest.mark.parametrize(("task", "file", "name"), PLACES, ids=[task for task, _, _ in PLACES])
def test_each_place_exists(task: str, file: str, name: str):
    assert re.search(rf"\b{re.escape(name)}\b", (ROOT / file).read_text(encoding="utf-8")), task


def test_every_file_of_the_maps_exists():
    for folder, heading in (("planner/optimise", "## Inside the optimiser"), ("planner/supply", "## Inside supply")):
        section = PAGE.partition(heading)[2].partition("\n## ")[0]
        rows = re.findall(r"^\| (`.+?`) \|", section, re.M)
        for name in (name for row in rows for name in re.findall(r"`([\w/.]+)`", row)):
            assert (ROOT / folder / name).exists(), name


def test_other_words_of_the_answer_change_the_answer_alone(record, monkeypatch):
    from planner.report import sentences

    monkeypatch.setattr(sentences, "answer", lambda record, say: "Do this.")
    before, after = (each.model_dump() for each in (record, sentences.with_sentences(record)))
    assert after["answer"].pop("sentence") == "Do this."
    before["answer"].pop("sentence")
    assert after == before


def test_another_colour_changes_a_chart_in_that_colour_alone(record):
    from dashboard.charts import fleet
    from dashboard.charts.theme import LIGHT

    red = replace(LIGHT, in_service="#aa0000")
    before, after = (
        json.dumps(fleet.fleet_fan(record, record.scenario.pools[0].name, look).fitted()) for look in (LIGHT, red)
    )
    assert before != after
    assert before.replace(LIGHT.in_service, red.in_service) == after


def test_a_new_row_is_a_new_gpu_and_leaves_the_others(tmp_path):
    from executor.reference import SHIPPED
    from executor.reference.accelerators import read_accelerators

    rows = (SHIPPED / "accelerators.csv").read_text(encoding="utf-8").splitlines()
    own = next(row for row in rows if row.startswith("H20-96GB,")).replace("H20-96GB,", "H21-96GB,", 1)
    table = tmp_path / "accelerators.csv"
    table.write_text("\n".join([*rows, own]) + "\n", encoding="utf-8")
    before, after = read_accelerators(SHIPPED / "accelerators.csv"), read_accelerators(table)
    assert after[:-1] == before
    assert after[-1][0].name == "H21-96GB"


def test_another_effect_in_transit_changes_deliveries_and_not_acceptance(monkeypatch, make_scenario):
    from planner.sampling import Key
    from planner.supply.network import gate_effects
    from planner.supply.network.from_scenario import candidate_orders, supply_spec
    from planner.supply.network.gate import Fate
    from planner.supply.simulate import simulate

    scenario = make_scenario(horizon_months=18)

    def made():
        spec = supply_spec(scenario)
        return simulate(spec, candidate_orders(scenario), Key(7), range(200), engine="fast")

    before = made()
    stopped = {**gate_effects._STOPPED, "us": replace(gate_effects._STOPPED["us"], in_transit=Fate.CONTINUE)}
    monkeypatch.setattr(gate_effects, "_STOPPED", stopped)
    after = made()
    np.testing.assert_array_equal(before.accepted_at, after.accepted_at)
    np.testing.assert_array_equal(before.released_at, after.released_at)
    sooner = (after.delivered_at != before.delivered_at).any()
    assert sooner


def test_another_prefill_time_changes_ttft_and_not_the_decode_step(monkeypatch):
    from executor.estimate.calibration import belief, setup_of
    from executor.model.cost import Layout
    from executor.steptime import model
    from executor.steptime.workload import Load, work_of

    setup = setup_of("Qwen3-32B", "H100-SXM", "bf16", "sglang", Layout(tp=4))
    work, theta = work_of([(setup, Load(2048, 256, 8))]), belief(setup).calibration.theta
    before, prefill = model.step_times(work, theta), model._prefill
    monkeypatch.setattr(model, "_prefill", lambda *asked: tuple(2 * part for part in prefill(*asked)))
    after = model.step_times(work, theta)
    assert float(after.ttft[0]) > float(before.ttft[0])
    assert float(after.decode_step[0]) == float(before.decode_step[0])
    assert float(after.slots[0]) == float(before.slots[0])
