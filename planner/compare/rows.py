"""A row of a table that is shown or downloaded."""

from typing import Any

Row = dict[str, Any]
