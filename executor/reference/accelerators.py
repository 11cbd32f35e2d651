"""Accelerators that a fleet in China or elsewhere is planned with, as published."""

from functools import cache
from pathlib import Path

from executor.errors import ExecutorError, FileError, UnknownNameError, UserMistakeError
from executor.model.roofline import Accelerator
from executor.reference import SHIPPED
from executor.reference.csv_table import Row, read_rows

FIGURES = (
    *("memory_gb", "bandwidth_tb_s", "bf16_tflops", "fp8_tflops", "int8_tops", "fp4_tflops", "interconnect_gb_s"),
    *("tdp_w", "tpp"),
)
"""Columns with a number or nothing; names and units as in executor.model.roofline.Accelerator."""

COLUMNS = (
    "name", "vendor", "memory_gb", "memory_type", "bandwidth_tb_s", "bf16_tflops", "fp8_tflops", "int8_tops",
    "fp4_tflops", "interconnect_gb_s", "tdp_w", "tpp", "gate_product", "availability", "date", "evidence",
    "confidence", "source", "conflicts",
)  # fmt: skip

CONFIDENCE = ("high", "medium", "low")

ALIASES: dict[str, tuple[str, ...]] = {
    "H20": ("H20-96GB", "H20-141GB"),
    "A100": ("A100-80GB-SXM",),
    "A100-SXM": ("A100-80GB-SXM",),
    "A800": ("A800-80GB-SXM",),
    "A800-SXM": ("A800-80GB-SXM",),
    "H100": ("H100-SXM",),
    "H800": ("H800-SXM",),
    "H200": ("H200-SXM",),
    "910B": ("Ascend-910B",),
    "910C": ("Ascend-910C",),
    "950PR": ("Ascend-950PR-server", "Ascend-950PR-PCIe"),
    "Ascend-950PR": ("Ascend-950PR-server", "Ascend-950PR-PCIe"),
    "Atlas-350": ("Ascend-950PR-PCIe",),
    "PPU": ("T-Head-PPU",),
    "P800": ("Kunlun-P800",),
    "S5000": ("MTT-S5000",),
    "C500": ("MetaX-C500",),
    "K100": ("Hygon-DCU-K100",),
}
"""Short names; one that stands for several cards is an error that names them."""


class AmbiguousNameError(UserMistakeError):
    """A short name that stands for several accelerators."""

    def __init__(self, found: str, meant: tuple[str, ...]) -> None:
        super().__init__(f"GPU {found!r}: which one: {' or '.join(meant)}?")


@cache
def accelerators() -> tuple[Accelerator, ...]:
    """Every accelerator in the reference table, in the table's order."""
    return tuple(card for card, _ in _table())


def accelerator(name: str) -> Accelerator:
    """The accelerator of that name or short name, whatever the case.

    AmbiguousNameError where the name stands for several (H20), UnknownNameError where nothing goes by it.
    """
    by_folded = {card.name.casefold(): card for card in accelerators()}
    folded = _folded(name)
    if folded in by_folded:
        return by_folded[folded]
    meant = {short.casefold(): full for short, full in ALIASES.items()}.get(folded)
    if meant is None:
        raise UnknownNameError("GPU", name, [card.name for card in accelerators()])
    if len(meant) > 1:
        raise AmbiguousNameError(name, meant)
    return by_folded[meant[0].casefold()]


def gate_product(name: str) -> str | None:
    """The product of the gate history under which this accelerator falls; None: no gate on record."""
    card = accelerator(name)
    return dict(_table())[card] or None


def read_accelerators(path: Path) -> tuple[tuple[Accelerator, str], ...]:
    """(accelerator, product of the gate history or "") for each row of an accelerator table."""
    seen: set[str] = set()
    cards = []
    for row in read_rows(path, COLUMNS):
        card = _card(row)
        if card.name.casefold() in seen:
            row.fault("name", "stands in the table twice")
        seen.add(card.name.casefold())
        cards.append((card, row.text("gate_product")))
    return tuple(cards)


@cache
def _table() -> tuple[tuple[Accelerator, str], ...]:
    return read_accelerators(SHIPPED / "accelerators.csv")


def _card(row: Row) -> Accelerator:
    row.month_or_day("date")
    try:
        return Accelerator(
            name=row.needed("name"),
            vendor=row.needed("vendor"),
            **{column: row.number_or_none(column) for column in FIGURES},
            availability=row.text("availability"),
            evidence=row.evidence(),
            confidence=row.choice("confidence", CONFIDENCE),
            source=row.needed("source"),
            conflicts=row.text("conflicts"),
        )
    except ExecutorError as error:
        raise FileError(row.path, str(error), row=row.number) from error


def _folded(name: str) -> str:
    """Case, blanks and underscores make no difference, nor does the vendor's name before that of an Nvidia card."""
    return "-".join(str(name).casefold().replace("_", " ").split()).removeprefix("nvidia-")
