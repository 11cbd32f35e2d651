"""Replay of the real gate history: what would have been forecast, on what was known then, and how wrong it was.

On each as-of date only what was public counts. Forecast are the state of each gate at +30, 90, 180 and 365
days, the time to its first change, whether goods can pass both governments' gates, and whether a lot ordered
that day from finished stock is released; each is scored against what happened up to the end of the record.

Brier, for the four states:   B = \\sum_k (p_k - o_k)^2,  0 .. 2.      Log:   -ln p_true.      Lower is
better.

Every law's probabilities are mixed with a floor, 0.01 + 0.96 p, so that one that says "never" loses a finite
sum. Benchmark laws: nothing changes; announced openings come true 25 to 121 days after the announcement; and
persistence softened to P(same state) = exp(-h / 365 d), the rest spread evenly, which is hard to beat.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from executor.portable.elementary import exp, log, square
from executor.reference.csv_table import read_rows
from planner.clock import MINUTES_PER_DAY, minutes
from planner.reference import SHIPPED, gate_history
from planner.sampling import Key
from planner.supply.durations import draw_durations
from planner.supply.fast_engine import engine as fast_engine
from planner.supply.gates.paths import NEVER, GatePath, draw_paths
from planner.supply.network.from_scenario import posterior
from planner.supply.network.gate import AUTHORITIES, Authority, FromHistory, Gate, Scripted, State
from planner.supply.network.gate_effects import default_effects
from planner.supply.network.shipped_routes import route
from planner.supply.network.spec import Orders, Source, SupplySpec

Floats = NDArray[np.float64]

END = dt.date(2026, 5, 31)
"""Last day of the shipped record: nothing later is scored."""
TWELVE_DATES = tuple(
    dt.date.fromisoformat(day)
    for day in (
        "2023-10-01", "2024-02-15", "2024-07-01", "2024-12-15", "2025-04-08", "2025-05-30",
        "2025-07-16", "2025-08-27", "2025-10-15", "2025-12-08", "2026-01-28", "2026-03-17",
    )
)  # fmt: skip
"""Half of them were chosen at news, when change was near; see ``monthly_dates`` for ordinary months."""
PRODUCTS = ("A800/H800", "H20", "H200")
HORIZONS = (30, 90, 180, 365)
"""Days ahead."""
FLOOR = 0.01
LAWS = ("waferlag", "nothing changes", "announcements come true", "softened persistence")
BAND = (0.1, 0.9)
"""The band whose coverage is scored: 80 %."""
_DRAWS, _ROOT = 3000, 20260531


@dataclass(frozen=True)
class Target:
    """One forecast of a state: what each law said (probabilities of the four states) and what was."""

    as_of: dt.date
    product: str
    gate: str
    days: int
    state_then: State
    truth: State
    said: dict[str, Floats]

    @property
    def moved(self) -> bool:
        """Whether the state differed from that of the as-of date."""
        return self.truth != self.state_then

    def brier(self, law: str) -> float:
        """Sum over states of the squared error, 0 .. 2."""
        seen = np.zeros(4)
        seen[self.truth] = 1.0
        return float(square(self.said[law] - seen).sum())

    def log(self, law: str) -> float:
        """-ln of the probability given to what happened."""
        return -log(float(self.said[law][self.truth]))


@dataclass(frozen=True)
class Span:
    """A forecast number of days (to the first change, or with both gates passing) and what it was.

    Both are cut at ``limit`` days: a year, or the end of the record.
    """

    as_of: dt.date
    product: str
    what: str
    limit: int
    truth: float
    draws: Floats

    @property
    def band(self) -> tuple[float, float]:
        """The 80 % band."""
        low, high = np.quantile(self.draws, BAND)
        return float(low), float(high)

    @property
    def covered(self) -> bool:
        """Whether the band holds what happened."""
        return self.band[0] <= self.truth <= self.band[1]

    @property
    def crps(self) -> float:
        r"""Continuous ranked probability score, days: E|X - y| - E|X - X'| / 2."""
        ordered = np.sort(self.draws)
        n = len(ordered)
        spread = 2 * float((ordered * (2 * np.arange(1, n + 1) - n - 1)).sum()) / (n * n)
        return float(np.abs(ordered - self.truth).mean()) - spread / 2


