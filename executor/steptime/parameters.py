"""The engine's parameters, and what is believed about them before a row is seen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np

from executor.errors import BadInputError, UnknownNameError
from executor.portable.elementary import log, square
from executor.reference import SHIPPED

Array = np.ndarray

SIGMA_LOG = np.array([0.2, 0.04, 0.04])
"""Spread of a measured row about the model in ln(TTFT), ln(TPOT), ln(T): a protocol's and a machine's."""
FLOOR_LOG = np.array([0.25, 0.06, 0.06])
"""Least spread of predicted ln(TTFT), ln(TPOT), ln(throughput): two parties measuring one set-up differ by 7 %."""
UNCALIBRATED_FACTOR = np.array([0.82, 1.18, 1.23])
"""Factors on the spread of TTFT, TPOT and throughput where no row of the set-up was seen: with them the 80 %
interval of a group's shipped calibration rows, predicted from the other groups' shipped rows, holds 80 % of them
(``tools/conformal_factors.py``, 2026-11-24; no row that is scored is looked at)."""
WIDEN_CALIBRATED = 1.2
WIDEN_UNCALIBRATED = 1.4
"""Factors on the spread with which 80 % intervals cover 80 % of held-out rows, with rows of the group and without."""
ENOUGH_ROWS = 2
"""Measured rows from which a step-time model counts as calibrated."""
Z_80 = 1.2815515655446004
"""Half-width of a central 80 % interval in standard deviations."""
EFFICIENCY_CAP = 0.95
"""No kernel reads weights or multiplies faster than this share of the data sheet; keeps a fit physical."""

PARAMETERS = (
    *("e_w", "e_kv", "e_p", "e_pa", "t_fix", "tau_l", "h_seq", "h_req"),
    *("a_ar", "e_net", "m_moe", "tau0", "phi", "q", "f_mem", "f_tok"),
)
"""Names of the fitted parameters, in the order of every parameter array; meanings and units in data/engines.json."""
_UNIT = {"ms": 1e-3, "us": 1e-6}


@dataclass(frozen=True)
class Reading:
    """One way in which a closed-loop benchmark can have been run, as beliefs about phi and q.

    Lock-step waves (every request starts with a burst) have phi 1; a mean over W jittered waves, of which
    only the first is a burst, has 1/W; a client with one request more than the engine has slots has q 1.
    """

    name: str
    phi: float
    q: float
    weight: float
    """Share of this engine's published benchmark series that ran so."""

    def on(self, prior: Prior) -> Prior:
        """The prior under this reading; the spreads stay."""
        phi, q = PARAMETERS.index("phi"), PARAMETERS.index("q")
        return prior.with_(phi=(self.phi, float(prior.sd[phi])), q=(self.q, float(prior.sd[q])))


@dataclass(frozen=True)
class Engine:
    """Traits of a serving engine that are stated, not fitted.

    ``mixed_steps``: prefill and decode share a step; else prefill runs first. ``memory_factor``: memory
    share relative to the reference. ``kv_follows_weights``: an FP8 model gets an FP8 KV cache by default.
    ``readings``: the ways in which this engine's published benchmarks were run, the likeliest first.
    """

    name: str
    mixed_steps: bool
    memory_factor: float
    kv_follows_weights: bool
    readings: tuple[Reading, ...]

    def kv_precision(self, precision: str) -> str:
        """The KV cache's data type that goes with a weight precision where none is stated."""
        return "fp8" if self.kv_follows_weights and precision in ("fp8", "fp4") else "bf16"


@dataclass(frozen=True)
class Prior:
    """Log-normal beliefs about the parameters before a row of the set-up is seen."""

    log_median: Array
    sd: Array

    def covariance(self) -> Array:
        """Covariance of the logarithms, (16, 16)."""
        return np.diag(square(self.sd))

    def with_(self, **given: tuple[float, float]) -> Prior:
        """The same beliefs with some parameters replaced by (median in SI units, sd of the log)."""
        log_median, sd = self.log_median.copy(), self.sd.copy()
        for name, (median, spread) in given.items():
            log_median[PARAMETERS.index(name)] = log(float(median))
            sd[PARAMETERS.index(name)] = spread
        return Prior(log_median, sd)


def engine(name: str) -> Engine:
    """A known engine by name or alias (case does not matter); UnknownNameError lists what is known."""
    known = _stored_engines()
    key = str(name).strip().casefold()
    if key not in known:
        raise UnknownNameError("engine", str(name), known_engines(), "'generic' stands for an engine without a record")
    return known[key]


def known_engines() -> tuple[str, ...]:
    """Names of the engines with a record of their own, and 'generic'."""
    return tuple(sorted({e.name for e in _stored_engines().values()}))


@cache
def prior_for(engine_name: str) -> Prior:
    """Prior of a known engine; engines without fits of their own share the common medians."""
    stored = _stored()["parameters"]
    if tuple(entry["name"] for entry in stored) != PARAMETERS:
        raise BadInputError("data/engines.json: the parameters are not those of this version")
    medians = [entry["by_engine"].get(engine_name, entry["median"]) * _UNIT.get(entry["unit"], 1.0) for entry in stored]
    return Prior(log(np.array(medians)), np.array([entry["sd_of_log"] for entry in stored]))


@cache
def _stored() -> dict:
    return json.loads((SHIPPED / "engines.json").read_text(encoding="utf-8"))


@cache
def _stored_engines() -> dict[str, Engine]:
    found: dict[str, Engine] = {}
    for name, entry in _stored()["engines"].items():
        record = Engine(
            name=name,
            mixed_steps=entry["mixed_steps"],
            memory_factor=entry["memory_factor"],
            kv_follows_weights=entry["kv_follows_weights"],
            readings=tuple(Reading(**reading) for reading in entry["readings"]),
        )
        for key in (name, *entry["aliases"]):
            found[key.casefold()] = record
    return found
