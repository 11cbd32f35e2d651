"""Fits of the step-time model to the rows that ship, kept as data so that no start makes them anew.

A fit depends on its rows, on the prior of their engine and on the rules of the fit, and on nothing else; these make its
key. Rows of a user's own are fitted when they are asked for.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from executor.estimate.keys import key_of, priors_version, row_inputs
from executor.estimate.measured_points import Case
from executor.reference import SHIPPED
from executor.steptime.fit import Calibration, Mode
from executor.steptime.parameters import PARAMETERS

VERSION = 1
"""Of the step-time model and its fit; a change that moves a fit makes a new one, and ``make tables`` the file anew."""
TABLE = "calibrations.json"


def fit_key(rows: Sequence[Case]) -> str:
    """A name for the fit to these rows that starts from the prior of their engine."""
    return key_of({"version": VERSION, "priors": priors_version(), "rows": row_inputs(rows)})


def shipped_fit(rows: Sequence[Case]) -> Calibration | None:
    """The fit to these rows from the prior of their engine, if it ships with the product."""
    return _shipped().get(fit_key(rows)) if rows else None


def written(calibration: Calibration) -> dict[str, Any]:
    """A calibration for JSON; every number goes there and back without loss."""
    lower = np.tril_indices(len(PARAMETERS))  # of a symmetric matrix, row by row
    modes = [
        {"weight": mode.weight, "theta": mode.theta.tolist(), "covariance": mode.covariance[lower].tolist()}
        for mode in calibration.modes
    ]
    return {"rows": calibration.rows, "modes": modes}


def read(stored: dict[str, Any]) -> Calibration:
    """The calibration that ``written`` wrote."""
    modes = [
        Mode(np.array(mode["theta"]), _symmetric(mode["covariance"], len(mode["theta"])), mode["weight"])
        for mode in stored["modes"]
    ]
    return Calibration(tuple(modes), stored["rows"])


def _symmetric(lower: list[float], size: int) -> np.ndarray:
    matrix = np.zeros((size, size))
    matrix[np.tril_indices(size)] = lower
    return np.where(np.tri(size, dtype=bool), matrix, matrix.T)


@cache
def _shipped() -> dict[str, Calibration]:
    """By key; nothing where the file is of another version."""
    found = json.loads((SHIPPED / TABLE).read_text(encoding="utf-8"))
    return {key: read(entry) for key, entry in found["fits"].items()} if found["version"] == VERSION else {}
