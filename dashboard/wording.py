"""Moved to planner/report/language.py."""

from planner.report.language import *  # noqa: F403
from planner.report.language import ENGLISH, LANGUAGES, Wording, displayable, shortened  # noqa: F401
