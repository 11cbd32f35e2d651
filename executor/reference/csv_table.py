"""A reference table: a CSV file whose every cell is checked where it is read."""

import csv
import datetime as dt
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, get_args

from executor.errors import FileError, did_you_mean
from executor.user_files import read_text

Evidence = Literal["official", "reported", "estimate"]
"""official: filing, rule, testimony, agency or vendor; reported: press or analysts from sources;
estimate: theirs or ours."""

EVIDENCE: tuple[str, ...] = get_args(Evidence)


@dataclass(frozen=True)
class Row:
    """One row; its readers raise FileError with file, row, value found and mend."""

    path: Path
    number: int
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """The cell without outer blanks; empty where nothing is known."""
        return self.cells[column]

    def needed(self, column: str) -> str:
        """The cell, which must not be empty."""
        return self.cells[column] or self.fault(column, "must not be empty")

    def choice(self, column: str, known: Sequence[str]) -> str:
        """The cell, which must be one of the known words."""
        found = self.cells[column]
        if found not in known:
            near = did_you_mean(found, known)
            self.fault(
                column, f"must be one of {', '.join(known)}", mend=None if near is None else f"did you mean {near}?"
            )
        return found

    def number_or_none(self, column: str) -> float | None:
        """A finite number of 0 or more; None where the cell is empty."""
        found = self.cells[column]
        if not found:
            return None
        try:
            value = float(found)
        except ValueError:
            self.fault(column, "must be a number", mend="write it without unit or thousands separator")
        if not math.isfinite(value) or value < 0:
            self.fault(column, "must be a finite number of 0 or more")
        return value

    def figure(self, column: str) -> float:
        """A finite number of 0 or more, which must be there."""
        value = self.number_or_none(column)
        return self.fault(column, "must not be empty") if value is None else value

    def day(self, column: str) -> dt.date:
        """A date as YYYY-MM-DD."""
        try:
            return dt.date.fromisoformat(self.cells[column])
        except ValueError:
            self.fault(column, "must be a date", mend="write it as YYYY-MM-DD")

    def month_or_day(self, column: str) -> str:
        """The date of a source, as YYYY-MM or YYYY-MM-DD."""
        found = self.cells[column]
        try:
            dt.date.fromisoformat(found if len(found) > len("2025-07") else f"{found}-01")
        except ValueError:
            self.fault(column, "must be a date", mend="write it as YYYY-MM or YYYY-MM-DD")
        return found

    def evidence(self) -> str:
        """The evidence mark."""
        return self.choice("evidence", EVIDENCE)

    def fault(self, column: str, message: str, mend: str | None = None) -> NoReturn:
        """Raise FileError for a cell."""
        raise FileError(self.path, f"{column} {message}", row=self.number, found=self.cells[column], mend=mend)


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV file in UTF-8 that has exactly these columns, in this order.

    FileError where the file is missing, is no UTF-8, has other columns, or a row has too few or many cells.
    """
    lines = csv_lines(path)
    header = next(lines, [])
    if header != list(columns):
        raise FileError(path, "has other columns than expected", row=1, mend=f"expected {','.join(columns)}")
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(columns):
            raise FileError(path, f"has {len(cells)} cells instead of {len(columns)}", row=number)
        yield Row(path, number, dict(zip(columns, map(str.strip, cells), strict=True)))


def csv_lines(path: Path) -> Iterator[list[str]]:
    """The cells of each line of a CSV file in UTF-8; FileError where it cannot be read, is no text or no CSV."""
    try:
        yield from csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    except csv.Error as error:
        raise FileError(path, f"is no CSV file: {error}") from error
