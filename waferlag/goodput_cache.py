"""Goodputs that were replayed before: found again in the user's cache folder instead of in seconds of replay."""

from pathlib import Path

from waferlag.settings import cache_folder, settings


def goodput_folder() -> Path:
    """Where they are kept."""
    return settings().goodput_folder or cache_folder() / "goodput"


def remember_goodputs() -> None:
    """Let the planner keep its replayed goodputs where the settings say."""
    from db.goodputs import GoodputFolder
    from executor.estimate.replayed_goodput import remember_in

    remember_in(GoodputFolder(goodput_folder()))
