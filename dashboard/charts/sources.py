"""What kind of source a GPU comes from: that decides its colour everywhere."""

from executor.errors import UserMistakeError
from executor.reference.accelerators import accelerator
from planner.record.models import PlanRecord
from planner.scenario.sources import Purchase

FOREIGN_MAKERS = ("Nvidia", "AMD", "Intel")


def kinds_of_source(record: PlanRecord) -> dict[str, str]:
    """``foreign``, ``domestic`` or ``rental`` by the source's name."""
    return {
        source.name: ("domestic" if source.entry == "domestic" or _domestic(source.sku) else "foreign")
        if isinstance(source, Purchase)
        else "rental"
        for source in record.scenario.sources
    }


def _domestic(sku: str) -> bool:
    try:
        return accelerator(sku).vendor not in FOREIGN_MAKERS
    except UserMistakeError:  # a record of another version may name a GPU that is no longer listed
        return False
