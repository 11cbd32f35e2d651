"""What can go wrong between a serving question and its answer.

ExecutorError                 anything a caller of the executor may want to catch
├── BadInputError             a value that no model, layout or measurement can have
├── UnknownNameError          a model, GPU, engine or precision that is not known, with the nearest known
├── MissingFigureError        a figure that nobody published, and that the answer needs
├── UnsupportedModelError     a config.json of an architecture that is not modelled
├── DoesNotFitError           weights or KV cache larger than the memory of the GPUs, by how much
└── ImpossibleFigureError     a figure above the physical limit (MFU or MBU above 1)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ExecutorError(Exception):
    """Root of the tree: the question cannot be answered as it was put."""


class BadInputError(ExecutorError):
    """A value outside what is possible; the message names the field, the value found and the mend."""


class UnknownNameError(ExecutorError):
    """A name that is not known; the message lists the nearest known names."""

    def __init__(self, kind: str, name: str, known: Iterable[str], mend: str = "") -> None:
        self.kind = kind
        self.name = name
        self.nearest = nearest_names(name, known)
        listed = ", ".join(self.nearest)
        super().__init__(
            f"unknown {kind} {name!r}; did you mean one of: {listed}?{' ' + mend if mend else ''}"
        )


class MissingFigureError(ExecutorError):
    """A figure missing in the records, and not guessed; the message says which, and how to give it."""

    def __init__(self, what: str, figure: str, mend: str) -> None:
        self.what = what
        self.figure = figure
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


def nearest_names(name: str, known: Iterable[str], count: int = 5) -> tuple[str, ...]:
    """The known names most like ``name``, best first; all of them where there are few."""
    names = sorted(set(known))
    folded = {known_name.casefold(): known_name for known_name in names}
    close = difflib.get_close_matches(str(name).casefold(), list(folded), n=count, cutoff=0.4)
    return tuple(folded[match] for match in close) or tuple(names[: 4 * count])
