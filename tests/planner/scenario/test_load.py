"""Reading a scenario: what is accepted, how overrides compose, and how every mistake is told."""

import json
import os
from pathlib import Path

import pytest
import yaml

from executor.errors import FileError, UnknownNameError
from planner.scenario.errors import ScenarioError
from planner.scenario.load import common_overrides, load, locate, merge, scenario_hash, shipped, validate

MINIMAL = """
name: tiny
start: 2025-07-16
horizon_months: 6
pools:
  - name: chat
    model: Qwen/Qwen3-32B
    layouts: {H20-96GB: {tp: 2}}
    load: {trace: servegen-m-large, requests_per_second: 5}
    slo: {ttft_ms: 3000, tpot_ms: 60}
sources:
  - {name: h20, sku: H20-96GB, price: 150000, gates: [us]}
gates:
  - {name: us, authority: us, product: H20}
goal: {unmet_price_per_gpu_hour: 60}
"""


def write(folder: Path, text: str, name: str = "tiny.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def changed(folder: Path, **patch: object) -> Path:
    document = merge(yaml.safe_load(MINIMAL), patch)
    return write(folder, yaml.safe_dump(document))


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(path, overrides)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", list(shipped()))
def test_every_shipped_scenario_is_good_and_named_after_its_file(name):
    assert load(name).scenario.name == name


@pytest.mark.parametrize("override", list(common_overrides()))
def test_every_common_override_fits_the_day_of_the_news(override):
    base = load("2-h20-july-2025").scenario
    assert scenario_hash(load("2-h20-july-2025", [override]).scenario) != scenario_hash(base)


def test_a_bare_number_is_money_in_the_scenarios_currency(tmp_path):
    scenario = load(write(tmp_path, MINIMAL)).scenario
    assert scenario.in_currency(scenario.purchases[0].price) == 150_000


def test_a_source_with_an_hourly_price_is_a_rental(tmp_path):
    path = changed(tmp_path, sources=[{"name": "cloud", "sku": "H20-96GB", "price_per_gpu_hour": 9, "max_gpus": 8}])
    assert [source.name for source in load(path).scenario.rentals] == ["cloud"]


def test_all_mistakes_are_told_at_once_with_place_value_and_nearest_name(tmp_path):
    text = MINIMAL.replace("horizon_months: 6", "horizon_months: -6").replace("price: 150000", "prise: 150000")
    told = problems(write(tmp_path, text))
    assert any("horizon_months" in line and "-6" in line for line in told)
    assert any("sources.0.prise" in line and "did you mean price?" in line for line in told)
    assert any(line.startswith("sources.0.price:") for line in told)


def test_the_place_of_a_mistake_does_not_show_the_tag_of_a_union(tmp_path):
    path = changed(tmp_path, sources=[{"name": "h20", "prepayment": 1.5}])
    assert problems(path) == ["sources.0.prepayment: input should be less than or equal to 1 (got 1.5)"]


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({"pools": [{"name": "chat", "model": "Qwen/Qwen3-23B"}]}, "Qwen3-32B"),
        ({"pools": [{"name": "chat", "layouts": {"H20-96GB": None, "H20-69GB": {"tp": 2}}}]}, "H20-96GB"),
        ({"sources": [{"name": "h20", "sku": "H200-SMX"}]}, "H200-SXM"),
        ({"sources": [{"name": "h20", "gates": ["uss"]}]}, "did you mean us?"),
        ({"fleet": [{"name": "x", "sku": "H20-96GB", "pool": "chat", "gpus": 8}]}, "no such field"),
        ({"goal": {"from_month": 7}}, "horizon of 6"),
        ({"gates": [{"name": "us", "product": None}]}, "needs `product`"),
        ({"sources": [{"name": "h20", "price": {"amount": 1, "currency": "XAU"}}]}, "no exchange rate from XAU"),
        ({"sources": [{"name": "h20", "latest_order": "2025-01-01"}]}, "before the start"),
        (
            {"gates": [{"name": "us", "events": [{"date": "2025-01-01", "state": "open"}]}]},
            "before the scenario's start",
        ),
    ],
)
def test_a_contradiction_between_fields_is_told_with_its_mend(tmp_path, patch, said):
    assert said in "\n".join(problems(changed(tmp_path, **patch)))


