"""What the dated history of the gates teaches: rates that forget, jumps, links, and how unsure they are.

Gate g (us, cn, vendor) in state s. N: changes out of (g, s) that no link explains; T: days spent in it; both over all
products, each event and each day weighted by 2**(-age / 365 d) on the as-of date, stays without end included:

    rate of leaving   lambda_gs ~ Gamma(kappa + N_gs, kappa M_s / ln 2 + T_gs)       kappa = 2
    next state        Dirichlet(prior row + weighted counts)
    tempo             W = exp(0.5 Z), Z standard normal: multiplies every rate of one replication

Links: each reacts to a trigger with probability q after an exponential lag of mean L days.

    cn   a US loosening while China is not closed: China tightens                          q ~ Beta(1, 3)
    vd   the US or China closes while the vendor is not closed: the vendor closes          q ~ Beta(2, 1)
    vu   the US or China loosens while the vendor is closed: the vendor promises or ships  q ~ Beta(1, 1)

    reaction l days after its trigger    q (exp(-(l - 1) / L) - exp(-l / L))
    none after e days                    1 - q + q exp(-e / L)      e ends at the next trigger, as-of or 45

The priors were rounded by judgement from ZTE 2018, Huawei 2019, Fujian Jinhua, the statutory clock of 90
days and the China cases of fiscal year 2022; they weigh two changes per state. Counting rests on the
record's act dates; what was public on the as-of date decides what is counted.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from executor.portable.elementary import LN2, exp, expm1, power

Floats = NDArray[np.float64]

GATES = ("us", "cn", "vendor")
LINKS = ("cn", "vd", "vu")
CLOSED, PROMISED, CONDITIONAL, OPEN = range(4)

SHARES = np.arange(0.025, 1.0, 0.05)
"""Grid of a link's probability q."""
LAGS = np.array([4.0, 8.0, 16.0, 30.0])
"""Grid of a link's mean lag L, days."""
WINDOW_DAYS = 45
"""A reaction later than this is no reaction."""
ANTICIPATION_DAYS = 3
"""An act announced ahead can be answered before it takes effect: a reaction so many days early still counts."""


@dataclass(frozen=True)
class Priors:
    """What is believed before any event is counted; every figure can be changed.

    weight            kappa: changes that the prior of a state's rate weighs
    median_days       prior median stay in closed, promised, conditional, open
    own_median_days   the same for one gate and state, where it differs: (gate, state) -> days
    half_life_days    an event's weight halves in so many days
    jumps             prior rows to (closed, promised, conditional, open), in changes
    tempo_sigma       standard deviation of the logarithm of the tempo
    links             (a, b) of the Beta prior of q for cn, vd, vu
    """

    weight: float = 2.0
    median_days: tuple[float, float, float, float] = (365.0, 90.0, 270.0, 730.0)
    own_median_days: Mapping[tuple[str, int], float] = field(default_factory=dict)
    half_life_days: float = 365.0
    jumps: tuple[tuple[float, float, float, float], ...] = (
        (0.0, 1.0, 0.8, 0.2),
        (0.5, 0.0, 1.2, 0.3),
        (1.2, 0.2, 0.0, 0.6),
        (1.1, 0.05, 0.85, 0.0),
    )
    tempo_sigma: float = 0.5
    links: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"cn": (1.0, 3.0), "vd": (2.0, 1.0), "vu": (1.0, 1.0)}
    )

    def __post_init__(self) -> None:
        positive = (
            self.weight,
            self.half_life_days,
            *self.median_days,
            *self.own_median_days.values(),
            *(x for ab in self.links.values() for x in ab),
        )
        if not all(value > 0 and math.isfinite(value) for value in positive) or self.tempo_sigma < 0:
            raise ValueError("priors: weights, medians, half-life and link priors must be positive")
        object.__setattr__(self, "links", dict(self.links))
        object.__setattr__(self, "own_median_days", dict(self.own_median_days))

    def median(self, gate: str, state: int) -> float:
        """Prior median stay of a gate in a state, days."""
        return self.own_median_days.get((gate, state), self.median_days[state])


@dataclass(frozen=True)
class Stay:
    """A stretch of the record: the gate of a product was in ``state`` from ``start`` to ``end`` (None: it lasts)."""

    product: str
    gate: str
    state: int
    start: dt.date
    end: dt.date | None
    followed_by: int | None
    """The state after it; None where the stay lasts or the question was no longer put."""


