"""What can go wrong, and whose mistake it is: one tree for the executor, the planner and all above.

WaferlagError
└── UserMistakeError            the input is wrong; the command line exits with 2
    ├── ScenarioError           a scenario file: every problem at once (planner/scenario/errors.py)
    ├── UnknownNameError        a name that nothing goes by; says the nearest one that exists
    ├── FileError               any other input file: path, row, what is wrong, how to mend it
    ├── LimitError              more than a setting allows; says the setting
    └── ExecutorError           a question about serving that cannot be answered as it was put
        ├── BadInputError           a value that no model, layout or measurement can have
        ├── MissingFigureError      a figure that nobody published, and that the answer needs
        ├── UnsupportedModelError   a config.json of an architecture that is not modelled
        ├── DoesNotFitError         weights or KV cache larger than the memory of the GPUs, by how much
        └── ImpossibleFigureError   a figure above the physical limit (MFU or MBU above 1)

Anything else that escapes is our own mistake (exit code 3); ``assert`` is for what only our code can break.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

_FEW = 12
"""Up to this many known names are all listed; beyond that only the nearest one is shown."""

_LONGEST_SHOWN = 120
"""A value found in a hostile file may be long; a message shows at most this many characters of it."""


class WaferlagError(Exception):
    """The root of the tree: everything that Waferlag raises on purpose."""

    exit_code: ClassVar[int] = 3


class UserMistakeError(WaferlagError):
    """The input is wrong, and the message says where and how to mend it."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file.

    ``place`` is the dotted path to the value, ``found`` the value as the user wrote it (None: nothing to
    show), ``mend`` what to do about it (None: not known).
    """

    place: str
    message: str
    found: object | None = None
    mend: str | None = None

    def __str__(self) -> str:
        got = "" if self.found is None else f" (got {shown(self.found)})"
        mend = "" if self.mend is None else f" ({self.mend})"
        return f"{self.place}: {self.message}{got}{mend}"


class UnknownNameError(UserMistakeError):
    """A name that nothing goes by.

    >>> print(UnknownNameError("GPU", "H20-69GB", ["H20-96GB", "H200-SXM"]))
    unknown GPU 'H20-69GB' (did you mean H20-96GB?); known: H20-96GB, H200-SXM
    """

    def __init__(self, kind: str, found: object, known: Iterable[str], mend: str = "") -> None:
        names = tuple(known)
        nearest = did_you_mean(found, names)
        message = f"unknown {kind} {shown(found)}"
        if nearest is not None:
            message += f" (did you mean {nearest}?)"
        if 0 < len(names) <= _FEW or (nearest is None and names):
            message += f"; known: {', '.join(names)}"
        super().__init__(f"{message}; {mend}" if mend else message)


class FileError(UserMistakeError):
    """A file that cannot be read as what it is said to be.

    ``row`` counts from 1, the header included, so that it is the line an editor shows.

    >>> print(FileError("trace.csv", "ContextTokens must not be negative", row=7, found=-2))
    trace.csv, row 7: ContextTokens must not be negative (got -2)
    """

    def __init__(
        self,
        path: str | Path,
        message: str,
        *,
        row: int | None = None,
        found: object | None = None,
        mend: str | None = None,
    ) -> None:
        self.path = str(path)
        self.row = row
        place = self.path if row is None else f"{self.path}, row {row}"
        super().__init__(str(Problem(place, message, found, mend)))


class LimitError(UserMistakeError):
    """More was asked for than a setting allows.

    >>> print(LimitError("replications", 5_000_000, 1_000_000, "WAFERLAG_MAX_REPLICATIONS"))
    replications: 5,000,000 is above the limit of 1,000,000 (raise WAFERLAG_MAX_REPLICATIONS to allow it)
    """

    def __init__(self, what: str, found: int | float, limit: int | float, setting: str) -> None:
        super().__init__(f"{what}: {found:,} is above the limit of {limit:,} (raise {setting} to allow it)")


class ExecutorError(UserMistakeError):
    """The question cannot be answered as it was put."""


class BadInputError(ExecutorError):
    """A value outside what is possible; the message names the field, the value found and the mend."""


class MissingFigureError(ExecutorError):
    """A figure missing in the records, and not guessed; the message says which, and how to give it."""

    def __init__(self, what: str, figure: str, mend: str) -> None:
        super().__init__(f"{what} has no {figure}: {mend}")


class UnsupportedModelError(ExecutorError):
    """An architecture whose operators are not modelled."""


class DoesNotFitError(ExecutorError):
    """The memory of the GPUs is too small; ``short_by_gb`` says by how much per GPU (GB, 10**9 bytes)."""

    def __init__(self, message: str, short_by_gb: float) -> None:
        self.short_by_gb = short_by_gb
        super().__init__(message)


class ImpossibleFigureError(ExecutorError):
    """A measured or computed figure that is above the hardware's limit."""


def did_you_mean(word: object, known: Iterable[str]) -> str | None:
    """The known name nearest to ``word``, ignoring case; None when nothing is near.

    >>> did_you_mean("leadtime_days", ["name", "lead_time_days"])
    'lead_time_days'
    """
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(str(word)[:_LONGEST_SHOWN].casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[near[0]] if near else None


def shown(value: object) -> str:
    """A value as a message shows it: on one line, quoted where it is text, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