@dataclass(frozen=True)
class YesNo:
    """A forecast of an event: its probability and whether it happened."""

    as_of: dt.date
    product: str
    days: int
    probability: float
    today: bool
    """What a benchmark says which holds that nothing changes."""
    happened: bool

    @property
    def brier(self) -> float:
        """Squared error, 0 .. 1."""
        return square(self.probability - self.happened)

    @property
    def rival_brier(self) -> float:
        """Squared error of that benchmark, with the floor."""
        return square(FLOOR + (1 - 2 * FLOOR) * self.today - self.happened)


@dataclass(frozen=True)
class Hindcast:
    """All forecasts of a replay with what happened."""

    dates: tuple[dt.date, ...]
    reading: str
    draws: int
    targets: tuple[Target, ...]
    changes: tuple[Span, ...]
    """Days to the first change of each gate."""
    passing: tuple[Span, ...]
    """Days on which both governments' gates let goods pass."""
    both: tuple[YesNo, ...]
    """Whether goods can pass both governments' gates on the day."""
    deliveries: tuple[YesNo, ...]
    """Whether goods have been released since the as-of date."""

    def brier(self, law: str = "waferlag", where: Callable[[Target], bool] = lambda _: True) -> float:
        """Mean Brier score of a law over the targets that ``where`` keeps."""
        return _mean(target.brier(law) for target in self.targets if where(target))

    def log(self, law: str = "waferlag", where: Callable[[Target], bool] = lambda _: True) -> float:
        """Mean log score of a law over the targets that ``where`` keeps."""
        return _mean(target.log(law) for target in self.targets if where(target))

    @property
    def coverage(self) -> float:
        """Share of dated outcomes (first changes and days passing) inside their 80 % band."""
        return _mean(float(span.covered) for span in (*self.changes, *self.passing))

    def difference(self, benchmark: str, score: str = "brier") -> tuple[float, float, float]:
        """Mean score of the gate law minus the benchmark's, and a 90 % interval by resampling the as-of dates."""
        groups = [list(group) for _, group in groupby(self.targets, key=lambda target: target.as_of)]
        sums = np.array([[sum(_gap(t, benchmark, score) for t in group), len(group)] for group in groups])
        u = Key(_ROOT).uniform("bootstrap", np.arange(2000)[:, None], np.arange(len(groups))[None, :])
        drawn = sums[(u * len(groups)).astype(np.int64)].sum(axis=1)
        low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.05, 0.95))
        return float(sums[:, 0].sum() / sums[:, 1].sum()), float(low), float(high)