@dataclass(frozen=True)
class Rate:
    """Posterior of one rate of leaving: Gamma(shape, rate per day); ``changes`` N and ``days`` T as counted."""

    changes: float
    days: float
    shape: float
    rate: float

    @property
    def median_days(self) -> float:
        """Predictive median stay, tempo aside."""
        return self.rate * expm1(LN2 / self.shape)


@dataclass(frozen=True)
class Link:
    """Posterior of one link on the grid of (q, L), and the trials it was learnt from."""

    weights: Floats
    """Probability of each pair, shape (20, 4), adds to 1."""
    reactions: int
    trials: int

    @property
    def share(self) -> float:
        """Posterior mean of q."""
        return float((self.weights.sum(axis=1) * SHARES).sum())


@dataclass(frozen=True)
class SystemPosterior:
    """All that one replication needs to draw its own gate parameters, as of a day."""

    as_of: dt.date
    priors: Priors
    rates: Mapping[tuple[str, int], Rate]
    jumps: Mapping[tuple[str, int], tuple[float, float, float, float]]
    """Dirichlet weights of the next state; 0: cannot follow."""
    links: Mapping[str, Link]
    pending: Mapping[tuple[str, str], int]
    """(product, link) -> days since a trigger that had not been answered on the as-of date."""


@dataclass(frozen=True)
class Trial:
    """One trigger of a link: answered after ``lag`` days, or not within ``waited`` days."""

    link: str
    product: str
    trigger: dt.date
    answer: dt.date | None
    waited: int


@dataclass(frozen=True)
class Entry:
    """One row of a gate's record, as far as the law needs it. ``state`` None: the question is no longer put."""

    from_date: dt.date
    state: int | None


Record = Mapping[tuple[str, str], Sequence[Entry]]
"""(product, gate) -> its entries in force and public on the as-of date, in order."""


def learn(record: Record, as_of: dt.date, priors: Priors | None = None) -> SystemPosterior:
    """The posterior of the gate law from a record that ends on ``as_of``."""
    priors = priors or Priors()
    stays = [stay for key, entries in record.items() for stay in _stays(*key, entries)]
    trials = [trial for product in dict.fromkeys(p for p, _ in record) for trial in _trials(product, record, as_of)]
    explained = {(trial.product, "cn" if trial.link == "cn" else "vendor", trial.answer) for trial in trials}
    free = [s for s in stays if s.followed_by is not None and (s.product, s.gate, s.end) not in explained]
    keys = [(gate, state) for gate in GATES for state in range(4)]
    return SystemPosterior(
        as_of=as_of,
        priors=priors,
        rates={key: _rate(key, stays, free, as_of, priors) for key in keys},
        jumps={key: _jump_row(key, free, as_of, priors) for key in keys},
        links={link: _link(link, trials, priors) for link in LINKS},
        pending={
            (t.product, t.link): (as_of - t.trigger).days
            for t in trials
            if t.answer is None and t.trigger + dt.timedelta(days=t.waited) == as_of and t.waited < WINDOW_DAYS
        },
    )


def _stays(product: str, gate: str, entries: Sequence[Entry]) -> list[Stay]:
    """Stretches of one state; an entry that repeats the state changes nothing."""
    changes = [entry for k, entry in enumerate(entries) if k == 0 or entry.state != entries[k - 1].state]
    found = []
    for entry, following in pairwise([*changes, None]):
        if entry is None or entry.state is None:
            continue
        end = following.from_date if following else None
        found.append(Stay(product, gate, entry.state, entry.from_date, end, following.state if following else None))
    return found


def _weight(day: dt.date, as_of: dt.date, priors: Priors) -> float:
    return exp(-(as_of - day).days / priors.half_life_days * LN2)


def _rate(key: tuple[str, int], stays: list[Stay], free: list[Stay], as_of: dt.date, priors: Priors) -> Rate:
    r"""Gamma posterior of the rate of leaving (gate, state).

    N = \sum_{changes} 2^{-age/h}
    T = \sum_{stays} h / ln 2 (2^{-a_1/h} - 2^{-a_0/h}),    a_0, a_1 the ages at a stay's two ends
    """
    changes = sum(_weight(s.end, as_of, priors) for s in free if s.end and (s.gate, s.state) == key)
    per_unit = priors.half_life_days / LN2
    days = sum(
        per_unit * (_weight(s.end or as_of, as_of, priors) - _weight(s.start, as_of, priors))
        for s in stays
        if (s.gate, s.state) == key
    )
    prior_days = priors.weight * priors.median(*key) / LN2
    return Rate(changes=changes, days=days, shape=priors.weight + changes, rate=prior_days + days)


