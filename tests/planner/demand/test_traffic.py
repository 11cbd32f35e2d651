"""The traffic of a pool: every way to say a trace, what comes first, and where each figure is from."""

import json

import pytest

from executor.errors import FileError, LimitError, MissingFigureError, UnknownNameError
from planner.demand.summary import shipped_summary
from planner.demand.traffic import trace_summary, traffic
from planner.scenario.errors import ScenarioError

MOONCAKE = "\n".join(
    json.dumps({"timestamp": 1000 * n, "input_length": 100 + n, "output_length": 10}) for n in range(200)
)


def test_a_shipped_trace_gives_lengths_rhythm_and_reuse_with_their_labels(pool_of):
    found = traffic(pool_of(trace="servegen-m-large", requests_per_second=40, scale=2))
    assert found.mean_rps == 80
    assert found.input.mean == pytest.approx(922, abs=1)
    assert found.busy_hour.value == pytest.approx(1.74, abs=0.01)
    assert found.busy_hour.label == "busiest hour of the week in servegen-m-large"
    assert found.prefix_reuse.value == 0
    assert "not known" in found.prefix_reuse.label


def test_the_scenario_comes_before_the_trace(pool_of):
    found = traffic(
        pool_of(trace="mooncake-conversation", busy_hour=2.5, prefix_reuse=0.1, input_tokens=1000, output_tokens=100)
    )
    assert (found.busy_hour.value, found.busy_hour.label) == (2.5, "given in the scenario")
    assert (found.prefix_reuse.value, found.prefix_reuse.label) == (0.1, "given in the scenario")
    assert (found.input.mean, found.output.mean) == (pytest.approx(1000), pytest.approx(100))


def test_a_given_mean_stretches_every_length_alike(pool_of):
    plain = traffic(pool_of(trace="mooncake-conversation"))
    twice = traffic(pool_of(trace="mooncake-conversation", input_tokens=2 * plain.input.mean))
    assert twice.input.p99 == pytest.approx(2 * plain.input.p99)
    assert twice.output == plain.output
    for before, after in zip(plain.cells, twice.cells, strict=True):
        assert after.input == pytest.approx(2 * before.input)
        assert after.output == pytest.approx(before.output)


def test_a_trace_of_an_hour_takes_the_recorded_default_and_says_so(pool_of):
    found = traffic(pool_of(trace="mooncake-conversation"))
    assert found.busy_hour.value == 1.6
    assert found.busy_hour.label.startswith("estimate: the trace is shorter than a day")


def test_a_trace_without_lengths_asks_for_them(pool_of):
    with pytest.raises(MissingFigureError, match=r"has no lengths: give load\.input_tokens"):
        traffic(pool_of(trace="deepseek-online"))
    found = traffic(pool_of(trace="deepseek-online", input_tokens=3000, output_tokens=800))
    assert (found.input.p10, found.input.p99, found.output.mean) == (3000, 3000, 800)
    assert found.pairing == "every request alike"


def test_parts_of_several_traces_are_put_together_and_all_are_named():
    parts = {"rhythm": "deepseek-online", "lengths": "mooncake-conversation", "prefix": "deepseek-online"}
    found = trace_summary(parts)
    assert found.rhythm == shipped_summary("deepseek-online").rhythm
    assert found.lengths == shipped_summary("mooncake-conversation").lengths
    assert found.prefix.share == pytest.approx(0.5625)
    assert found.origin.evidence == "estimate"
    assert "Mooncake" in found.origin.attribution
    assert "DeepSeek" in found.origin.attribution


def test_one_pair_of_lengths_is_a_trace():
    found = trace_summary({"input_tokens": 2000, "output_tokens": 500})
    assert {(cell.input, cell.output) for cell in found.lengths.cells} == {(2000, 500)}


def test_files_beside_the_scenario_are_read(written):
    path = written(MOONCAKE, "mine.jsonl")
    found = trace_summary("mine.jsonl", path.parent)
    assert found.requests == 200
    assert found.lengths.input.mean == pytest.approx(199.5)
    written(found.to_json(), "mine.json")
    assert trace_summary("mine.json", path.parent) == found
    assert trace_summary(json.loads(found.to_json())) == found


def test_the_size_limit_reaches_the_file(written):
    path = written(MOONCAKE, "mine.jsonl")
    with pytest.raises(LimitError, match="WAFERLAG_MAX_TRACE_BYTES"):
        trace_summary("mine.jsonl", path.parent, max_bytes=1000)


def test_two_distributions_are_a_trace(written):
    path = written("[[1001, 1.0]]", "in.json")
    written("[[101, 1.0]]", "out.json")
    found = trace_summary({"input_cdf": "in.json", "output_cdf": "out.json"}, path.parent)
    assert (found.lengths.input.mean, found.lengths.output.mean) == (pytest.approx(501), pytest.approx(51))


@pytest.mark.parametrize("name", ["../secret.csv", "/etc/hosts.csv", "a/../../x.jsonl"])
def test_a_file_outside_the_scenarios_folder_is_refused(tmp_path, name):
    with pytest.raises(FileError, match="lies outside the scenario's folder"):
        trace_summary(name, tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out.jsonl").write_text(MOONCAKE)
    (tmp_path / "in" / "link.jsonl").symlink_to(tmp_path / "out.jsonl")
    with pytest.raises(FileError, match="lies outside the scenario's folder"):
        trace_summary("link.jsonl", tmp_path / "in")


def test_a_file_without_a_folder_is_refused():
    with pytest.raises(FileError, match="the scenario has no folder"):
        trace_summary("mine.jsonl")


@pytest.mark.parametrize(
    ("trace", "error", "message"),
    [
        ("servegen-mlarge", UnknownNameError, "did you mean servegen-m-large"),
        ({}, ScenarioError, "is empty"),
        ({"rythm": "deepseek-online"}, ScenarioError, r"rythm: is no part of a trace \(did you mean rhythm"),
        ({"rhythm": "deepsek-online"}, UnknownNameError, "did you mean deepseek-online"),
        ({"input_tokens": "many", "output_tokens": 5}, ScenarioError, "input_tokens: must be a number of tokens"),
        ({"input_tokens": 0, "output_tokens": 5}, ScenarioError, "must be a number of tokens, 1 or more"),
        ({"input_cdf": 5, "output_cdf": "x.json"}, ScenarioError, "must be the name of a file"),
        ({"rhythm": 5}, ScenarioError, "must be a name or a trace"),
        ({"rhythm": "deepseek-online", "lengths": {}}, ScenarioError, "is empty"),
        ("a\x00.jsonl", FileError, "is no file name"),
        ("x" * 5000 + ".jsonl", FileError, "cannot be read|is no file name"),
        ({"schema_version": 1}, ScenarioError, "load.trace has 2 problem"),
    ],
)
def test_a_trace_that_is_wrong_is_told(tmp_path, trace, error, message):
    with pytest.raises(error, match=message):
        trace_summary(trace, tmp_path)