def test_unmet_demand_must_cost_more_than_spot_rental(tmp_path):
    cloud = {"name": "cloud", "sku": "H20-96GB", "price_per_gpu_hour": 50, "max_spot_gpus": 8}
    assert "spot price of cloud, 75" in "\n".join(problems(changed(tmp_path, sources=[cloud])))


def test_an_override_changes_the_entry_it_names_and_leaves_the_others(tmp_path):
    path = write(tmp_path, MINIMAL + "overrides:\n  dear: {sources: [{name: h20, price: 200000}]}\n")
    source = load(path, ["dear"]).scenario.purchases[0]
    assert (source.price.amount, source.gates) == (200_000, ["us"])


def test_overrides_compose_in_order(tmp_path):
    scenario = load(write(tmp_path, MINIMAL), ["us-gate-open", "demand-doubles", "us-gate-closed"]).scenario
    assert (scenario.gates[0].always, scenario.pools[0].load.scale) == ("closed", 2.0)


def test_an_unknown_override_names_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean demand-doubles"):
        load(write(tmp_path, MINIMAL), ["demand-double"])


def test_an_unknown_scenario_names_the_nearest():
    with pytest.raises(UnknownNameError, match="1-quickstart"):
        locate("1-quikstart")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds nothing"),
        ("- a\n- b\n", "holds a list"),
        ("name: [", "not valid YAML"),
        ("name: a\nname: b\n", "given twice"),
        ("a: !!python/object/apply:os.system ['true']\n", "tag that a scenario may not use"),
        ("a: &a [x]\nb: [*a, *a]\n", "aliases are not allowed"),
        ("a: " + "[" * 5000, "is nested too deeply"),
        ("x: " + "y" * 1_100_000, "larger than"),
        ("a: [" + "1," * 50_000 + "1]", "row 1: .*more than 50,000 nodes"),
        ("seed: " + "9" * 101, "row 1: .*a number of more than 100 digits"),
        ("seed: !!int 1:1:1", "'1:1:1' is no int"),
        ("seed: !!float .nan", "'.nan' is no float"),
    ],
)
def test_a_hostile_file_gets_one_clear_message(tmp_path, text, said):
    with pytest.raises(FileError, match=said):
        load(write(tmp_path, text))


