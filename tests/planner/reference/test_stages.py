"""Supply stages: the chains, and the nine months they are held to."""

import math

import pytest

from executor.errors import FileError, UnknownNameError
from planner.reference.stages import COLUMNS, chain, stages, total_constraint


def test_the_vendors_seven_stages_stand_in_order_and_mean_nine_months():
    route = chain("nvidia_new_wafers")
    assert [stage.name for stage in route] == [
        "slot", "wafer_fab", "wafer_sort", "cowos_assembly", "final_test", "board", "pack_and_release",
    ]  # fmt: skip
    assert [stage.sequence for stage in route] == list(range(1, 8))
    sums = [sum(getattr(stage, part) for stage in route) for part in ("low_days", "mode_days", "high_days")]
    assert sums == [162, 259, 398]
    assert sum(sums) / 3 == 273  # mean of the sum of triangles
    total = total_constraint()
    assert (total.low_days, total.mode_days, total.high_days, total.evidence) == (243, 270, 301, "official")


def test_independent_stages_would_be_narrower_than_the_sum_of_their_ends():
    """5-95 per cent of the independent sum is 238-310 days: mean 273, sd 22 (triangle variances add)."""
    variance = sum(
        (a * a + b * b + c * c - a * b - a * c - b * c) / 18
        for a, b, c in ((s.low_days, s.mode_days, s.high_days) for s in chain("nvidia_new_wafers"))
    )
    assert 273 - 1.645 * math.sqrt(variance) == pytest.approx(238, abs=2)  # normal approximation of the sum


def test_hbm_needs_longer_than_the_stages_beside_which_it_runs():
    beside = sum(stage.mode_days for stage in chain("nvidia_new_wafers")[:3])
    (hbm,) = chain("hbm")
    assert hbm.mode_days == 190 > beside


def test_goods_that_exist_already_are_faster():
    new, part, stock = (
        sum(stage.mode_days for stage in chain(name)) for name in ("nvidia_new_wafers", "nvidia_wip", "nvidia_stock")
    )
    assert new > part == 75 > stock == 14


def test_only_the_h200_passes_the_us_laboratory():
    assert [stage.name for stage in chain("us_gate", "H20")] == ["us_licence_review"]
    assert [stage.name for stage in chain("us_gate", "H200")] == ["us_licence_review", "us_lab_test"]


def test_the_licence_times_of_calmer_years_are_alternatives_and_not_the_default():
    others = [stage for stage in stages() if (stage.chain, stage.role) == ("us_gate", "alternative")]
    assert {stage.mode_days for stage in others} == {38, 40, 77, 90}
    assert chain("us_gate")[0].mode_days == 120


def test_every_stage_says_where_it_comes_from():
    assert all(stage.source and stage.evidence and stage.date for stage in stages())


def test_an_unknown_chain_is_an_error_that_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean logistics"):
        chain("logistic")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("hbm,1,x,default,9,5,20,yes,,2024-03,official,s,", "row 2: mode_days must lie between 9 and 20"),
        ("hbm,1,x,default,1,5,inf,yes,,2024-03,official,s,", "high_days must be a finite number"),
        ("hmb,1,x,default,1,5,9,yes,,2024-03,official,s,", "did you mean hbm"),
        ("hbm,1,x,default,1,,9,yes,,2024-03,official,s,", "mode_days must not be empty"),
    ],
)
def test_a_broken_row_is_told_with_its_place(tmp_path, cells, message):
    path = tmp_path / "stages.csv"
    path.write_text(",".join(COLUMNS) + "\n" + cells + "\n")
    with pytest.raises(FileError, match=message):
        stages(path)
