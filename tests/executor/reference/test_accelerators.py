"""The accelerator table: names, missing figures, physics, and what a broken table says."""

import pytest

from executor.errors import FileError, UnknownNameError
from executor.reference.accelerators import (
    ALIASES,
    COLUMNS,
    AmbiguousNameError,
    accelerator,
    accelerators,
    gate_product,
    read_accelerators,
)
from planner.reference.gate_history import products

GOOD = "X1,Maker,96,HBM3,4.0,148,296,296,,900,400,2368,,sold,2025-07,reported,high,a source,\n"


def table(tmp_path, *rows, encoding="utf-8"):
    path = tmp_path / "cards.csv"
    path.write_text(",".join(COLUMNS) + "\n" + "".join(rows), encoding=encoding)
    return path


def test_every_kind_of_card_a_planner_in_china_asks_for_is_there():
    names = {card.name for card in accelerators()}
    assert names >= {
        "H20-96GB", "H20-141GB", "H100-SXM", "H200-SXM", "H800-SXM", "A100-80GB-SXM", "A800-80GB-SXM", "L20",
        "RTX-PRO-6000D", "B30A", "Ascend-910B", "Ascend-910C", "Ascend-950PR-server", "Ascend-950PR-PCIe",
        "MLU590", "MLU690", "Kunlun-P800", "MTT-S5000", "T-Head-PPU", "MetaX-C500", "Hygon-DCU-K100",
    }  # fmt: skip


def test_the_two_h20_cards_are_kept_apart():
    with pytest.raises(AmbiguousNameError, match="which one: H20-96GB or H20-141GB") as caught:
        accelerator("h20")
    assert caught.value.exit_code == 2
    assert accelerator("H20-96GB").bandwidth_tb_s == 4.0
    assert accelerator("NVIDIA H20 96GB") == accelerator("H20-96GB")
    assert accelerator("H20-141GB").bandwidth_tb_s is None  # 4.0 or 4.8: nobody confirmed it


def test_a_name_is_found_whatever_its_case_and_under_its_short_form():
    assert accelerator("h100").name == "H100-SXM"
    assert accelerator("ascend 910c").name == "Ascend-910C"
    assert accelerator("H100_SXM") is accelerator("H100-SXM")


def test_every_short_name_leads_to_cards_that_exist():
    names = {card.name for card in accelerators()}
    for short, full in ALIASES.items():
        assert set(full) <= names
        assert short not in names


def test_an_unknown_card_is_an_error_that_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean H200-SXM"):
        accelerator("H200-SMX")


def test_no_peak_is_a_sparse_one():
    """TPP counts the dense peak times the bit length; where BF16 decides, a sparse figure would double it."""
    checked = 0
    for card in accelerators():
        if card.tpp and card.bf16_tflops:
            assert card.bf16_tflops * 16 <= card.tpp * 1.01  # published peaks are rounded to three digits
            checked += 1
    assert checked >= 10


def test_ridge_points_are_those_that_decide_the_batch_size():
    """H20 turns compute-bound at 37 flops a byte in BF16, H100 at 295 (peers' tables)."""
    slow, fast = (accelerator(name) for name in ("H20-96GB", "H100"))
    assert slow.peak_flops("bf16") / slow.bandwidth_bytes_s == pytest.approx(37, abs=0.5)
    assert fast.peak_flops("bf16") / fast.bandwidth_bytes_s == pytest.approx(295, abs=0.5)


def test_cards_under_a_gate_name_a_product_of_the_gate_history():
    assert gate_product("H20-141GB") == "H20"
    assert gate_product("H100") == "A100/H100"
    assert gate_product("Ascend-910C") is None
    assert {gate_product(card.name) for card in accelerators()} - {None} == set(products())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (GOOD.replace("4.0", "fast"), r"row 2: bandwidth_tb_s must be a number \(got 'fast'\)"),
        (GOOD.replace("4.0", "nan"), "bandwidth_tb_s must be a finite number"),
        (GOOD.replace("4.0", "-4"), "bandwidth_tb_s must be a finite number of 0 or more"),
        (GOOD.replace("reported", "reportd"), "did you mean reported"),
        (GOOD.replace("a source", ""), "source must not be empty"),
        (GOOD.replace("2025-07", "July"), "date must be a date"),
        (GOOD.replace("X1", ""), "name must not be empty"),
        (GOOD + GOOD.lower(), "row 3: name stands in the table twice"),
        ("X1,Maker\n", "has 2 cells instead of 19"),
    ],
)
def test_a_broken_row_is_told_with_its_place(tmp_path, row, message):
    with pytest.raises(FileError, match=message):
        read_accelerators(table(tmp_path, row))


def test_a_file_that_is_no_table_is_told_so(tmp_path):
    with pytest.raises(FileError, match="cannot be read: No such file"):
        read_accelerators(tmp_path / "none.csv")
    with pytest.raises(FileError, match="is not UTF-8"):
        read_accelerators(table(tmp_path, GOOD.replace("Maker", "华为"), encoding="gb18030"))
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(FileError, match="has other columns than expected"):
        read_accelerators(empty)
