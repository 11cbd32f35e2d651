"""Goodputs that were replayed before: found again in the user's cache folder instead of in seconds of replay."""

from pathlib import Path
from typing import TYPE_CHECKING

from waferlag.settings import cache_folder, settings

if TYPE_CHECKING:
    from db.goodputs import GoodputFolder


def goodput_folder() -> Path:
    """Where they are kept."""
    return settings().goodput_folder or cache_folder() / "goodput"


def goodputs() -> "GoodputFolder":
    """The memory of replayed goodputs, for the planner."""
    from db.goodputs import GoodputFolder

    return GoodputFolder(goodput_folder())