def _jump_row(
    key: tuple[str, int], free: list[Stay], as_of: dt.date, priors: Priors
) -> tuple[float, float, float, float]:
    row = list(priors.jumps[key[1]])
    for stay in free:
        if (stay.gate, stay.state) == key and stay.end is not None and stay.followed_by is not None:
            row[stay.followed_by] += _weight(stay.end, as_of, priors)
    return row[0], row[1], row[2], row[3]


def _trials(product: str, record: Record, as_of: dt.date) -> list[Trial]:
    """Every trigger of every link in a product's record, with its answer."""
    line = {gate: record.get((product, gate), ()) for gate in GATES}
    changes = {gate: _changes(line[gate]) for gate in GATES}
    triggers: dict[str, list[dt.date]] = {link: [] for link in LINKS}
    for gate in ("us", "cn"):
        for day, before, after in changes[gate]:
            eve = day - dt.timedelta(days=ANTICIPATION_DAYS)
            vendor, china = _state_before(line["vendor"], eve), _state_before(line["cn"], eve)
            if gate == "us" and after > before and china not in (None, CLOSED):
                triggers["cn"].append(day)
            if after == CLOSED and vendor not in (None, CLOSED):
                triggers["vd"].append(day)
            if after > before and vendor == CLOSED:
                triggers["vu"].append(day)
    answers = {
        "cn": [day for day, before, after in changes["cn"] if after < before],
        "vd": [day for day, _, after in changes["vendor"] if after == CLOSED],
        "vu": [day for day, before, _ in changes["vendor"] if before == CLOSED],
    }
    return [
        trial for link in LINKS for trial in _answered(link, product, sorted(set(triggers[link])), answers[link], as_of)
    ]


def _changes(entries: Sequence[Entry]) -> list[tuple[dt.date, int, int]]:
    """(day, state before, state after) for every real change between named states."""
    return [
        (late.from_date, early.state, late.state)
        for early, late in pairwise(entries)
        if early.state is not None and late.state is not None and early.state != late.state
    ]


def _state_before(entries: Sequence[Entry], day: dt.date) -> int | None:
    """The state in force at the end of the day before ``day``'s anticipation window opens."""
    in_force = [entry.state for entry in entries if entry.from_date <= day]
    return in_force[-1] if in_force else None


def _answered(link: str, product: str, triggers: list[dt.date], answers: list[dt.date], as_of: dt.date) -> list[Trial]:
    """Each trigger waits for its answer until the next trigger, the as-of date or the window's end."""
    early, window = dt.timedelta(days=ANTICIPATION_DAYS), dt.timedelta(days=WINDOW_DAYS)
    found = []
    for trigger, following in pairwise([*triggers, None]):
        assert trigger is not None
        until = min(as_of, trigger + window, following - early if following else dt.date.max)
        hits = [day for day in answers if trigger - early <= day <= until]
        waited = max(0, (min(as_of, trigger + window, following or dt.date.max) - trigger).days)
        found.append(Trial(link, product, trigger, hits[0] if hits else None, waited))
    return found


def _link(link: str, trials: list[Trial], priors: Priors) -> Link:
    """Grid posterior of (q, L): the prior of q, every lag alike, times the likelihood of the trials."""
    a, b = priors.links[link]
    share, lag = SHARES[:, None], LAGS[None, :]
    weights = power(share, a - 1) * power(1 - share, b - 1) * np.ones_like(lag)
    mine = [trial for trial in trials if trial.link == link]
    for trial in mine:
        if trial.answer is None:
            weights = weights * (1 - share + share * exp(-trial.waited / lag))
        else:
            days = max(1, (trial.answer - trial.trigger).days)
            weights = weights * share * (exp(-(days - 1) / lag) - exp(-days / lag))
    return Link(weights / weights.sum(), sum(trial.answer is not None for trial in mine), len(mine))
