"""Dated facts as CSV, each row with its source and evidence mark, and their readers.

A missing figure is missing: the cell is empty and the reader gives None. Nothing here fills a gap.
"""

from pathlib import Path

SHIPPED = Path(__file__).parent
"""Where the planner's own tables lie."""
