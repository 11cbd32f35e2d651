"""Opening a scenario: the two numbers of the command line, and traces that become part of it."""

import datetime as dt

import pytest
import yaml

from executor.errors import UserMistakeError
from planner.open_scenario import open_scenario
from planner.scenario.errors import ScenarioError
from planner.scenario.load import read, scenario_hash, shipped

TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2024-05-10 00:00:{second:02d}.0,{400 + second},{100 + second}\n" for second in range(60)
)


@pytest.fixture
def write(tmp_path):
    """The quickstart with another trace, as a file."""

    def with_trace(trace):
        document = dict(read(shipped()["1-quickstart"]))
        document["pools"] = [{**document["pools"][0], "load": {"trace": trace, "requests_per_second": 5}}]
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    return with_trace


def test_a_scenario_is_opened_as_it_is_written():
    loaded = open_scenario("1-quickstart")
    assert (loaded.scenario.name, loaded.overrides) == ("1-quickstart", ())


def test_seed_and_replications_replace_those_of_the_file():
    scenario = open_scenario("1-quickstart", replications=77, seed=5).scenario
    assert (scenario.run.replications, scenario.seed) == (77, 5)
    again = open_scenario("1-quickstart").scenario
    assert scenario.model_copy(update={"run": again.run, "seed": again.seed}) == again


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"replications": 0}, "--replications: input should be greater than or equal to 2 (got 0)"),
        ({"replications": 10**9}, "--replications: input should be less than or equal to 200000"),
        ({"seed": -1}, "--seed: input should be greater than or equal to 0 (got -1)"),
        ({"seed": 2**63}, "--seed: input should be less than 9223372036854775808"),
        ({"seed": -1, "replications": 50}, "--seed: "),
    ],
)
def test_a_number_out_of_range_is_told_by_the_name_of_its_option(numbers, said):
    with pytest.raises(UserMistakeError) as caught:
        open_scenario("1-quickstart", **numbers)
    assert str(caught.value).startswith(said)


def test_a_trace_file_becomes_part_of_the_scenario(write, tmp_path):
    (tmp_path / "own.csv").write_text(TRACE)
    path = write("own.csv")
    scenario = open_scenario(path).scenario
    (tmp_path / "own.csv").unlink()
    assert isinstance(scenario.pools[0].load.trace, dict)
    copy = tmp_path / "copy.yaml"
    copy.write_text(yaml.safe_dump(scenario.model_dump(mode="json")))
    assert scenario_hash(open_scenario(copy).scenario) == scenario_hash(scenario)


def test_a_shipped_trace_stays_a_name(write):
    assert open_scenario(write("servegen-m-large")).scenario.pools[0].load.trace == "servegen-m-large"


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        ("none.csv", "pools.0.load.trace: "),
        ("../own.csv", "lies outside the scenario's folder"),
        ("/dev/zero", "lies outside the scenario's folder"),
        ("empty.csv", "pools.0.load.trace: "),
        ({"name": "by hand"}, "pools.0.load.trace"),
    ],
)
def test_a_trace_that_cannot_be_read_is_told_with_its_place(write, tmp_path, trace, said):
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ScenarioError) as caught:
        open_scenario(write(trace))
    assert said in str(caught.value)


def test_the_limit_on_bytes_of_a_trace_is_an_argument(write, tmp_path):
    (tmp_path / "own.csv").write_text(TRACE)
    path = write("own.csv")
    open_scenario(path, max_bytes=len(TRACE))
    with pytest.raises(ScenarioError, match=r"above the limit of 1,000 \(raise WAFERLAG_MAX_TRACE_BYTES"):
        open_scenario(path, max_bytes=1000)


def test_parts_of_parts_are_refused(write):
    part = {"rhythm": {"rhythm": "servegen-m-large"}, "lengths": "servegen-m-large"}
    with pytest.raises(ScenarioError, match="rhythm: is put together of parts itself"):
        open_scenario(write(part))


def test_a_trace_behind_a_link_that_leaves_the_folder_is_refused(write, tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "own.csv"
    outside.write_text(TRACE)
    (tmp_path / "own.csv").symlink_to(outside)
    with pytest.raises(ScenarioError, match="lies outside the scenario's folder"):
        open_scenario(write("own.csv"))


@pytest.mark.parametrize("odd", [{"name": dt.date(2025, 1, 2)}, {dt.date(2025, 1, 2): 1}])
def test_a_summary_with_what_yaml_reads_as_a_date_is_told(write, odd):
    with pytest.raises(ScenarioError, match="trace"):
        open_scenario(write({"schema_version": 1, **odd}))