def test_a_file_that_is_not_utf8_says_at_which_byte(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: Größe".encode("latin-1"))
    with pytest.raises(FileError, match="not UTF-8"):
        load(path)


def test_a_plan_document_is_read_as_the_scenario_it_was_made_from(tmp_path):
    first = load("1-quickstart", ["demand-doubles"])
    document = {
        "schema_version": 1,
        "overrides": list(first.overrides),
        "scenario": first.scenario.model_dump(mode="json"),
    }
    again = load(write(tmp_path, json.dumps(document), "plan.json"))
    assert again.scenario == first.scenario
    assert again.overrides == ("demand-doubles",)


def test_the_hash_depends_on_what_is_said_and_not_on_how(tmp_path):
    one = load(write(tmp_path, MINIMAL)).scenario
    other = load(write(tmp_path, json.dumps(yaml.safe_load(MINIMAL), default=str), "other.yaml")).scenario
    assert scenario_hash(one) == scenario_hash(other)


def test_training_futures_may_go_by_their_former_name():
    loaded = load("1-quickstart").scenario.model_dump(mode="json")
    loaded["run"]["scenarios"] = loaded["run"].pop("training_futures")
    assert validate(loaded, "1-quickstart") == load("1-quickstart").scenario


@pytest.mark.parametrize("number", [".nan", "-.inf", "1:30", "12:30:59"])
def test_what_other_programs_take_for_a_number_is_none_here(tmp_path, number):
    assert problems(write(tmp_path, MINIMAL + f"seed: {number}\n"))[0].startswith(
        "seed: input should be a valid integer"
    )


def test_a_time_of_day_is_a_text(tmp_path):
    assert load(write(tmp_path, MINIMAL + "title: 12:30\n")).scenario.title == "12:30"


def test_an_override_of_what_is_no_list_leaves_the_mistake_to_be_told(tmp_path):
    document = yaml.safe_load(MINIMAL) | {"gates": 5}
    path = write(tmp_path, yaml.safe_dump(document))
    assert problems(path, "us-gate-open") == ["gates: input should be a valid list (got 5)"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"x": {"gates": [{"match": 5, "always": "open"}]}}, "match: must map fields to values (got 5)"),
        ({"x": {"gates": [{"name": f"us{n}"} for n in range(1001)]}}, "list: has more than 1,000 entries"),
        ({"x" * 121: {}}, "names of at most 120 characters"),
    ],
)
def test_a_bad_override_is_told(tmp_path, section, said):
    assert said in problems(changed(tmp_path, overrides=section), "x")[0]


def test_a_key_of_any_length_is_cut_in_its_place(tmp_path):
    (told,) = problems(changed(tmp_path, goal={"x" * 5000: 1}))
    assert len(told) < 600


def test_at_most_fifty_problems_are_told(tmp_path):
    assert len(problems(changed(tmp_path, **{f"field{n}": 1 for n in range(80)}))) == 50


CONFIG = {
    "model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 97,
}  # fmt: skip


@pytest.mark.parametrize("model", ["mine/config.json", "mine", "./mine/../mine"])
def test_a_model_of_the_users_own_lies_in_the_scenarios_folder(tmp_path, monkeypatch, model):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(CONFIG))
    monkeypatch.chdir("/")
    scenario = load(changed(tmp_path, pools=[{"name": "chat", "model": model}])).scenario
    assert scenario.pools[0].model == str(tmp_path / "mine" / "config.json")
    again = write(tmp_path, yaml.safe_dump(scenario.model_dump(mode="json")), "again.yaml")
    assert load(again).scenario == scenario


@pytest.mark.parametrize("model", ["x" * 300, "x" * 300 + ".json", "a/" * 200 + "b.json"])
def test_a_model_that_no_file_can_be_called_is_told(tmp_path, model):
    (told,) = problems(changed(tmp_path, pools=[{"name": "chat", "model": model}]))
    assert "unknown model" in told


@pytest.mark.parametrize("model", ["../config.json", "..", "/etc", "link.json", "linked"])
def test_a_model_elsewhere_is_refused_and_nothing_is_told_of_it(tmp_path, model):
    folder = tmp_path / "study"
    folder.mkdir()
    (tmp_path / "config.json").write_text('{"model_type": "SECRET"}')
    (folder / "link.json").symlink_to(tmp_path / "config.json")
    (folder / "linked").symlink_to(tmp_path)
    (told,) = problems(changed(folder, pools=[{"name": "chat", "model": model}]))
    assert told.startswith("pools.0.model: ")
    assert "lies outside the scenario's folder" in told
    assert "SECRET" not in told


def test_a_file_of_the_working_folder_is_no_model(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    (tmp_path / "mine.json").write_text(json.dumps(CONFIG))
    monkeypatch.chdir(tmp_path)
    (told,) = problems(changed(tmp_path / "study", pools=[{"name": "chat", "model": "mine.json"}]))
    assert "unknown model 'mine.json'" in told


def test_a_pipe_is_no_scenario(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(FileError, match="it is a pipe, a device or a socket"):
        load(tmp_path / "pipe.yaml")