def monthly_dates() -> tuple[dt.date, ...]:
    """The first of every month from December 2023 to April 2026."""
    firsts = ((2023 * 12 + 11 + k) for k in range(29))
    return tuple(dt.date(month // 12, month % 12 + 1, 1) for month in firsts)


def hindcast(dates: Sequence[dt.date] = TWELVE_DATES, reading: str = "main", draws: int = _DRAWS) -> Hindcast:
    """Forecast on each date with what was public then, and put it beside what happened.

    ``reading`` names how ambiguous entries of the record are read, for what was known and for what happened.
    """
    targets: list[Target] = []
    changes: list[Span] = []
    passing: list[Span] = []
    both: list[YesNo] = []
    deliveries: list[YesNo] = []
    for as_of in sorted(dates):
        for product in PRODUCTS:
            known = _known(product, as_of, reading)
            if not known:
                continue
            gates = _gates(product, known, as_of, reading)
            paths = dict(zip(known, draw_paths(gates, 366 * MINUTES_PER_DAY, Key(_ROOT), range(draws)), strict=True))
            targets += _targets(product, known, paths, as_of, reading)
            changes += _first_changes(product, known, paths, as_of, reading)
            if "us" in known and "cn" in known:
                both += _both_pass(product, paths, as_of, reading)
                passing += _days_passing(product, paths, as_of, reading)
            deliveries += _deliveries(product, gates, list(paths.values()), as_of)
    return Hindcast(
        tuple(sorted(dates)), reading, draws, tuple(targets), tuple(changes), tuple(passing), tuple(both),
        tuple(deliveries),
    )  # fmt: skip


def _known(product: str, as_of: dt.date, reading: str) -> dict[Authority, State]:
    """The states that were in force and public on the day; gates on which nothing is said are left out."""
    found = {}
    for gate in AUTHORITIES:
        states = gate_history.states(product, gate, as_of, reading)
        if states and states[-1].state != "na":
            found[gate] = State.named(states[-1].state)
    return found


def _happened(product: str, gate: str, day: dt.date, reading: str) -> State | None:
    """The state in force on a day, whenever it became public.

    A gate that closed on a product stays closed when the question is no longer put; None: no state is known.
    """
    rows = [row for row in gate_history.states(product, gate, None, reading) if row.from_date <= day]
    if rows and rows[-1].state == "na" and len(rows) > 1 and rows[-2].state == "closed":
        rows.pop()
    return State.named(rows[-1].state) if rows and rows[-1].state != "na" else None


def _gates(product: str, known: dict[Authority, State], as_of: dt.date, reading: str) -> list[Gate]:
    """The product's gates as a forecaster of that day would have set them up."""
    system = posterior(as_of, reading)
    return [
        Gate(
            name=gate,
            authority=gate,
            law=FromHistory(system, product, state, reading),
            effects=default_effects(gate, product, as_of),
            events=tuple(
                Scripted(minutes(as_of, row.from_date), State.named(row.state))
                for row in gate_history.announced(product, gate, as_of, reading)
                if row.state != "na"
            ),
        )
        for gate, state in known.items()
    ]


def _targets(
    product: str, known: dict[Authority, State], paths: dict[Authority, GatePath], as_of: dt.date, reading: str
) -> list[Target]:
    found = []
    for gate, state in known.items():
        for days in HORIZONS:
            day = as_of + dt.timedelta(days=days)
            truth = _happened(product, gate, day, reading) if day <= END else None
            if truth is None:
                continue
            drawn = np.bincount(paths[gate].at(days * MINUTES_PER_DAY), minlength=4) / len(paths[gate].minutes)
            announced = gate_history.states(product, gate, as_of, reading)[-1].from_date
            said = {
                "waferlag": drawn,
                "nothing changes": _one(state),
                "announcements come true": _announced(state, (as_of - announced).days, days),
                "softened persistence": _softened(state, days),
            }
            said = {law: FLOOR + (1 - 4 * FLOOR) * share for law, share in said.items()}
            found.append(Target(as_of, product, gate, days, state, truth, said))
    return found


def _one(state: State) -> Floats:
    share = np.zeros(4)
    share[state] = 1.0
    return share


def _announced(state: State, waited: int, days: int) -> Floats:
    """A promise becomes conditional 25 to 121 days after it was made, evenly; every other state stays."""
    if state != State.PROMISED:
        return _one(state)
    open_by, not_yet = (min(max((t - 25) / 96, 0.0), 1.0) for t in (waited + days, waited))
    kept = (open_by - not_yet) / (1 - not_yet) if not_yet < 1 else 1.0
    return kept * _one(State.CONDITIONAL) + (1 - kept) * _one(state)


def _softened(state: State, days: int) -> Floats:
    same = exp(-days / 365)
    return same * _one(state) + (1 - same) / 3 * (1 - _one(state))


def _limit(as_of: dt.date) -> int:
    return min(365, (END - as_of).days)


def _first_changes(
    product: str, known: dict[Authority, State], paths: dict[Authority, GatePath], as_of: dt.date, reading: str
) -> list[Span]:
    found = []
    limit = _limit(as_of)
    for gate, state in known.items():
        later = (_happened(product, gate, as_of + dt.timedelta(days=d), reading) for d in range(limit + 1))
        moved = [d for d, seen in enumerate(later) if seen not in (state, None)]
        changes = paths[gate].minutes
        first = changes[:, 1] if changes.shape[1] > 1 else np.full(len(changes), NEVER)
        drawn = np.minimum(first / MINUTES_PER_DAY, limit)
        found.append(Span(as_of, product, f"{gate} first change", limit, float(min([*moved, limit])), drawn))
    return found


def _both_now(paths: dict[Authority, GatePath], day: int) -> NDArray[np.bool_]:
    passes = [paths[gate].at(day * MINUTES_PER_DAY) >= State.CONDITIONAL for gate in ("us", "cn")]
    return passes[0] & passes[1]


def _both_happened(product: str, day: dt.date, reading: str) -> bool:
    return all((_happened(product, g, day, reading) or 0) >= State.CONDITIONAL for g in ("us", "cn"))


def _both_pass(product: str, paths: dict[Authority, GatePath], as_of: dt.date, reading: str) -> list[YesNo]:
    today = bool(_both_now(paths, 0).all())
    return [
        YesNo(as_of, product, days, float(_both_now(paths, days).mean()), today, _both_happened(product, day, reading))
        for days in HORIZONS
        if (day := as_of + dt.timedelta(days=days)) <= END
    ]


def _days_passing(product: str, paths: dict[Authority, GatePath], as_of: dt.date, reading: str) -> list[Span]:
    limit = _limit(as_of)
    days = range(1, limit + 1)
    drawn = sum(_both_now(paths, day).astype(float) for day in days)
    truth = sum(_both_happened(product, as_of + dt.timedelta(days=day), reading) for day in days)
    return [Span(as_of, product, "days both pass", limit, float(truth), np.asarray(drawn))]


def _deliveries(product: str, gates: list[Gate], paths: list[GatePath], as_of: dt.date) -> list[YesNo]:
    """Whether a lot ordered on the day from finished stock is released, against whether goods left for China."""
    draws = len(paths[0].minutes)
    if not any(period.product == product for period in delivery_record()):
        return []
    source = Source("stock", product, route("finished-stock", product), tuple(gate.name for gate in gates))
    spec = SupplySpec(as_of, 366 * MINUTES_PER_DAY, (source,), tuple(gates))
    orders, numbers = Orders.of([(0, 0, 0, 0, 8, 0)]), range(draws)
    made = fast_engine.run(spec, orders, paths, draw_durations(spec, orders, Key(_ROOT), numbers), {}, numbers)
    today = all(isinstance(g.law, FromHistory) and g.law.state >= State.CONDITIONAL for g in gates)
    found = []
    for days in HORIZONS:
        happened = _left_for_china(product, as_of, as_of + dt.timedelta(days=days))
        if happened is not None:
            by_then = (made.released_at >= 0) & (made.released_at <= days * MINUTES_PER_DAY)
            found.append(YesNo(as_of, product, days, float(by_then.mean()), today, happened))
    return found


@dataclass(frozen=True)
class DeliveryPeriod:
    """Whether goods of a product left for China at some time in a period."""

    product: str
    start: dt.date
    end: dt.date
    delivered: bool
    evidence: str
    source: str


@cache
def delivery_record() -> tuple[DeliveryPeriod, ...]:
    """What is on record of real deliveries, period by period."""
    columns = ("product", "start", "end", "delivered", "evidence", "source")
    return tuple(
        DeliveryPeriod(
            product=row.needed("product"),
            start=row.day("start"),
            end=row.day("end"),
            delivered=row.choice("delivered", ("yes", "no")) == "yes",
            evidence=row.evidence(),
            source=row.needed("source"),
        )
        for row in read_rows(SHIPPED / "deliveries.csv", columns)
    )


def _left_for_china(product: str, after: dt.date, until: dt.date) -> bool | None:
    """Whether goods left between two days; None where the record is too coarse to tell.

    Yes: the window holds a whole period with deliveries, or a month of a long one. No: it lies in one without.
    """
    if until > END:
        return None
    periods = [p for p in delivery_record() if p.product == product]
    for period in periods:
        inside = (min(until, period.end) - max(after, period.start)).days
        whole = after <= period.start and period.end <= until
        steady = (period.end - period.start).days > 365 and inside >= 30
        if period.delivered and (whole or steady):
            return True
    silent = any(not p.delivered and p.start <= after and until <= p.end for p in periods)
    return False if silent or _closed_then_silent(periods, after, until) else None


def _closed_then_silent(periods: Sequence[DeliveryPeriod], after: dt.date, until: dt.date) -> bool:
    """A window that begins within a month of the end of deliveries and ends before they come back."""
    month = dt.timedelta(days=30)
    return any(not p.delivered and p.start - month < after <= p.start and until <= p.end for p in periods)


def _gap(target: Target, benchmark: str, score: str) -> float:
    if score == "brier":
        return target.brier("waferlag") - target.brier(benchmark)
    return target.log("waferlag") - target.log(benchmark)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else math.nan
