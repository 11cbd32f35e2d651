"""What kind of source a GPU comes from: that decides its colour everywhere."""

from contextlib import suppress

from dashboard.charts.theme import Look
from executor.errors import UserMistakeError
from executor.reference.accelerators import accelerator
from planner.record.models import PlanRecord
from planner.scenario.sources import Purchase, Rental

FOREIGN_MAKERS = ("Nvidia", "AMD", "Intel")


def source_colours(record: PlanRecord, look: Look) -> dict[str, str]:
    """Colour of each source by its name: foreign (H20 and its kin), domestic, or rental."""
    return {source.name: _colour(source, look) for source in record.scenario.sources}


def _colour(source: Purchase | Rental, look: Look) -> str:
    if isinstance(source, Rental):
        return look.reserved
    domestic = False
    with suppress(UserMistakeError):  # a record of another version may name a GPU that is no longer listed
        domestic = source.entry == "domestic" or accelerator(source.sku).vendor not in FOREIGN_MAKERS
    return look.domestic if domestic else look.in_service
