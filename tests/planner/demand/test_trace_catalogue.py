"""The shipped summaries: small, attributed, made by the committed command, equal to others' counts."""

import csv

import pytest

from executor.errors import UnknownNameError
from planner.demand.summary import shipped_summary
from planner.reference.traces import SHIPPED, trace_names
from tools import summarise_traces as summarise
from tools.trace_catalogue import catalogue, summaries_of

STATS = {
    "mooncake-conversation": "mooncake_conversation",
    "mooncake-synthetic": "mooncake_synthetic",
    "azure-code-2023": "azure2023_code",
    "azure-code-2024": "azure2024_code",
    "azure-conversation-2024": "azure2024_conv",
    "deepseek-online": "deepseek_v3_r1_online",
    "servegen-deepseek-r1": "servegen_deepseek_r1_day1",
    "servegen-m-large": "servegen_m_large_week1",
    "servegen-m-mid": "servegen_m_mid_week1",
    "servegen-m-small": "servegen_m_small_week1",
    "servegen-mm-image": "servegen_mm_image_day1",
}


@pytest.fixture(scope="module")
def stats(published):
    with (published / "trace_stats.csv").open() as file:
        return {row["trace"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def shapes(published):
    with (published / "diurnal_shapes.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_catalogued_trace_is_shipped_and_no_other():
    assert set(trace_names()) == {entry.name for entry in catalogue()} == set(STATS)


@pytest.mark.parametrize("name", sorted(STATS))
def test_a_shipped_summary_is_small_and_names_whom_its_licence_asks_for(name):
    assert (SHIPPED / f"{name}.json").stat().st_size < 30_000
    origin = shipped_summary(name).origin
    assert origin.licence in ("Apache-2.0", "CC-BY-4.0", "CC0-1.0")
    assert origin.attribution
    assert origin.source
    assert origin.evidence


def test_an_unknown_trace_is_an_error_that_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean servegen-m-large"):
        shipped_summary("servgen-m-large")


@pytest.mark.parametrize("name", sorted(STATS))
def test_a_shipped_summary_agrees_with_an_independent_count(stats, name):
    summary, row = shipped_summary(name), stats[STATS[name]]
    compared = 0
    for column, found, tolerance in [
        ("mean_rps", summary.mean_rps, 0.001),
        ("peak_10min_to_mean", summary.peak_10min, 0.01),
        ("peak_hour_to_mean", summary.rhythm and summary.rhythm.peak_hour, 0.005),
        ("min_hour_to_mean", summary.rhythm and summary.rhythm.lowest_hour, 0.02),
        ("hourly_cov", summary.rhythm and summary.rhythm.hourly_cv, 0.02),  # two digits in the table
        ("peak_minute_to_mean", summary.peak_minute, 0.03),  # minutes may start elsewhere
        ("prefix_reuse_token_share", summary.prefix and summary.prefix.share, 0.002),
    ]:
        if row[column]:
            assert found == pytest.approx(float(row[column]), rel=tolerance), column
            compared += 1
    assert compared


@pytest.mark.parametrize("name", sorted(set(STATS) - {"deepseek-online", "servegen-mm-image"}))
def test_the_shipped_lengths_agree_with_an_independent_count(stats, name):
    lengths, row = shipped_summary(name).lengths, stats[STATS[name]]
    for side in ("input", "output"):
        margin = getattr(lengths, side)
        for figure in ("mean", "p50", "p90", "p99"):
            # one token of rounding, or half a per cent where quantiles are cut differently
            assert getattr(margin, figure) == pytest.approx(float(row[f"{side}_{figure}"]), rel=0.005, abs=1)
    assert lengths.coverage == pytest.approx(float(row["length_coverage"]), abs=0.001)


@pytest.mark.parametrize("name", [name for name in STATS if name.startswith("servegen")])
def test_many_clients_together_are_about_as_bursty_as_another_simulation_says(stats, name):
    said = float(stats[STATS[name]]["interarrival_cv"])
    # two simulations over different windows of heavy-tailed gaps
    assert shipped_summary(name).burst.cv == pytest.approx(said, abs=0.25)


@pytest.mark.parametrize("name", ["servegen-deepseek-r1", "servegen-mm-image", "deepseek-online"])
def test_the_hours_of_a_day_agree_with_an_independent_count(shapes, name):
    said = {int(row["hour"]): float(row["load_to_trace_mean"]) for row in shapes if row["trace"] == STATS[name]}
    assert len(said) == 24
    for hour, found in enumerate(shipped_summary(name).rhythm.hours):
        assert found == pytest.approx(said[hour], abs=0.002)


@pytest.mark.parametrize("name", ["azure-code-2024", "azure-conversation-2024"])
def test_the_hours_of_a_week_agree_with_an_independent_count(shapes, name):
    hours = shipped_summary(name).rhythm.hours
    for day_type, days in [("weekday", range(5)), ("weekend", range(5, 7))]:
        said = {
            int(row["hour"]): float(row["load_to_trace_mean"])
            for row in shapes
            if row["trace"] == STATS[name] and row["day_type"] == day_type
        }
        for hour in range(24):
            mean = sum(hours[24 * day + hour] for day in days) / len(days)
            assert mean == pytest.approx(said[hour], abs=0.002)


def test_margins_without_rows_have_no_joint_law():
    assert shipped_summary("azure-code-2024").lengths.cells == ()
    assert shipped_summary("deepseek-online").lengths is None


def test_prefix_reuse_is_shipped_where_it_is_known():
    assert shipped_summary("mooncake-conversation").prefix.share == pytest.approx(0.374, abs=0.001)
    assert shipped_summary("deepseek-online").prefix.share == pytest.approx(0.563, abs=0.001)
    assert shipped_summary("servegen-m-large").prefix is None


@pytest.mark.soak
def test_the_committed_command_makes_the_shipped_files_again(published, tmp_path):
    assert summarise.main([str(published), "--out", str(tmp_path)]) == 0
    for name in trace_names():
        made = (tmp_path / f"{name}.json").read_text(encoding="utf-8")
        assert made == (SHIPPED / f"{name}.json").read_text(encoding="utf-8"), name


def test_a_small_trace_is_summarised_as_it_was_shipped(published):
    assert next(summaries_of(published)) == shipped_summary("mooncake-conversation")


def test_the_command_says_what_is_missing_and_exits_with_2(tmp_path, capsys):
    assert summarise.main([str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "No such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
