"""Supply stages between an order and a GPU that serves: triangular laws in days, by chain."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from executor.errors import UnknownNameError
from executor.reference.csv_table import Row, read_rows
from planner.reference import SHIPPED

CHAINS = (
    "nvidia_new_wafers",
    "nvidia_wip",
    "nvidia_stock",
    "hbm",
    "us_gate",
    "logistics",
    "buyer",
    "domestic",
    "check",
)
"""nvidia_wip and nvidia_stock enter later than nvidia_new_wafers; hbm runs beside its first three stages;
us_gate, logistics and buyer follow the vendor; check holds whole orders that others observed."""

ROLES = ("default", "alternative", "total", "check")
"""default: used; alternative: another reading of the same stage; total: constrains a sum; check: observed."""

COLUMNS = (
    "chain", "sequence", "stage", "role", "low_days", "mode_days", "high_days", "on_critical_path",
    "applies_to", "date", "evidence", "source", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One stage: a triangle of low, mode and high days. ``applies_to`` empty: any product."""

    name: str
    chain: str
    sequence: int
    role: str
    low_days: float
    mode_days: float
    high_days: float
    on_critical_path: bool
    applies_to: tuple[str, ...]
    date: str
    evidence: str
    source: str
    note: str


def chain(name: str, product: str | None = None) -> tuple[Stage, ...]:
    """The default stages of a chain in order; with a product (as in the gate history), only what it passes.

    UnknownNameError for a chain that does not exist.
    """
    if name not in CHAINS:
        raise UnknownNameError("chain of stages", name, CHAINS)
    wanted = "check" if name == "check" else "default"
    return tuple(
        stage
        for stage in stages()
        if stage.chain == name
        and stage.role == wanted
        and (product is None or not stage.applies_to or product in stage.applies_to)
    )


def total_constraint() -> Stage:
    """The vendor's stages in all, which are scaled so that their sum keeps to it.

    About nine months from a new wafer order to goods released by the vendor: 243, 270, 301 days.
    """
    (total,) = (stage for stage in stages() if stage.role == "total")
    return total


@cache
def stages(path: Path = SHIPPED / "stages.csv") -> tuple[Stage, ...]:
    """The rows of a stage table, ordered by chain, role and sequence; FileError where a cell is wrong."""
    found = [_stage(row) for row in read_rows(path, COLUMNS)]
    return tuple(sorted(found, key=lambda s: (CHAINS.index(s.chain), ROLES.index(s.role), s.sequence)))


def _stage(row: Row) -> Stage:
    low, mode, high = row.figure("low_days"), row.figure("mode_days"), row.figure("high_days")
    if not low <= mode <= high:
        row.fault("mode_days", f"must lie between {low:g} and {high:g}")
    row.month_or_day("date")
    return Stage(
        name=row.needed("stage"),
        chain=row.choice("chain", CHAINS),
        sequence=int(row.figure("sequence")),
        role=row.choice("role", ROLES),
        low_days=low,
        mode_days=mode,
        high_days=high,
        on_critical_path=row.choice("on_critical_path", ("yes", "no")) == "yes",
        applies_to=tuple(filter(None, row.text("applies_to").split(";"))),
        date=row.text("date"),
        evidence=row.evidence(),
        source=row.needed("source"),
        note=row.text("note"),
    )
